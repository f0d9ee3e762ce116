package discord_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

// TestCloseCodes has a session that stands closed with each code: it is
// resumed, replaced by a new one, or the bot stops and says why.
func TestCloseCodes(t *testing.T) {
	for _, c := range []struct {
		code  int
		retry balancer.Retry
		is    error
		says  string
	}{
		{1000, balancer.Resume, nil, ""},
		{1001, balancer.Resume, nil, ""},
		{4000, balancer.Resume, nil, ""},
		{4001, balancer.Resume, nil, ""},
		{4002, balancer.Resume, nil, ""},
		{4003, balancer.Fresh, nil, ""},
		{4004, balancer.Never, discord.ErrToken, "developer portal"},
		{4005, balancer.Resume, nil, ""},
		{4007, balancer.Fresh, nil, ""},
		{4008, balancer.Resume, nil, ""},
		{4009, balancer.Fresh, nil, ""},
		{4010, balancer.Never, discord.ErrSharding, "/gateway/bot"},
		{4011, balancer.Never, discord.ErrSharding, "use more"},
		{4012, balancer.Never, discord.ErrProtocol, "update"},
		{4013, balancer.Never, discord.ErrIntents, "intents"},
		{4014, balancer.Never, discord.ErrIntents, "message_content"},
	} {
		t.Run(fmt.Sprint(c.code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(discordtest.Bot{})
				defer s.Close()
				j := s.Judge()
				f := start(t, s, j, &discord.ClientConfig{Shards: 1})
				time.Sleep(10 * time.Second)
				s.Inject(discordtest.Fault{Kind: discordtest.CloseWith, Code: c.code}, discordtest.Target{})
				g := s.Guilds("")[0]
				for range 20 {
					s.Publish("", g, discordtest.Message(discordtest.Channel(g, 0), "user", "hello"))
					time.Sleep(time.Second)
				}
				b := s.Stats().Bots[0]
				if c.retry == balancer.Never {
					err := <-f.done
					if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "bot-token") || strings.Contains(err.Error(), "\n") {
						t.Errorf("Run: %v, want one line that wraps %v and says %q", err, c.is, c.says)
					}
					if b.Identifies != 1 || b.Resumes != 0 || s.Stats().Dialled != 2 { // one of them for /gateway/bot
						t.Errorf("%+v, want nothing after the close", s.Stats())
					}
					return
				}
				defer f.stop()
				if c.retry == balancer.Resume && (b.Identifies != 1 || b.Resumes != 1) || c.retry == balancer.Fresh && (b.Identifies != 2 || b.Resumes != 0) {
					t.Errorf("%d identifies and %d resumes, want %v", b.Identifies, b.Resumes, c.retry)
				}
				if v := j.Verdict(); v.Lost+v.Doubled+v.OutOfOrder != 0 || c.retry == balancer.Resume && v.InGaps != 0 {
					t.Errorf("verdict %+v", v)
				}
			})
		})
	}
}

// badStart runs a bot that cannot start and returns why, what was spent, and
// how often the service was called.
func badStart(t *testing.T, b discordtest.Bot, cfg *discord.ClientConfig, token string) (discordtest.Stats, error) {
	t.Helper()
	var err error
	var st discordtest.Stats
	synctest.Test(t, func(t *testing.T) {
		s := newServer(b)
		defer s.Close()
		base := config(s)
		base.Store = cfg.Transport.Store
		if cfg.Transport.Intents != 0 {
			base.Intents = cfg.Transport.Intents
		}
		c := *cfg
		c.Transport = base
		done := make(chan error, 1)
		go func() {
			done <- discord.NewClient(discord.FixedToken(token), &c).Run(t.Context(), (&discord.Handlers{}).Handle)
		}()
		select {
		case err = <-done:
		case <-time.After(10 * time.Minute):
			t.Fatal("it does not give up")
		}
		st = s.Stats()
	})
	return st, err
}

