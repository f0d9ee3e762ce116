package discord_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

// chat publishes messages to guilds chosen at random, for a time.
func chat(s *discordtest.Server, rnd *rand.Rand, d, every time.Duration) {
	guilds := s.Guilds("")
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(every) {
		g := guilds[rnd.IntN(len(guilds))]
		switch rnd.IntN(10) {
		case 0:
			s.Publish("", g, discordtest.Typing(discordtest.Channel(g, 0), "user"))
		case 1:
			s.Publish("", 0, discordtest.DM("user", "hello"))
		default:
			s.Publish("", g, discordtest.Message(discordtest.Channel(g, 0), "user", "hello"))
		}
	}
}

func newServer(b discordtest.Bot) *discordtest.Server {
	return discordtest.New(&discordtest.Config{Bots: []discordtest.Bot{b}, GuildDelay: 2 * time.Second})
}

// TestReshard goes from and to any number of shards under traffic. Each new
// shard costs one IDENTIFY, and nothing is lost, doubled or out of order.
func TestReshard(t *testing.T) {
	for _, c := range []struct{ from, to, keys int }{
		{4, 16, 16}, {16, 5, 4}, {2, 3, 1}, {4, 6, 16}, {1, 2, 1}, {3, 3, 1},
	} {
		if testing.Short() && c.to < 5 {
			continue
		}
		t.Run(fmt.Sprintf("%d to %d", c.from, c.to), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(uint64(c.from), uint64(c.to)))
				s := newServer(discordtest.Bot{GuildCount: 200, MaxConcurrency: c.keys})
				defer s.Close()
				j := s.Judge()
				f := start(t, s, j, &discord.ClientConfig{Shards: c.from, ReshardAt: -1})
				time.Sleep(time.Duration(c.from/c.keys+1)*6*time.Second + 5*time.Second)
				chat(s, rnd, 10*time.Second, 10*time.Millisecond)
				if err := f.Resize(t.Context(), c.to); err != nil {
					t.Fatal(err)
				}
				chat(s, rnd, time.Duration(c.to/c.keys+1)*6*time.Second+40*time.Second, 10*time.Millisecond)
				time.Sleep(5 * time.Second)
				clean(t, s, j)
				want := int64(c.from + c.to)
				if c.from == c.to {
					want = int64(c.from)
				}
				if b := s.Stats().Bots[0]; b.Identifies != want || b.Conns != c.to {
					t.Errorf("%d identifies and %d connections, want %d and %d", b.Identifies, b.Conns, want, c.to)
				}
				f.stop()
			})
		})
	}
}

// TestReshardMany grows one shard to 1,024 with the budget of a large bot.
func TestReshardMany(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand shards take minutes with -race")
	}
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(1, 1024))
		s := newServer(discordtest.Bot{GuildCount: 2000, MaxConcurrency: 16, IdentifyTotal: 3000, RecommendedShards: 1})
		defer s.Close()
		j := s.Judge()
		f := start(t, s, j, &discord.ClientConfig{Shards: 1, ReshardAt: -1, Balancer: balancer.Config{ChannelsPerShard: 2500, MaxShardCount: 1024}})
		time.Sleep(10 * time.Second)
		if err := f.Resize(t.Context(), 1024); err != nil {
			t.Fatal(err)
		}
		chat(s, rnd, 400*time.Second, 100*time.Millisecond)
		time.Sleep(5 * time.Second)
		clean(t, s, j)
		if b := s.Stats().Bots[0]; b.Identifies != 1025 || b.Conns != 1024 {
			t.Errorf("%d identifies and %d connections, want 1025 and 1024", b.Identifies, b.Conns)
		}
		f.stop()
	})
}

// clean checks that all that was sent was received, once and in order, and
// that no rule was broken.
func clean(t *testing.T, s *discordtest.Server, j *discordtest.Judge) discordtest.Verdict {
	t.Helper()
	synctest.Wait()
	v := j.Verdict()
	if v.Sent == 0 || v.Lost+v.Doubled+v.OutOfOrder != 0 {
		t.Errorf("verdict %+v\n%v", v, v.Offences)
	}
	for _, x := range s.Violations() {
		t.Errorf("violation: %v", x)
	}
	return v
}

func TestReshardBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 50, IdentifyRemaining: 60})
		defer s.Close()
		f := start(t, s, nil, &discord.ClientConfig{Shards: 1, ReshardAt: -1})
		defer f.stop()
		time.Sleep(10 * time.Second)
		var be *discord.BudgetError
		if err := f.Resize(t.Context(), 16); !errors.As(err, &be) || be.Want != 16 || be.Reset.IsZero() {
			t.Errorf("Resize(16) = %v, want a BudgetError with the time of the reset", err)
		}
		if err := f.Resize(t.Context(), 5); err != nil {
			t.Errorf("Resize(5) = %v", err)
		}
	})
}

// TestResizeWithinResize asks for too few shards while others come up, which do
// not know their guilds yet: it is refused all the same.
func TestResizeWithinResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 30})
		defer s.Close()
		f := start(t, s, nil, &discord.ClientConfig{Shards: 2, ReshardAt: -1, Balancer: balancer.Config{ChannelsPerShard: 20}})
		defer f.stop()
		time.Sleep(20 * time.Second)
		if err := f.Resize(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := f.Resize(t.Context(), 1); !errors.Is(err, discord.ErrSharding) {
			t.Errorf("Resize to 1 for 30 guilds of 20 a shard = %v, want ErrSharding", err)
		}
	})
}

// TestResizeOfLargeBot asks for a number of shards that Discord does not take from
// a large bot: it is refused although the bot was started with a number given.
func TestResizeOfLargeBot(t *testing.T) {
	if testing.Short() {
		t.Skip("150,001 guilds take minutes with -race")
	}
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 150_001, MaxConcurrency: 64, RecommendedShards: 64, ShardMultiple: 64})
		defer s.Close()
		f := start(t, s, nil, &discord.ClientConfig{Shards: 64, ReshardAt: -1, Balancer: balancer.Config{ChannelsPerShard: 2500, MaxShardCount: 128}})
		defer f.stop()
		time.Sleep(time.Minute)
		if err := f.Resize(t.Context(), 100); !errors.Is(err, discord.ErrSharding) {
			t.Errorf("Resize to 100 = %v, want ErrSharding", err)
		}
	})
}
