package discordtest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"sync/atomic"
	"time"
)

// Load is a stream of events.
type Load struct {
	Bot    string   // to which; "": the first
	Rate   float64  // events a second, over all guilds
	Guilds []uint64 // where, the first ones get most; nil: all of the bot's
	Zipf   float64  // exponent of the distribution over guilds: 0 spreads evenly, 1 is what chat is like
	Mix    Mix      // of events; zero: messages alone

	sent atomic.Int64
}

// Mix is how often each kind of event comes, relative to the others.
type Mix struct {
	Message, Edit, Delete, Typing, Reaction, Presence, Interaction, DM float64
}

// Chatter returns the mix of a lively guild.
func Chatter() Mix {
	return Mix{Message: 50, Edit: 3, Delete: 1, Typing: 25, Reaction: 8, Presence: 12, Interaction: 0.5, DM: 0.5}
}

// Sent returns how many events have been sent so far.
func (l *Load) Sent() int64 { return l.sent.Load() }

// loadTick is how often a Load sends.
const loadTick = 5 * time.Millisecond

// Load sends l until ctx ends or the Server is closed; it blocks for that
// long. What a slow machine could not send in time is sent later, up to a
// second's worth.
func (s *Server) Load(ctx context.Context, l *Load) {
	guilds := l.Guilds
	if guilds == nil {
		guilds = s.Guilds(l.Bot)
	}
	if l.Rate <= 0 || len(guilds) == 0 {
		return
	}
	rnd := rand.New(rand.NewPCG(s.cfg.Seed, 0x6c6f6164))
	pick := zipf(len(guilds), l.Zipf)
	kind := l.Mix.choice()
	last := make(map[uint64]ID) // newest message
	ticker := time.NewTicker(loadTick)
	defer ticker.Stop()
	var owed float64
	before := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.done:
			return
		case <-ticker.C:
		}
		now := time.Now()
		owed = min(owed+now.Sub(before).Seconds()*l.Rate, l.Rate)
		before = now
		for ; owed >= 1; owed-- {
			s.chatter(l, guilds[pick(rnd)], kind(rnd), last, rnd)
			l.sent.Add(1)
		}
	}
}

// chatter publishes one event.
func (s *Server) chatter(l *Load, guild uint64, kind int, last map[uint64]ID, rnd *rand.Rand) {
	user := fmt.Sprintf("user%d", rnd.IntN(500))
	channel := Channel(guild, rnd.IntN(2))
	old := last[channel]
	var e Event
	switch {
	case kind == 1 && old != 0:
		e = Edit(channel, old, user, line(rnd))
	case kind == 2 && old != 0:
		e = Delete(channel, old)
		delete(last, channel)
	case kind == 3:
		e = Typing(channel, user)
	case kind == 4 && old != 0:
		e = ReactionAdd(channel, old, user, "👍")
	case kind == 5:
		e = Presence(user, [...]string{"online", "idle", "dnd", "offline"}[rnd.IntN(4)])
	case kind == 6:
		e = Interaction(channel, user, "ping")
	case kind == 7:
		guild, e = 0, DM(user, line(rnd))
	default:
		e = Message(channel, user, line(rnd))
		last[channel] = s.Publish(l.Bot, guild, e)
		return
	}
	s.Publish(l.Bot, guild, e)
}

var words = [...]string{"the", "raid", "starts", "at", "nine", "anyone", "up", "for", "ranked", "lol", "nice", "héllo", "gg", "who", "has", "notes", "from", "today", "🎉", "brb", "same", "here", "ok", "let's", "go"}

// line returns something that somebody might say.
func line(rnd *rand.Rand) string {
	s := words[rnd.IntN(len(words))]
	for range rnd.IntN(12) {
		s += " " + words[rnd.IntN(len(words))]
	}
	return s
}

// choice returns a weighted choice among the kinds of event.
func (m Mix) choice() func(*rand.Rand) int {
	weights := [...]float64{m.Message, m.Edit, m.Delete, m.Typing, m.Reaction, m.Presence, m.Interaction, m.DM}
	sums := make([]float64, len(weights))
	total := 0.0
	for i, w := range weights {
		total += max(0, w)
		sums[i] = total
	}
	return func(r *rand.Rand) int {
		if total == 0 {
			return 0
		}
		x := r.Float64() * total
		return min(sort.Search(len(sums), func(i int) bool { return sums[i] > x }), len(sums)-1)
	}
}

// zipf returns a choice among n with weights 1/rank^e.
func zipf(n int, e float64) func(*rand.Rand) int {
	if e <= 0 {
		return func(r *rand.Rand) int { return r.IntN(n) }
	}
	sums := make([]float64, n)
	total := 0.0
	for i := range sums {
		total += math.Pow(float64(i+1), -e)
		sums[i] = total
	}
	return func(r *rand.Rand) int {
		return min(sort.SearchFloat64s(sums, r.Float64()*total), n-1)
	}
}
