package discordtest

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// bot is one application and its sessions.
type bot struct {
	Bot
	s *Server

	resumes, kept atomic.Int64 // of BotStats; counted with a session locked, when mu must not be

	mu           sync.RWMutex // guards all below
	token        string
	dead         bool // the budget was exceeded
	guilds       map[uint64]*guild
	order        []*guild
	fleets       map[int]*fleet // by num_shards
	sessions     map[string]*session
	gone         map[string]string // ended sessions, and why
	lastIdentify map[int]time.Time // by key
	remaining    int
	resetAt      time.Time
	intents      uint64               // of the last identify
	allMembers   map[uint64]time.Time // last request for all members, by guild
	judges       []*Judge
	st           BotStats
}

// fleet is the sessions that share one num_shards.
type fleet struct{ shards [][]*session }

func newBot(s *Server, i int, cfg Bot) *bot {
	suffix := ""
	if i > 0 {
		suffix = fmt.Sprint(i + 1)
	}
	if cfg.Token == "" {
		cfg.Token = "bot-token"
		if i > 0 {
			cfg.Token += "-" + suffix
		}
	}
	if cfg.Name == "" {
		cfg.Name = "bot" + suffix
	}
	if cfg.UserID == 0 {
		cfg.UserID = guildID(s.cfg.Seed, 900+i, 1)
	}
	if cfg.ApplicationID == 0 {
		cfg.ApplicationID = cfg.UserID
	}
	if cfg.Guilds == nil && cfg.GuildCount == 0 {
		cfg.GuildCount = 10
	}
	or(&cfg.MaxConcurrency, 1)
	or(&cfg.IdentifyTotal, 1000)
	if cfg.IdentifyRemaining == 0 {
		cfg.IdentifyRemaining = cfg.IdentifyTotal
	}
	or(&cfg.IdentifyReset, 24*time.Hour)
	or(&cfg.ShardMultiple, 1)
	or(&cfg.MaxGuildsPerShard, 2500)
	if cfg.AllowedIntents == 0 {
		cfg.AllowedIntents = Privileged
	}
	if cfg.NoPrivileged {
		cfg.AllowedIntents = 0
	}
	b := &bot{
		Bot: cfg, s: s, token: cfg.Token,
		guilds: make(map[uint64]*guild), fleets: make(map[int]*fleet),
		sessions: make(map[string]*session), gone: make(map[string]string),
		lastIdentify: make(map[int]time.Time), allMembers: make(map[uint64]time.Time),
		remaining: max(0, cfg.IdentifyRemaining), resetAt: time.Now().Add(cfg.IdentifyReset),
		st: BotStats{Name: cfg.Name, Closes: make(map[int]int64), ClientCloses: make(map[int]int64)},
	}
	for _, id := range cfg.Guilds {
		b.join(id)
	}
	for n := range cfg.GuildCount {
		b.join(guildID(s.cfg.Seed, i, n))
	}
	return b
}

// join makes the bot a member of a guild, which is made if need be, without a
// word to anyone.
func (b *bot) join(id uint64) (g *guild, fresh bool) {
	b.s.mu.Lock()
	g = b.s.guilds[id]
	if g == nil {
		g = newGuild(id, b.s.cfg.Seed)
		b.s.guilds[id] = g
	}
	b.s.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.guilds[id] != nil {
		return g, false
	}
	b.guilds[id] = g
	b.order = append(b.order, g)
	g.bots = append(g.bots, b)
	return g, true
}

// isToken reports whether t is the bot's token, with or without "Bot ".
// discord.js cuts "bot" off the beginning of any token, "bot-token" included.
func (b *bot) isToken(t string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	t = strings.TrimPrefix(t, "Bot ")
	return t == b.token || len(b.token) > 4 && strings.EqualFold(b.token[:3], "bot") && t == strings.TrimLeft(b.token[3:], " ")
}

// byToken returns the bot that has the token, or nil.
func (s *Server) byToken(t string) *bot {
	for _, b := range s.bots {
		if t != "" && b.isToken(t) {
			return b
		}
	}
	return nil
}

// isDead reports whether the token was reset because of too many identifies.
func (b *bot) isDead() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.dead
}

// recommended returns the shard count of /gateway/bot.
func (b *bot) recommended() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	n := b.RecommendedShards
	if n <= 0 {
		n = max(1, (len(b.guilds)+999)/1000)
	}
	return (n + b.ShardMultiple - 1) / b.ShardMultiple * b.ShardMultiple
}

// budget refills what is due. The caller holds b.mu.
func (b *bot) budget(now time.Time) {
	for !now.Before(b.resetAt) {
		b.remaining = b.IdentifyTotal
		b.resetAt = b.resetAt.Add(b.IdentifyReset)
	}
}

// startLimit returns session_start_limit.
func (b *bot) startLimit() (remaining int, resetAfter time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.budget(now)
	return b.remaining, b.resetAt.Sub(now)
}

// SetRemaining sets how many session starts a bot has left today.
func (s *Server) SetRemaining(bot string, n int) {
	b := s.mustBot(bot)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.budget(time.Now())
	b.remaining = n
}

// SetToken gives a bot a new token, as its owner does after a reset; the old
// one is wrong from now on and its sessions end.
func (s *Server) SetToken(bot, token string) {
	b := s.mustBot(bot)
	b.kill("token changed", false)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.token, b.dead = token, false
}

// kill ends all sessions with 4004.
func (b *bot) kill(why string, dead bool) {
	b.mu.Lock()
	b.dead = b.dead || dead
	all := make([]*session, 0, len(b.sessions))
	for _, sess := range b.sessions {
		all = append(all, sess)
	}
	b.mu.Unlock()
	for _, sess := range all {
		c := sess.finish(why, false)
		if c != nil {
			c.closeWith(CloseAuthFailed)
		}
	}
}

// count runs f with the bot's counters.
func (b *bot) count(f func(st *BotStats)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.st)
}

func (b *bot) stats() BotStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.budget(now)
	st := b.st
	st.Closes, st.ClientCloses = maps.Clone(st.Closes), maps.Clone(st.ClientCloses)
	st.Resumes, st.SessionsKept = b.resumes.Load(), b.kept.Load()
	st.Remaining, st.Dead, st.Guilds = b.remaining, b.dead, len(b.guilds)
	for _, sess := range b.sessions {
		conn, ok := sess.usable(now)
		if conn {
			st.Conns++
		}
		if ok {
			st.Sessions++
		}
	}
	return st
}

// watchers returns the judges. They are added before clients connect.
func (b *bot) watchers() []*Judge {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.judges
}

// flags returns the application's flags.
func (b *bot) flags() int {
	limited := 0 // what an unverified application has
	if b.AllowedIntents&IntentGuildPresences != 0 {
		limited |= 1 << 13
	}
	if b.AllowedIntents&IntentGuildMembers != 0 {
		limited |= 1 << 15
	}
	if b.AllowedIntents&IntentMessageContent != 0 {
		limited |= 1 << 19
	}
	return limited
}