func TestBadStart(t *testing.T) {
	saved := func(data string) discord.Store {
		m := discord.MemoryStore()
		if err := m.Save(t.Context(), "sessions", []byte(data)); err != nil {
			t.Fatal(err)
		}
		return m
	}
	other := discord.MemoryStore()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{ApplicationID: 7})
		defer s.Close()
		f := start(t, s, nil, &discord.ClientConfig{Shards: 1, Transport: discord.Config{Store: other}})
		time.Sleep(10 * time.Second)
		f.stop()
	})
	for _, c := range []struct {
		name       string
		bot        discordtest.Bot
		cfg        discord.ClientConfig
		token      string
		is         error
		says       string
		identifies int64
	}{
		{"wrong token", discordtest.Bot{}, discord.ClientConfig{}, "not-the-token", discord.ErrToken, "token is not valid", 0},
		{"intents", discordtest.Bot{NoPrivileged: true}, discord.ClientConfig{Shards: 1}, "bot-token", discord.ErrIntents, "message_content", 1},
		{"shard count", discordtest.Bot{ShardMultiple: 16}, discord.ClientConfig{Shards: 3}, "bot-token", discord.ErrSharding, "multiple", 1},
		{"too few shards", discordtest.Bot{GuildCount: 3000}, discord.ClientConfig{Shards: 1, Balancer: balancer.Config{ChannelsPerShard: 2500}}, "bot-token", discord.ErrSharding, "use more", 1},
		{"too many shards", discordtest.Bot{}, discord.ClientConfig{Shards: 17}, "bot-token", discord.ErrConfig, "max_shard_count", 0},
		{"too many guilds", discordtest.Bot{GuildCount: 9000}, discord.ClientConfig{Balancer: balancer.Config{ChannelsPerShard: 100, MaxShardCount: 16}}, "bot-token", discord.ErrConfig, "raise max_shard_count to 90", 0},
		{"budget", discordtest.Bot{IdentifyRemaining: 3}, discord.ClientConfig{Shards: 4}, "bot-token", discord.ErrBudget, "wait until", 0},
		{"corrupt session file", discordtest.Bot{}, discord.ClientConfig{Shards: 1, Transport: discord.Config{Store: saved(`{"version":1,`)}}, "bot-token", discord.ErrSessionFile, "corrupt", 0},
		{"session file of another bot", discordtest.Bot{}, discord.ClientConfig{Shards: 1, Transport: discord.Config{Store: other}}, "bot-token", discord.ErrSessionFile, "another bot", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			st, err := badStart(t, c.bot, &c.cfg, c.token)
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), c.token) {
				t.Errorf("Run: %v\nwant one line that wraps %v and says %q", err, c.is, c.says)
			}
			if got := st.Bots[0].Identifies + st.Bots[0].IdentifiesRefused; got > c.identifies || st.Dialled > 4 {
				t.Errorf("%d identifies and %d connections, want at most %d: %+v", got, st.Dialled, c.identifies, st)
			}
			t.Log(err)
		})
	}
}

// TestBadPresence has a Config with a presence that there is not: Run says so and
// nothing is spent.
func TestBadPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 30, MaxConcurrency: 16})
		defer s.Close()
		cfg := config(s)
		cfg.Presence = &discord.Presence{Status: "busy"}
		c := discord.NewClient(discord.FixedToken("bot-token"), &discord.ClientConfig{Shards: 1, Transport: cfg})
		f := &fleet{Client: c, t: t, server: s, done: make(chan error, 1)}
		ctx, cancel := context.WithCancel(context.Background())
		f.cancel = cancel
		go func() { f.done <- f.Run(ctx, f.on) }()
		select {
		case err := <-f.done:
			if b, _ := c.Transport().Budget(); !errors.Is(err, discord.ErrConfig) || b.Spent != 0 {
				t.Errorf("Run = %v with %d IDENTIFYs spent, want ErrConfig and none", err, b.Spent)
			}
		case <-time.After(10 * time.Minute):
			b, _ := c.Transport().Budget()
			t.Errorf("it does not give up, budget %+v", b)
			f.stop()
		}
	})
}

// TestTokenReset has the owner reset the token while the bot runs: the one that
// the TokenFunc returns from then on is used.
func TestTokenReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 30, MaxConcurrency: 16})
		defer s.Close()
		var now atomic.Pointer[string]
		set := func(token string) { now.Store(&token) }
		set("bot-token")
		token := func(context.Context) (discord.Secret, error) { return discord.NewSecret(*now.Load()), nil }
		f := &fleet{Client: discord.NewClient(token, &discord.ClientConfig{Shards: 2, Transport: config(s)}), t: t, server: s, done: make(chan error, 1)}
		ctx, cancel := context.WithCancel(context.Background())
		f.cancel = cancel
		go func() { f.done <- f.Run(ctx, f.on) }()
		time.Sleep(20 * time.Second)
		set("another-token")
		s.SetToken("", "another-token")
		time.Sleep(30 * time.Second)
		if b := s.Stats().Bots[0]; b.Conns != 2 || b.Identifies != 4 || b.IdentifiesRefused != 0 {
			t.Errorf("%+v, want 2 connections with the new token", b)
		}
		f.stop()
	})
}
