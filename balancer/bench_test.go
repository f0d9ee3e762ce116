package balancer_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// silent is a Transport whose connections do nothing.
type silent struct{}

func (silent) Dial(context.Context, balancer.ShardID, *balancer.Session) (balancer.Conn, error) {
	return &silentConn{done: make(chan struct{})}, nil
}

type silentConn struct {
	up    atomic.Bool
	ended atomic.Bool
	done  chan struct{}
}

func (c *silentConn) Receive(buf []balancer.Event) (int, error) {
	if !c.up.Swap(true) {
		buf[0] = balancer.Event{Data: balancer.Up{}}
		return 1, nil
	}
	<-c.done
	return 0, context.Canceled
}
func (c *silentConn) Send(context.Context, []byte) error { return nil }
func (c *silentConn) Close() error {
	if !c.ended.Swap(true) {
		close(c.done)
	}
	return nil
}
func (c *silentConn) Quit(context.Context) error                  { return c.Close() }
func (c *silentConn) Join(context.Context, ...balancer.Key) error { return nil }
func (c *silentConn) Part(context.Context, ...balancer.Key) error { return nil }

// never is a Limiter that grants logins and no joins: what is measured is
// placing a key, not asking a service for it.
type never struct{}

func (never) Wait(ctx context.Context, kind balancer.Budget, _ balancer.ShardID, _ int) error {
	if kind == balancer.BudgetLogin {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// joinAll has a running Balancer place n keys on a number of shards, one Join
// at a time, and returns the time per key, that of the bare loop in the same
// run, and the memory per key.
func joinAll(n, shards int) (perKey, bare time.Duration, bytes float64) {
	bal := balancer.New(silent{}, &balancer.Config{
		ChannelsPerShard: n/shards + 1, MaxShardCount: shards, InitialShardCount: shards, Limiter: never{},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- bal.Run(ctx, func(context.Context, balancer.Event) {}) }()
	for up := 0; up < shards; {
		up = 0
		for _, s := range bal.Shards() {
			if s.State == balancer.Ready {
				up++
			}
		}
		runtime.Gosched()
	}
	keys := make([]balancer.Key, n)
	for i := range keys {
		keys[i] = balancer.Key("channel_" + strconv.Itoa(i))
	}
	before := heap()
	start := time.Now()
	for _, k := range keys {
		bal.Join(k)
	}
	for st, _ := bal.Locate(keys[n-1]); !st.Placed; st, _ = bal.Locate(keys[n-1]) {
		<-time.After(100 * time.Microsecond)
	}
	perKey = time.Since(start) / time.Duration(n)
	bytes = float64(heap()-before) / float64(n)
	bare = bareJoin(keys, shards)
	cancel()
	<-done
	runtime.KeepAlive(keys)
	return perKey, bare, bytes
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// bareJoin is the least that placing a key costs: a map from key to entry, a
// queue of shards by number of keys, and a list of keys per shard.
func bareJoin(keys []balancer.Key, shards int) time.Duration {
	type entry struct {
		key   balancer.Key
		shard int32
	}
	at := make(map[balancer.Key]*entry)
	lists := make([][]*entry, shards)
	start := time.Now()
	for i, k := range keys {
		s := i % shards // what a queue of shards by count comes to when keys only arrive
		e := &entry{k, int32(s)}
		at[k] = e
		lists[s] = append(lists[s], e)
	}
	d := time.Since(start) / time.Duration(len(keys))
	runtime.KeepAlive(at)
	return d
}

// BenchmarkJoin is one Join of a million, on many and on few shards.
func BenchmarkJoin(b *testing.B) {
	const n = 1_000_000
	var few time.Duration
	for _, shards := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("1M_keys_on_%d_shards", shards), func(b *testing.B) {
			var d, bare time.Duration
			var bytes float64
			for b.Loop() {
				d, bare, bytes = joinAll(n, shards)
			}
			b.ReportMetric(float64(d.Nanoseconds()), "ns/key")
			b.ReportMetric(bytes, "B/key")
			b.ReportMetric(float64(d)/float64(bare), "x_bare")
			if shards == 100 {
				few = d
			} else if few > 0 {
				b.ReportMetric(float64(d)/float64(few), "x_100_shards")
			}
		})
	}
}

// BenchmarkPlan is a plan for a million keys on 10,000 shards.
func BenchmarkPlan(b *testing.B) {
	v := balancer.View{KeyCap: 101, MaxShards: 10_000, Asked: 10_000}
	for i := range 1_000_000 {
		v.Unplaced = append(v.Unplaced, balancer.Key("channel_"+strconv.Itoa(i)))
	}
	b.Run("Distributed", func(b *testing.B) {
		for b.Loop() {
			balancer.Distributed(v)
		}
	})
	b.Run("Weighted", func(b *testing.B) {
		for b.Loop() {
			balancer.Weighted(v)
		}
	})
}

// BenchmarkEven is the plan of moves when 1 % of shards come, and how many
// moves more than the least possible it makes.
func BenchmarkEven(b *testing.B) {
	const shards, each = 10_000, 100
	v := balancer.View{KeyCap: 200, MaxShards: 20_000, Asked: shards + shards/100, Resized: true}
	for i := range shards {
		v.Shards = append(v.Shards, balancer.ShardView{ID: balancer.ShardID{Index: i}, Keys: each, Cap: 200})
	}
	v.KeysOf = func(s int) iter.Seq2[balancer.Key, balancer.Rate] {
		return func(yield func(balancer.Key, balancer.Rate) bool) {
			for i := range each {
				if !yield(balancer.Key(strconv.Itoa(s*each+i)), balancer.Rate{}) {
					return
				}
			}
		}
	}
	moves := 0
	for b.Loop() {
		moves = len(balancer.Distributed(v).Move)
	}
	least := shards / 100 * (shards * each / (shards + shards/100))
	b.ReportMetric(float64(moves)/float64(least), "x_least_moves")
}
