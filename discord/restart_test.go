package discord_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

// TestRestart stops a bot and starts it again: every shard resumes as long as
// the service remembers; then there is a gap, and an IDENTIFY.
func TestRestart(t *testing.T) {
	for _, c := range []struct {
		name       string
		pause      time.Duration
		identifies int64
		gaps       bool
	}{{"at once", time.Second, 4, false}, {"within the replay", 50 * time.Second, 4, false}, {"too late", 20 * time.Minute, 5, true}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := discordtest.New(&discordtest.Config{ReplayMax: 2000, Bots: []discordtest.Bot{{GuildCount: 100, MaxConcurrency: 4}}})
				defer s.Close()
				j := s.Judge()
				cfg := &discord.ClientConfig{Shards: 4, Transport: discord.Config{Store: discord.MemoryStore()}}
				f := start(t, s, j, cfg)
				time.Sleep(20 * time.Second)
				f.chat(10 * time.Second)
				f.stop()
				f.chat(c.pause)
				cfg.Shards = 0 // that of the stored sessions
				g := start(t, s, j, cfg)
				g.chat(30 * time.Second)
				v := clean(t, s, j)
				if b := s.Stats().Bots[0]; b.Identifies != c.identifies || !c.gaps && b.SessionsKept != 4 {
					t.Errorf("%+v, want %d identifies", b, c.identifies)
				}
				if (v.InGaps > 0) != c.gaps {
					t.Errorf("%d messages in gaps, want some: %v", v.InGaps, c.gaps)
				}
				g.stop()
			})
		})
	}
}

// TestCrash ends a process without a word: what was not acknowledged comes again
// to the next one, and nothing is lost.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := discordtest.New(&discordtest.Config{ReplayMax: 2000})
		defer s.Close()
		store := discord.MemoryStore()
		var got inbox
		run := func() *fleet {
			return start(t, s, nil, &discord.ClientConfig{Shards: 1, Transport: discord.Config{Store: frozen{store, new(atomic.Bool)}}}, got.take)
		}
		f := run()
		time.Sleep(20 * time.Second)
		var want []discordtest.ID
		say := func(n int) {
			g := s.Guilds("")[0]
			for range n {
				want = append(want, s.Publish("", g, discordtest.Message(discordtest.Channel(g, 0), "user", "hello")))
				time.Sleep(100 * time.Millisecond)
			}
		}
		say(100)
		f.Transport().Store().(frozen).stop.Store(true) // the crash: nothing is saved from here on
		say(9)
		f.stop()
		say(10)
		f = run()
		time.Sleep(20 * time.Second)
		say(10)
		time.Sleep(time.Second)
		synctest.Wait()
		got.has(t, want)
		if b := s.Stats().Bots[0]; b.Identifies != 1 {
			t.Errorf("%d identifies, want 1", b.Identifies)
		}
		f.stop()
	})
}

// inbox has the messages that the runs of a bot were given.
type inbox struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (i *inbox) take(e balancer.Event) {
	if d, ok := e.Data.(*discord.Dispatch); !ok || d.Type != "MESSAGE_CREATE" {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ids == nil {
		i.ids = map[string]bool{}
	}
	i.ids[e.ID] = true
}

func (i *inbox) has(t *testing.T, want []discordtest.ID) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, id := range want {
		if !i.ids[id.String()] {
			t.Errorf("message %v is lost", id)
		}
	}
}

// frozen is a Store that saves nothing any more once stop is set.
type frozen struct {
	discord.Store
	stop *atomic.Bool
}

func (f frozen) Save(ctx context.Context, name string, data []byte) error {
	if f.stop.Load() {
		return nil
	}
	return f.Store.Save(ctx, name, data)
}

// TestRestartAfterOutage restarts a bot that could not reach the service for ten
// minutes: the gap that it reports begins with the outage, not with the restart.
func TestRestartAfterOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 10})
		defer s.Close()
		j := s.Judge()
		cfg := &discord.ClientConfig{Shards: 1, Transport: discord.Config{Store: discord.MemoryStore()}}
		rnd := rand.New(rand.NewPCG(1, 2))
		f := start(t, s, j, cfg)
		chat(s, rnd, 20*time.Second, 100*time.Millisecond)
		s.Inject(discordtest.Fault{Kind: discordtest.Refused}, discordtest.Target{Host: discordtest.Resume})
		s.Inject(discordtest.Fault{Kind: discordtest.Refused}, discordtest.Target{Host: discordtest.Gateway})
		s.Inject(discordtest.Fault{Kind: discordtest.Drop}, anybody)
		chat(s, rnd, 10*time.Minute, 100*time.Millisecond)
		f.stop()
		s.Heal()
		f = start(t, s, j, cfg)
		chat(s, rnd, time.Minute, 100*time.Millisecond)
		clean(t, s, j)
		f.stop()
	})
}

