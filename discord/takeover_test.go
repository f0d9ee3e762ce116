package discord_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

// TestInteractions publishes interactions all through a resize: each is handled
// exactly once, and at once.
func TestInteractions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 30, MaxConcurrency: 16})
		defer s.Close()
		f := start(t, s, s.Judge(), &discord.ClientConfig{Shards: 2, ReshardAt: -1})
		var mu sync.Mutex
		sent := map[string]time.Time{}
		got := map[string]int{}
		f.hear(func(e balancer.Event) {
			d, ok := e.Data.(*discord.Dispatch)
			if !ok || d.Type != "INTERACTION_CREATE" {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got[e.ID]++
			if at, ok := sent[e.ID]; !ok || time.Since(at) > 100*time.Millisecond {
				t.Errorf("interaction %s of %v on shard %v after %v", e.ID, e.Key, e.Shard, time.Since(at))
			}
		})
		time.Sleep(20 * time.Second)
		guilds := s.Guilds("")
		ask := func(n int) {
			for i := range n {
				g := guilds[i%len(guilds)]
				mu.Lock()
				id := s.Publish("", g, discordtest.Interaction(discordtest.Channel(g, 0), "user", "ping"))
				sent[id.String()] = time.Now()
				mu.Unlock()
				time.Sleep(20 * time.Millisecond)
			}
		}
		for _, n := range []int{5, 3, 8} {
			if err := f.Resize(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			ask(2000)
		}
		synctest.Wait()
		mu.Lock()
		for id := range sent {
			if got[id] != 1 {
				t.Errorf("interaction %s came %d times", id, got[id])
			}
		}
		mu.Unlock()
		f.stop()
	})
}

// TestDirectMessages checks that what belongs to shard 0 has one owner while
// shard 0 of another generation takes over.
func TestDirectMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 30, MaxConcurrency: 16})
		defer s.Close()
		j := s.Judge()
		f := start(t, s, j, &discord.ClientConfig{Shards: 3, ReshardAt: -1})
		time.Sleep(20 * time.Second)
		for _, n := range []int{5, 2} {
			if err := f.Resize(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			for range 1000 {
				s.Publish("", 0, discordtest.DM("user", "hello"))
				time.Sleep(30 * time.Millisecond)
			}
		}
		clean(t, s, j)
		f.stop()
	})
}

// TestRollback has Discord refuse the new number of shards: the old generation
// goes on as if nothing had been, and the refusal cost one IDENTIFY.
func TestRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 30, MaxConcurrency: 16})
		defer s.Close()
		j := s.Judge()
		f := start(t, s, j, &discord.ClientConfig{Shards: 2, ReshardAt: -1})
		rnd := rand.New(rand.NewPCG(1, 2))
		chat(s, rnd, 20*time.Second, 10*time.Millisecond)
		s.Inject(discordtest.Fault{Kind: discordtest.CloseWith, Code: 4010, At: discordtest.AtIdentify, Times: 1}, anybody)
		if err := f.Resize(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		chat(s, rnd, 30*time.Second, 10*time.Millisecond)
		if n := len(f.Shards()); n != 2 || s.Stats().Bots[0].Conns != 2 {
			t.Errorf("%d shards and %d connections, want the 2 of before", n, s.Stats().Bots[0].Conns)
		}
		clean(t, s, j)
		if err := f.Resize(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
		chat(s, rnd, time.Minute, 10*time.Millisecond)
		if n := len(f.Shards()); n != 5 {
			t.Errorf("%d shards after a second Resize, want 5", n)
		}
		clean(t, s, j)
		f.stop()
	})
}

// TestGrows fills shards up: from 80 % on there are more by themselves.
func TestGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 70, MaxConcurrency: 16})
		defer s.Close()
		j := s.Judge()
		f := start(t, s, j, &discord.ClientConfig{Balancer: balancer.Config{ChannelsPerShard: 50}})
		rnd := rand.New(rand.NewPCG(1, 2))
		chat(s, rnd, time.Minute, 10*time.Millisecond)
		if n := len(f.Shards()); n != 2 {
			t.Fatalf("%d shards for 70 guilds of 50 a shard, want 2", n)
		}
		for i := range 20 {
			s.AddGuild("", (uint64(1)<<50+uint64(i))<<22)
		}
		chat(s, rnd, 2*time.Minute, 10*time.Millisecond)
		if n := len(f.Shards()); n != 3 {
			t.Errorf("%d shards for 90 guilds, want 3", n)
		}
		clean(t, s, j)
		if b := s.Stats().Bots[0]; b.Identifies != 5 {
			t.Errorf("%d identifies, want 2 and 3", b.Identifies)
		}
		f.stop()
	})
}

