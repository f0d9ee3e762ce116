package balancer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/chatshard/chatshard/balancer"
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
