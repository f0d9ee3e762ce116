package discord_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

// step is one thing that happens to a fleet.
type step struct {
	kind string
	n    int
	wait time.Duration
}

func (s step) String() string { return fmt.Sprintf("%s %d, %v", s.kind, s.n, s.wait) }

// resumableFaults leave the session to be resumed: nothing may be in a gap.
var resumableFaults = []string{"drop", "hangup", "half-open", "mute", "reconnect", "op9 true", "4000", "4008", "1001", "no ack", "split", "duplicate", "delay", "burst", "resume host", "early op7", "hello never", "coalesce"}

// strike does a fault to the n-th connection, counted round.
func strike(s *discordtest.Server, kind string, n int) {
	live := s.Stats().Conns
	to := discordtest.Target{Conn: 0}
	if ids := s.Live(); len(ids) > 0 {
		to.Conn = ids[n%len(ids)]
	}
	if live == 0 || to.Conn == 0 {
		return
	}
	f := discordtest.Fault{}
	switch kind {
	case "drop":
		f.Kind = discordtest.Drop
	case "hangup":
		f.Kind = discordtest.Hangup
	case "half-open":
		f.Kind = discordtest.HalfOpen
	case "mute":
		f.Kind = discordtest.Mute
	case "reconnect":
		f.Kind, f.For = discordtest.Reconnect, time.Second
	case "op9 true":
		f.Kind, f.Resumable = discordtest.InvalidSession, true
	case "op9 false":
		f.Kind = discordtest.InvalidSession
	case "4000", "4008", "1001", "4009":
		f.Kind = discordtest.CloseWith
		fmt.Sscan(kind, &f.Code)
	case "no ack":
		f.Kind = discordtest.NoACK
	case "split":
		f.Kind = discordtest.SplitFrames
	case "coalesce":
		f.Kind, f.For = discordtest.Coalesce, 50*time.Millisecond
	case "duplicate":
		f.Kind, f.Rate = discordtest.Duplicate, 0.3
	case "delay":
		f.Kind, f.For = discordtest.Delay, time.Duration(n)*10*time.Millisecond
	case "burst":
		f.Kind = discordtest.HeartbeatBurst
	case "forget":
		f.Kind = discordtest.Forget
		s.Inject(f, to)
		f.Kind = discordtest.Drop
	case "resume host":
		s.Inject(discordtest.Fault{Kind: discordtest.Unavailable, Times: 1 + n%2}, discordtest.Target{Host: discordtest.Resume})
		f.Kind = discordtest.Drop
	case "early op7":
		s.Inject(discordtest.Fault{Kind: discordtest.Reconnect, At: discordtest.AtConnect, Times: 1}, discordtest.Target{})
		f.Kind = discordtest.Drop
	case "hello never":
		s.Inject(discordtest.Fault{Kind: discordtest.Mute, At: discordtest.AtConnect, Times: 1}, discordtest.Target{})
		f.Kind = discordtest.Drop
	}
	s.Inject(f, to)
}

// TestUnderFaults resizes any number of shards to any number, and restarts the
// process, while connections fail in every way that leaves the session to be
// resumed: all that was sent is received, once and in order, and no IDENTIFY is
// spent but one for each new shard.
func TestUnderFaults(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		first := rapid.IntRange(1, 5).Draw(rt, "shards")
		compression := rapid.SampledFrom([]discord.Compression{discord.ZlibStream, discord.Uncompressed, discord.ZstdStream}).Draw(rt, "compression")
		kinds := append([]string{"resize", "resize", "resize", "restart"}, resumableFaults...)
		var steps []step
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			steps = append(steps, step{rapid.SampledFrom(kinds).Draw(rt, "kind"), rapid.IntRange(0, 100).Draw(rt, "n"),
				time.Duration(rapid.IntRange(0, 20_000).Draw(rt, "wait")) * time.Millisecond})
		}
		var problems []string
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			s := discordtest.New(&discordtest.Config{
				Seed: seed | 1, GuildDelay: time.Second, HeartbeatInterval: 6 * time.Second, ReplayMax: 100_000, SessionLife: 10 * time.Minute,
				Bots: []discordtest.Bot{{GuildCount: 60, MaxConcurrency: 16}},
			})
			defer s.Close()
			j := s.Judge()
			cfg := &discord.ClientConfig{Shards: first, ReshardAt: -1, Transport: discord.Config{Store: discord.MemoryStore(), Compression: compression, SessionAge: 10 * time.Minute},
				Balancer: balancer.Config{MaxShardCount: 8}}
			f := start(t, s, j, cfg)
			chat(s, rnd, 10*time.Second, 50*time.Millisecond)
			identifies, count := first, first
			for _, st := range steps {
				switch st.kind {
				case "resize":
					if n := 1 + st.n%8; n != count && settled(f, count) {
						if err := f.Resize(context.Background(), n); err != nil {
							problems = append(problems, err.Error())
							break
						}
						identifies += n
						count = n
						chat(s, rnd, 100*time.Millisecond, 50*time.Millisecond)
					}
				case "restart":
					if !settled(f, count) {
						break
					}
					f.stop()
					chat(s, rnd, time.Duration(st.n)*100*time.Millisecond, 50*time.Millisecond)
					cfg.Shards = 0
					f = start(t, s, j, cfg)
				default:
					strike(s, st.kind, st.n)
				}
				chat(s, rnd, st.wait, 50*time.Millisecond)
			}
			s.Heal()
			chat(s, rnd, 40*time.Second, 100*time.Millisecond)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if v := j.Verdict(); v.Lost+v.Doubled+v.OutOfOrder+v.InGaps != 0 {
				problems = append(problems, fmt.Sprintf("verdict %+v %v", v, v.Offences))
			}
			for _, v := range s.Violations() {
				problems = append(problems, v.String())
			}
			b := s.Stats().Bots[0]
			if int(b.Identifies) != identifies || b.Conns != count {
				problems = append(problems, fmt.Sprintf("%d identifies and %d connections, want %d and %d", b.Identifies, b.Conns, identifies, count))
			}
			for _, sh := range f.Shards() {
				if sh.State != balancer.Ready || sh.Err != nil {
					problems = append(problems, fmt.Sprintf("%+v", sh))
				}
			}
			f.stop()
		})
		if len(problems) > 0 {
			rt.Fatalf("seed %d, %d shards, %v, steps:\n%v\n%s", seed, first, compression, steps, strings.Join(problems, "\n"))
		}
	})
}

// settled reports whether there are that many shards and no resize is under way.
func settled(f *fleet, count int) bool {
	gen := 0
	if len(f.Shards()) != count {
		return false
	}
	for _, s := range f.Shards() {
		if gen != 0 && s.ID.Gen != gen || s.Awaited > 0 {
			return false
		}
		gen = s.ID.Gen
	}
	return gen != 0
}
