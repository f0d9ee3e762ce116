package discord_test

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

// fleet is a bot under test and the service that it speaks to.
type fleet struct {
	*discord.Client
	t      *testing.T
	server *discordtest.Server
	judge  *discordtest.Judge
	mu     sync.Mutex
	seen   []balancer.Event     // what is no dispatch; guarded by mu
	handle func(balancer.Event) // what the test does with an event; guarded by mu
	cancel context.CancelFunc
	done   chan error
}

const apiBase = "http://discord.test/api/v10"

func config(s *discordtest.Server) discord.Config {
	return discord.Config{
		API: apiBase, HTTPClient: s.HTTPClient(), DialContext: s.DialContext,
		Intents: discord.IntentsChat | discord.IntentGuildMessageTyping | discord.IntentGuildMessageReactions,
		Logger:  logger(),
	}
}

// logger is silent unless CHATSHARD_LOG is set.
func logger() zerolog.Logger {
	if os.Getenv("CHATSHARD_LOG") == "" {
		return zerolog.Nop()
	}
	return zerolog.New(os.Stderr)
}

// start runs a bot, whose events are shown to each of hear.
func start(t *testing.T, s *discordtest.Server, j *discordtest.Judge, cfg *discord.ClientConfig, hear ...func(balancer.Event)) *fleet {
	t.Helper()
	c := discord.ClientConfig{}
	if cfg != nil {
		c = *cfg
	}
	base := config(s)
	if c.Transport.Intents != 0 {
		base.Intents = c.Transport.Intents
	}
	base.Store, base.Compression, base.LazyKeys, base.Identify = c.Transport.Store, c.Transport.Compression, c.Transport.LazyKeys, c.Transport.Identify
	base.SessionAge = c.Transport.SessionAge
	c.Transport = base
	f := &fleet{Client: discord.NewClient(discord.FixedToken("bot-token"), &c), t: t, server: s, judge: j, done: make(chan error, 1)}
	for _, h := range hear {
		f.hear(h)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	go func() { f.done <- f.Run(ctx, f.on) }()
	return f
}

func (f *fleet) on(_ context.Context, e balancer.Event) {
	switch d := e.Data.(type) {
	case *discord.Dispatch:
		if d.Type == "MESSAGE_CREATE" && f.judge != nil {
			f.judge.Received(string(e.Key), e.ID, time.Now())
		}
		f.tell(e)
		return
	case balancer.Gap:
		if f.judge != nil {
			f.judge.GapShard(d.From, d.To, e.Shard.Index, e.Shard.Count)
		}
	}
	f.mu.Lock()
	f.seen = append(f.seen, e)
	f.mu.Unlock()
	f.tell(e)
}

func (f *fleet) tell(e balancer.Event) {
	f.mu.Lock()
	h := f.handle
	f.mu.Unlock()
	if h != nil {
		h(e)
	}
}

// hear has every event shown to h.
func (f *fleet) hear(h func(balancer.Event)) {
	f.mu.Lock()
	f.handle = h
	f.mu.Unlock()
}

// controls returns what came that is no dispatch.
func (f *fleet) controls() []balancer.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seen)
}

// stop ends the bot as SIGTERM does.
func (f *fleet) stop() {
	f.t.Helper()
	f.cancel()
	if err := <-f.done; err != nil {
		f.t.Errorf("Run: %v", err)
	}
}

func TestStory(t *testing.T) {
	for _, c := range []discord.Compression{discord.ZlibStream, discord.ZstdStream, discord.Uncompressed} {
		t.Run(c.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := discordtest.New(&discordtest.Config{Bots: []discordtest.Bot{{GuildCount: 40}}})
				defer s.Close()
				j := s.Judge()
				f := start(t, s, j, &discord.ClientConfig{Shards: 4, Transport: discord.Config{Compression: c}})
				time.Sleep(30 * time.Second)
				guilds := s.Guilds("")
				for i := range 500 {
					g := guilds[i%len(guilds)]
					s.Publish("", g, discordtest.Message(discordtest.Channel(g, 0), "user", "hello"))
					time.Sleep(20 * time.Millisecond)
				}
				time.Sleep(2 * time.Minute)
				f.stop()
				v := j.Verdict()
				t.Logf("%+v %+v", v, s.Stats())
				if v.Sent != 500 || v.Received != 500 || v.Lost+v.Doubled+v.OutOfOrder != 0 {
					t.Errorf("verdict %+v", v)
				}
				if vs := s.Violations(); len(vs) > 0 {
					t.Errorf("violations: %v", vs)
				}
			})
		})
	}
}
