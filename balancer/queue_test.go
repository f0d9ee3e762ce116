package balancer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/balancer/balancertest"
)

// slow runs a fleet whose handler waits for gate before each message: once with
// a goroutine for each connection, and once with connections that are waited for
// together.
func slow(t *testing.T, cfg balancer.Config, story func(f *fleet, gate chan struct{})) {
	for _, polled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := &fleet{net: balancertest.NewNetwork(balancertest.Config{Polled: polled}), rec: balancertest.NewRecorder()}
			f.Balancer = newBalancer(f.net.Free(), &cfg, polled)
			gate := make(chan struct{})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() {
				defer close(done)
				f.err = f.Run(ctx, func(ctx context.Context, e balancer.Event) {
					if _, ok := e.Data.(*balancertest.Message); ok {
						<-gate
					}
					f.rec.Handle(ctx, e)
				})
			}()
			story(f, gate)
			cancel()
			<-done
			if f.err != nil {
				t.Error(f.err)
			}
			if t.Failed() {
				t.Logf("polled: %v", polled)
			}
		})
		if t.Failed() {
			return
		}
	}
}

func TestDropOldestSaysWhatItDropped(t *testing.T) {
	cfg := balancer.Config{Queue: balancer.QueueConfig{Bytes: 10_000, WhenFull: balancer.DropOldest}}
	slow(t, cfg, func(f *fleet, gate chan struct{}) {
		ks := keys(2)
		f.Join(ks...)
		time.Sleep(time.Second)
		f.chat(500, time.Millisecond, ks)
		if n := f.Shards()[0].Queued; n > 11_000 {
			t.Errorf("%d bytes wait, want no more than the bound of 10,000 and one read", n)
		}
		close(gate)
		synctest.Wait()
		dropped := 0
		for _, e := range f.rec.Events() {
			if g, ok := e.Data.(balancer.Gap); ok {
				if !errors.Is(g.Err, balancer.ErrOverflow) {
					t.Errorf("gap for %v", g.Err)
				}
				dropped += g.Dropped
			}
		}
		got := f.rec.Received(ks[0]) + f.rec.Received(ks[1])
		if dropped == 0 || dropped+got != 1000 {
			t.Errorf("%d received and %d reported as dropped, want 1000 in all", got, dropped)
		}
		v := f.rec.Verdict(f.net)
		if v.Doubled+v.OutOfOrder != 0 || v.InGaps+v.Lost != dropped {
			t.Errorf("verdict %+v with %d dropped", v, dropped)
		}
	})
}

func TestBlockLosesNothingAndEndsTheConnection(t *testing.T) {
	cfg := balancer.Config{Queue: balancer.QueueConfig{Bytes: 10_000, BlockFor: 20 * time.Second}}
	slow(t, cfg, func(f *fleet, gate chan struct{}) {
		ks := keys(1)
		f.Join(ks...)
		time.Sleep(time.Second)
		f.chat(300, time.Millisecond, ks)
		time.Sleep(10 * time.Second)
		if len(f.net.Live()) != 1 || f.Shards()[0].Conns != 1 {
			t.Error("the connection ended before BlockFor was over")
		}
		time.Sleep(15 * time.Second)
		if n := f.Shards()[0].Queued; n > 30_000 {
			t.Errorf("%d bytes wait, want the bound and a read", n)
		}
		close(gate)
		f.chat(200, 100*time.Millisecond, ks)
		blocked := false
		for _, e := range f.rec.Events() {
			if d, ok := e.Data.(balancer.Down); ok {
				blocked = blocked || errors.Is(d.Err, balancer.ErrBlocked)
			}
		}
		v := f.clean(t)
		if !blocked || v.Gaps != 1 || v.InGaps == 0 {
			t.Errorf("blocked %v, verdict %+v, want a Down for that reason and one gap", blocked, v)
		}
	})
}

// TestSlowShardHoldsUpNoOther checks that a handler which never returns for one
// shard leaves joins, moves and events of the others alone.
func TestSlowShardHoldsUpNoOther(t *testing.T) {
	for _, polled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			net := balancertest.NewNetwork(balancertest.Config{Polled: polled})
			rec := balancertest.NewRecorder()
			b := newBalancer(net.Free(), &balancer.Config{ChannelsPerShard: 1, MaxShardCount: 3, Queue: balancer.QueueConfig{Bytes: 1000}}, polled)
			ks := keys(3)
			ctx, cancel := context.WithCancel(context.Background())
			stuck := make(chan struct{})
			done := make(chan error, 1)
			b.Join(ks...)
			go func() {
				done <- b.Run(ctx, func(ctx context.Context, e balancer.Event) {
					if _, ok := e.Data.(*balancertest.Message); ok && e.Key == ks[0] {
						<-stuck
					}
					rec.Handle(ctx, e)
				})
			}()
			time.Sleep(time.Second)
			for range 100 {
				for _, k := range ks {
					net.Publish(k)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if a, c := rec.Received(ks[1]), rec.Received(ks[2]); a != 100 || c != 100 {
				t.Errorf("the other shards received %d and %d of 100", a, c)
			}
			cancel()
			close(stuck)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