// TestGrowsWithoutAShard grows although Discord has turned one shard away for
// good: with 4011 that is what it asks for.
func TestGrowsWithoutAShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 70, MaxConcurrency: 16})
		defer s.Close()
		f := start(t, s, nil, &discord.ClientConfig{Balancer: balancer.Config{ChannelsPerShard: 50}})
		time.Sleep(20 * time.Second)
		s.Inject(discordtest.Fault{Kind: discordtest.CloseWith, Code: 4011, Times: 1}, discordtest.Target{Shard: &[2]int{1, 2}})
		time.Sleep(20 * time.Second)
		if sh := f.Shards(); len(sh) != 2 || sh[1].State != balancer.Stopped {
			t.Fatalf("%+v, want two shards, the second of them stopped", sh)
		}
		for i := range 20 {
			s.AddGuild("", (uint64(1)<<50+uint64(i)*2)<<22) // of shard 0
		}
		time.Sleep(3 * time.Minute)
		if sh := f.Shards(); len(sh) != 3 {
			t.Errorf("%d shards for 90 guilds, want 3", len(sh))
		}
		for _, sh := range f.Shards() {
			if sh.State != balancer.Ready {
				t.Errorf("%+v", sh)
			}
		}
		f.stop()
	})
}

// TestOtherCount starts with another number of shards than the stored sessions
// have: they are resumed and then resharded, so that nothing is missed.
func TestOtherCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 30, MaxConcurrency: 16})
		defer s.Close()
		j := s.Judge()
		cfg := &discord.ClientConfig{Shards: 2, Transport: discord.Config{Store: discord.MemoryStore()}}
		rnd := rand.New(rand.NewPCG(1, 2))
		f := start(t, s, j, cfg)
		chat(s, rnd, 20*time.Second, 100*time.Millisecond)
		f.stop()
		chat(s, rnd, 5*time.Second, 100*time.Millisecond)
		cfg.Shards = 5
		f = start(t, s, j, cfg)
		chat(s, rnd, 2*time.Minute, 100*time.Millisecond)
		if v := clean(t, s, j); v.InGaps != 0 {
			t.Errorf("%d messages in gaps, want 0", v.InGaps)
		}
		if b := s.Stats().Bots[0]; len(f.Shards()) != 5 || b.Identifies != 7 || b.Resumes != 2 {
			t.Errorf("%d shards, %+v, want 5 shards, 7 identifies and 2 resumes", len(f.Shards()), b)
		}
		f.stop()
	})
}

// TestAvailable tells when a shard is ready for traffic, although a guild never
// becomes available; a resize goes on all the same.
func TestAvailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 30, MaxConcurrency: 16})
		defer s.Close()
		lost := s.Guilds("")[0]
		s.Withhold(lost)
		j := s.Judge()
		f := start(t, s, j, &discord.ClientConfig{Shards: 1, ReshardAt: -1})
		time.Sleep(time.Minute)
		var all []discord.Available
		for _, e := range f.controls() {
			if a, ok := e.Data.(discord.Available); ok {
				all = append(all, a)
			}
		}
		if len(all) != 1 || all[0].Guilds != 30 || all[0].Missing != 1 || !all[0].TimedOut || all[0].After < 10*time.Second {
			t.Errorf("said %+v, want one of 30 guilds missing after 10 s", all)
		}
		if st := f.Shards()[0]; st.Guilds != 30 || st.Away != 1 || st.Awaited != 0 {
			t.Errorf("status %+v", st)
		}
		if err := f.Resize(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		chat(s, rand.New(rand.NewPCG(1, 2)), time.Minute, 10*time.Millisecond)
		if n := len(f.Shards()); n != 3 {
			t.Errorf("%d shards, want 3", n)
		}
		clean(t, s, j)
		f.stop()
	})
}

// TestResumedWithinBackfill drops the shards of a new generation before all of
// their guilds are there: they take over when the guilds are, not when resumed.
func TestResumedWithinBackfill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := discordtest.New(&discordtest.Config{GuildDelay: 30 * time.Second, EventIDs: true, Bots: []discordtest.Bot{{GuildCount: 1000, MaxConcurrency: 16}}})
		defer s.Close()
		f := start(t, s, nil, &discord.ClientConfig{Shards: 1, ReshardAt: -1})
		time.Sleep(90 * time.Second)
		if err := f.Resize(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		for i := range 2 {
			s.Inject(discordtest.Fault{Kind: discordtest.Drop}, discordtest.Target{Shard: &[2]int{i, 2}})
		}
		awaited := 0
		for range 300 {
			time.Sleep(100 * time.Millisecond)
			sh := f.Shards()
			if len(sh) == 2 {
				awaited = sh[0].Awaited + sh[1].Awaited
				break
			}
		}
		if awaited > 0 {
			t.Errorf("the old generation ended while %d guilds of the new one were awaited", awaited)
		}
		f.stop()
	})
}

