package balancer_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/balancer/balancertest"
)

// TestWindowNeverOver has many wait at random times and checks every interval.
func TestWindowNeverOver(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 10).Draw(rt, "n")
		per := time.Duration(rapid.IntRange(1, 20).Draw(rt, "per")) * time.Second
		starts := rapid.SliceOfN(rapid.IntRange(0, 60_000), 1, 60).Draw(rt, "starts")
		giveUp := rapid.SliceOfN(rapid.IntRange(0, 3), len(starts), len(starts)).Draw(rt, "giveUp")
		var granted []time.Time
		synctest.Test(t, func(t *testing.T) {
			w := balancer.NewWindow(n, per)
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i, ms := range starts {
				wg.Go(func() {
					time.Sleep(time.Duration(ms) * time.Millisecond)
					ctx := context.Background()
					if giveUp[i] == 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond/2)
						defer cancel()
					}
					if w.Wait(ctx, 1) == nil {
						mu.Lock()
						granted = append(granted, time.Now())
						mu.Unlock()
					}
				})
			}
			wg.Wait()
		})
		for i := n; i < len(granted); i++ {
			if d := granted[i].Sub(granted[i-n]); d < per {
				rt.Fatalf("%d granted within %v, the window is %d per %v", n+1, d, n, per)
			}
		}
		want := 0
		for _, g := range giveUp {
			if g != 0 {
				want++
			}
		}
		if len(granted) < want {
			rt.Fatalf("%d granted, want at least the %d who did not give up", len(granted), want)
		}
	})
}

func TestWindowServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := balancer.NewWindow(1, time.Second)
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if err := w.Wait(context.Background(), 1); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
		}
		wg.Wait()
		for i, n := range order {
			if i != n {
				t.Fatalf("served in the order %v", order)
			}
		}
	})
}

func TestWindowRefusesTheImpossible(t *testing.T) {
	w := balancer.NewWindow(3, time.Second)
	if err := w.Wait(context.Background(), 4); err == nil {
		t.Error("a window of 3 granted 4")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with an ended context returned %v", err)
	}
	if left := w.Left(time.Now()); left != 3 {
		t.Errorf("%d left, want 3", left)
	}
}

// turnstile is a Limiter that lets one login through at a time, a while after
// the last, and counts those that wait.
type turnstile struct {
	every         time.Duration
	mu            sync.Mutex
	waiting, most int
	through       []int // indexes of shards
}

func (l *turnstile) Wait(ctx context.Context, kind balancer.Budget, id balancer.ShardID, _ int) error {
	if kind != balancer.BudgetLogin {
		return nil
	}
	l.mu.Lock()
	l.waiting++
	l.most = max(l.most, l.waiting)
	turn := time.Duration(len(l.through)+l.waiting) * l.every
	l.mu.Unlock()
	t := time.NewTimer(turn)
	defer t.Stop()
	var err error
	select {
	case <-t.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting--
	if err == nil {
		l.through = append(l.through, id.Index)
	}
	return err
}

// TestManyWaitForLogin starts more connections than may wait for the login
// budget at a time.
func TestManyWaitForLogin(t *testing.T) {
	const n, most = 1300, 512
	for _, fixed := range []bool{false, true} {
		l := &turnstile{every: 10 * time.Millisecond}
		cfg := balancer.Config{InitialShardCount: n, MaxShardCount: n, Limiter: l}
		playOnce(t, balancertest.Config{}, cfg, fixed, func(f *fleet) {
			time.Sleep(time.Hour)
			if count, _ := f.CountShards(); count[balancer.Ready] != n {
				t.Errorf("fixed %v: shards %v, want %d ready", fixed, count, n)
			}
			f.Join("k")
			time.Sleep(time.Minute)
			f.net.Publish("k")
			time.Sleep(time.Second)
			f.clean(t)
		})
		if l.most != most || len(l.through) != n || l.waiting != 0 {
			t.Errorf("fixed %v: up to %d waited, %d came through, %d still wait; want %d, %d and none", fixed, l.most, len(l.through), l.waiting, most, n)
		}
		if early := slices.Max(l.through[:min(n/2, len(l.through))]); early >= n/2+most {
			t.Errorf("fixed %v: shard %d was among the first %d", fixed, early, n/2)
		}
	}
}

// TestStopWhileManyWait takes shards away, and ends Run, while most of them are
// not even waiting for the login budget.
func TestStopWhileManyWait(t *testing.T) {
	l := &turnstile{every: time.Second}
	cfg := balancer.Config{InitialShardCount: -1, MaxShardCount: 5000, Limiter: l}
	playOnce(t, balancertest.Config{}, cfg, false, func(f *fleet) {
		acquire := func(from, to int) {
			for i := from; i < to; i++ {
				if err := f.Acquire(balancer.ShardID{Index: i}, nil); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(10 * time.Second)
		}
		acquire(0, 2000)
		for i := 1999; i >= 500; i-- { // those that are queued first
			if _, err := f.Release(context.Background(), balancer.ShardID{Index: i}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		if count, _ := f.CountShards(); count[balancer.Ready] != 500 {
			t.Errorf("shards %v, want 500 ready", count)
		}
		acquire(2000, 4000)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.waiting != 512 {
			t.Errorf("%d wait, want 512", l.waiting)
		}
	})
	if l.waiting != 0 {
		t.Errorf("%d wait after Run has returned", l.waiting)
	}
}
