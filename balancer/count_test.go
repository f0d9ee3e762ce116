package balancer_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/balancer/balancertest"
)

// Counts are what the lists come to, while keys come, go, are refused and lost.
func TestCountsAreWhatTheListsSay(t *testing.T) {
	ks := keys(300)
	slow := balancertest.Config{
		Limits:  balancertest.Limits{KeysPerConn: 25},
		Latency: func(int) time.Duration { return 20 * time.Millisecond },
	}
	play(t, slow, balancer.Config{MaxShardCount: 8}, false, func(f *fleet) {
		random := rand.New(rand.NewPCG(1, 2))
		seen := map[balancer.State]bool{}
		for step := range 200 {
			some := ks[random.IntN(len(ks)):]
			some = some[:min(len(some), 1+random.IntN(60))]
			switch random.IntN(5) {
			case 0:
				f.net.Drop(0)
			case 1, 2:
				f.Part(some...)
			default:
				f.Join(some...)
			}
			time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
			synctest.Wait()
			want := map[balancer.State]int{}
			for _, k := range f.Keys() {
				want[k.State]++
				seen[k.State] = true
			}
			if got := f.Count(); !maps.Equal(got, want) {
				t.Fatalf("step %d: Count() = %v, Keys() come to %v", step, got, want)
			}
			shards, queued := map[balancer.ShardState]int{}, 0
			for _, s := range f.Shards() {
				shards[s.State]++
				queued += s.Queued
			}
			if got, bytes := f.CountShards(); !maps.Equal(got, shards) || bytes != queued {
				t.Fatalf("step %d: CountShards() = %v, %d, Shards() come to %v, %d", step, got, bytes, shards, queued)
			}
		}
		if len(seen) < 6 {
			t.Errorf("only states %v were seen", seen)
		}
	})
}

// More keys than are counted at once.
func TestCountOfMany(t *testing.T) {
	const n = 20_000
	b := balancer.New(silent{}, nil)
	for i := range n {
		b.Join(balancer.Key(fmt.Sprint("k", i)))
	}
	if c := b.Count(); len(c) != 1 || c[balancer.Wanted] != n {
		t.Errorf("Count() = %v, want %d wanted", c, n)
	}
}

// BenchmarkCount counts a million keys, as a scrape of metrics does.
func BenchmarkCount(b *testing.B) {
	bal := balancer.New(silent{}, nil)
	for i := range 1_000_000 {
		bal.Join(balancer.Key(fmt.Sprint("channel_", i)))
	}
	for b.Loop() {
		bal.Count()
	}
}