// TestRestartWithinBackfill restarts a bot before all guilds of READY are there:
// those that come after the RESUME are none that the bot was added to.
func TestRestartWithinBackfill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := discordtest.New(&discordtest.Config{GuildDelay: 30 * time.Second, EventIDs: true, ReplayMax: 10000, Bots: []discordtest.Bot{{GuildCount: 1000, MaxConcurrency: 16}}})
		defer s.Close()
		cfg := &discord.ClientConfig{Shards: 1, ReshardAt: -1, Transport: discord.Config{Store: discord.MemoryStore()}}
		f := start(t, s, nil, cfg)
		time.Sleep(10 * time.Second)
		f.stop()
		joins := 0
		f = start(t, s, nil, cfg)
		f.hear(func(e balancer.Event) {
			if d, ok := e.Data.(*discord.Dispatch); ok && d.Type == "GUILD_CREATE" && !d.Backfill {
				joins++
			}
		})
		time.Sleep(90 * time.Second)
		s.AddGuild("", 1<<50<<12)
		time.Sleep(time.Second)
		if f.Shards()[0].Guilds != 1001 || joins != 1 {
			t.Errorf("%d guilds, %d of them new, want 1001 and 1", f.Shards()[0].Guilds, joins)
		}
		f.stop()
	})
}

// TestRestartBeforeReady restarts a bot whose stored session was refused, before
// it could begin another one: the gap still begins where the first process ended.
func TestRestartBeforeReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 10})
		defer s.Close()
		j := s.Judge()
		cfg := &discord.ClientConfig{Shards: 1, Transport: discord.Config{Store: discord.MemoryStore()}}
		rnd := rand.New(rand.NewPCG(1, 2))
		f := start(t, s, j, cfg)
		chat(s, rnd, 20*time.Second, 100*time.Millisecond)
		s.Inject(discordtest.Fault{Kind: discordtest.LoseSession}, anybody)
		f.stop()
		s.Inject(discordtest.Fault{Kind: discordtest.Refused}, discordtest.Target{Host: discordtest.Gateway})
		f = start(t, s, j, cfg)
		chat(s, rnd, time.Minute, 100*time.Millisecond)
		f.stop()
		s.Heal()
		f = start(t, s, j, cfg)
		chat(s, rnd, time.Minute, 100*time.Millisecond)
		clean(t, s, j)
		f.stop()
	})
}

// TestCrashesAtStart: a process that crashes soon after it starts, again and
// again, identifies once, and what was said meanwhile is not lost.
func TestCrashesAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := discordtest.New(&discordtest.Config{ReplayMax: 2000, Bots: []discordtest.Bot{{GuildCount: 20, MaxConcurrency: 16}}})
		defer s.Close()
		store := discord.MemoryStore()
		var got inbox
		run := func() (crash func()) {
			stop := new(atomic.Bool)
			f := start(t, s, nil, &discord.ClientConfig{Shards: 2, ReshardAt: -1, Transport: discord.Config{Store: frozen{store, stop}}}, got.take)
			return func() { stop.Store(true); f.stop() }
		}
		var want []discordtest.ID
		rnd := rand.New(rand.NewPCG(3, 4))
		crash := run()
		time.Sleep(500 * time.Millisecond)
		for range 30 {
			for range 5 {
				g := s.Guilds("")[rnd.IntN(20)]
				want = append(want, s.Publish("", g, discordtest.Message(discordtest.Channel(g, 0), "user", "hello")))
				time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
			}
			crash()
			crash = run()
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		got.has(t, want)
		if b := s.Stats().Bots[0]; b.Identifies != 2 {
			t.Errorf("%d identifies, want 2", b.Identifies)
		}
		crash()
	})
}

