package discord_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

// TestColdStart starts 1,024 shards, 16 IDENTIFYs per 5 s being allowed, in no
// more than a twentieth over what that dictates; and again with their sessions,
// in seconds and without an IDENTIFY.
func TestColdStart(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand shards take minutes with -race")
	}
	synctest.Test(t, func(t *testing.T) {
		const shards, keys = 1024, 16
		dictated := (shards + keys - 1) / keys * 5 * time.Second
		s := newServer(discordtest.Bot{GuildCount: shards, MaxConcurrency: keys, IdentifyTotal: 2000, RecommendedShards: shards})
		defer s.Close()
		store := discord.MemoryStore()
		run := func(within time.Duration, resumed bool) {
			t.Helper()
			var mu sync.Mutex // guards up
			up := make(map[int]bool)
			begin := time.Now()
			all := make(chan struct{})
			c := config(s)
			c.Store = store
			client := discord.NewClient(discord.FixedToken("bot-token"), &discord.ClientConfig{
				Transport: c, Shards: shards, ReshardAt: -1, Balancer: balancer.Config{MaxShardCount: shards},
			})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				done <- client.Run(ctx, func(_ context.Context, e balancer.Event) {
					d, ok := e.Data.(balancer.Up)
					if !ok {
						return
					}
					if d.Resumed != resumed {
						t.Errorf("shard %v: resumed = %v, want %v", e.Shard, d.Resumed, resumed)
					}
					mu.Lock()
					defer mu.Unlock()
					if up[e.Shard.Index] = true; len(up) == shards {
						close(all)
					}
				})
			}()
			defer func() {
				cancel()
				if err := <-done; err != nil {
					t.Errorf("Run: %v", err)
				}
			}()
			select {
			case <-all:
			case <-time.After(2 * dictated):
				t.Errorf("not all of %d shards are up after %v", shards, 2*dictated)
				return
			}
			took := time.Since(begin)
			t.Logf("resumed %v: %d shards in %v", resumed, shards, took)
			if took > within {
				t.Errorf("resumed %v: %d shards took %v, want %v", resumed, shards, took, within)
			}
			time.Sleep(5 * time.Second) // what is under way arrives
		}
		run(dictated+dictated/20, false)
		cold := s.Stats().Bots[0]
		if cold.Identifies != shards || cold.IdentifiesRefused != 0 {
			t.Errorf("cold start: %v, want %d identifies, none refused", cold, shards)
		}
		run(10*time.Second, true)
		if warm := s.Stats().Bots[0]; warm.Identifies != shards || warm.Resumes != shards || warm.ResumesFailed != 0 || warm.SessionsWasted != 0 {
			t.Errorf("restart: %v, want no identify more and %d resumes", warm, shards)
		}
		for _, x := range s.Violations() {
			t.Errorf("violation: %v", x)
		}
	})
}