// TestStopWithinResize stops a bot while a new generation comes up: the next
// start resumes the generation that delivers, and misses nothing.
func TestStopWithinResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 30, MaxConcurrency: 1})
		defer s.Close()
		j := s.Judge()
		cfg := &discord.ClientConfig{Shards: 2, ReshardAt: -1, Transport: discord.Config{Store: discord.MemoryStore()}}
		rnd := rand.New(rand.NewPCG(1, 2))
		f := start(t, s, j, cfg)
		chat(s, rnd, 20*time.Second, 100*time.Millisecond)
		if err := f.Resize(t.Context(), 8); err != nil {
			t.Fatal(err)
		}
		chat(s, rnd, 24*time.Second, 100*time.Millisecond)
		f.stop()
		chat(s, rnd, 5*time.Second, 100*time.Millisecond)
		before := s.Stats().Bots[0].Identifies
		cfg.Shards = 0
		f = start(t, s, j, cfg)
		chat(s, rnd, 2*time.Minute, 100*time.Millisecond)
		if v := clean(t, s, j); v.InGaps != 0 {
			t.Errorf("%d messages in gaps, want 0", v.InGaps)
		}
		if b := s.Stats().Bots[0]; b.Identifies != before || b.Resumes != 2 {
			t.Errorf("%d identifies and %d resumes, want %d and 2", b.Identifies, b.Resumes, before)
		}
		f.stop()
	})
}

// TestSessionLostWithinTakeover has a shard of the new generation lose its
// session after it was ready: the old generation does not end before it is ready again.
func TestSessionLostWithinTakeover(t *testing.T) {
	for _, after := range []time.Duration{500 * time.Millisecond, 4 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := discordtest.New(&discordtest.Config{GuildDelay: 15 * time.Second, Bots: []discordtest.Bot{{GuildCount: 200, MaxConcurrency: 16}}})
				defer s.Close()
				j := s.Judge()
				f := start(t, s, j, &discord.ClientConfig{Shards: 1, ReshardAt: -1})
				time.Sleep(40 * time.Second)
				if err := f.Resize(t.Context(), 2); err != nil {
					t.Fatal(err)
				}
				for range 1000 {
					time.Sleep(50 * time.Millisecond)
					if sh := f.Shards(); sh[len(sh)-1].ID.Gen == 2 && sh[1].State == balancer.Ready && sh[1].Awaited == 0 && sh[2].Awaited == 0 {
						break
					}
				}
				time.Sleep(after)
				s.Inject(discordtest.Fault{Kind: discordtest.InvalidSession}, discordtest.Target{Shard: &[2]int{0, 2}})
				time.Sleep(6 * time.Second)
				go chat(s, rand.New(rand.NewPCG(1, 2)), 40*time.Second, 10*time.Millisecond)
				time.Sleep(time.Second)
				for range 600 {
					time.Sleep(100 * time.Millisecond)
					if sh := f.Shards(); len(sh) == 2 {
						if n := sh[0].Awaited + sh[1].Awaited; n > 0 {
							t.Errorf("the old generation ended while %d guilds of the new one were awaited", n)
						}
						break
					}
				}
				time.Sleep(time.Minute)
				if n := len(f.Shards()); n != 2 {
					t.Errorf("%d shards, want 2", n)
				}
				clean(t, s, j)
				f.stop()
			})
		})
	}
}

// TestOtherCountLater starts with another number of shards than the stored
// sessions have while it cannot be asked whether that is allowed: they are
// resharded when it can.
func TestOtherCountLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 30, MaxConcurrency: 16})
		defer s.Close()
		cfg := &discord.ClientConfig{Shards: 2, Transport: discord.Config{Store: discord.MemoryStore()}}
		f := start(t, s, nil, cfg)
		time.Sleep(20 * time.Second)
		f.stop()
		cfg.Shards = 5
		s.Inject(discordtest.Fault{Kind: discordtest.Unavailable}, discordtest.Target{Path: "/gateway/bot"})
		f = start(t, s, nil, cfg)
		time.Sleep(time.Minute)
		s.Heal()
		time.Sleep(2 * time.Minute)
		if n := len(f.Shards()); n != 5 {
			t.Errorf("%d shards, want 5", n)
		}
		f.stop()
	})
}