// TestStopWhileItIdentifies stops a bot between IDENTIFY and READY: the session is
// paid for, and the next process has it.
func TestStopWhileItIdentifies(t *testing.T) {
	for _, c := range []struct {
		name       string
		ready      time.Duration
		identifies int64
		within     time.Duration
	}{{"soon", 2 * time.Second, 1, 3 * time.Second}, {"never", 0, 2, 6 * time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(discordtest.Bot{GuildCount: 5})
				defer s.Close()
				slow := discordtest.Fault{Kind: discordtest.Delay, For: c.ready, At: discordtest.AtIdentify, Times: 1}
				if c.ready == 0 {
					slow.Kind = discordtest.Mute
				}
				s.Inject(slow, anybody)
				cfg := &discord.ClientConfig{Shards: 1, Transport: discord.Config{Store: discord.MemoryStore()}}
				f := start(t, s, nil, cfg)
				time.Sleep(time.Second)
				if b := s.Stats().Bots[0]; b.Identifies != 1 {
					t.Fatalf("%d identifies before the stop, want 1", b.Identifies)
				}
				asked := time.Now()
				f.stop()
				if d := time.Since(asked); d > c.within {
					t.Errorf("the stop took %v", d)
				}
				s.Heal()
				f = start(t, s, nil, cfg)
				time.Sleep(20 * time.Second)
				if b := s.Stats().Bots[0]; b.Identifies != c.identifies || f.Shards()[0].State != balancer.Ready {
					t.Errorf("%+v, want %d identifies", b, c.identifies)
				}
				f.stop()
			})
		})
	}
}

// TestDialAfterAStop dials a shard again while the Dial that was stopped still
// waits for the session of its IDENTIFY.
func TestDialAfterAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 5})
		defer s.Close()
		s.Inject(discordtest.Fault{Kind: discordtest.Delay, For: 2 * time.Second, At: discordtest.AtIdentify, Times: 1}, anybody)
		cfg := config(s)
		tr := discord.New(discord.FixedToken("bot-token"), &cfg)
		ctx, stop := context.WithCancel(t.Context())
		first := make(chan error)
		go func() {
			c, err := tr.Dial(ctx, balancer.ShardID{Count: 1}, nil)
			if err == nil {
				c.Close()
			}
			first <- err
		}()
		time.Sleep(time.Second)
		stop()
		c, err := tr.Dial(t.Context(), balancer.ShardID{Count: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-first:
			if err != nil {
				t.Errorf("the first Dial: %v, want its session", err)
			}
		default:
			t.Error("the second Dial did not wait for the first")
		}
		if n := s.Stats().Bots[0].Identifies; n != 2 {
			t.Errorf("%d identifies, want 2", n)
		}
		c.Close()
	})
}

// TestStopOwesAGap stops a bot whose stored session was refused between IDENTIFY
// and READY: what was missed since the first process ended is told yet.
func TestStopOwesAGap(t *testing.T) {
	for _, name := range []string{"of the process before", "of its own"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(discordtest.Bot{GuildCount: 10})
				defer s.Close()
				j := s.Judge()
				cfg := &discord.ClientConfig{Shards: 1, Transport: discord.Config{Store: discord.MemoryStore()}}
				rnd := rand.New(rand.NewPCG(1, 2))
				f := start(t, s, j, cfg)
				chat(s, rnd, 20*time.Second, 100*time.Millisecond)
				s.Inject(discordtest.Fault{Kind: discordtest.LoseSession}, anybody)
				s.Inject(discordtest.Fault{Kind: discordtest.Delay, For: 2 * time.Second, At: discordtest.AtIdentify, Times: 1}, anybody)
				if name == "of its own" {
					s.Inject(discordtest.Fault{Kind: discordtest.Drop}, anybody)
				} else {
					f.stop()
					f = start(t, s, j, cfg)
				}
				for i := 0; s.Stats().Bots[0].Identifies < 2 && i < 600; i++ {
					chat(s, rnd, 100*time.Millisecond, 10*time.Millisecond)
				}
				f.stop()
				s.Heal()
				f = start(t, s, j, cfg)
				chat(s, rnd, time.Minute, 100*time.Millisecond)
				if v := clean(t, s, j); v.InGaps == 0 {
					t.Error("nothing was missed: the test shows nothing")
				}
				f.stop()
			})
		})
	}
}
