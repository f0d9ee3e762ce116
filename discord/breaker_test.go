package discord

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// loop runs a program that starts n shards, dies when the last one is ready, and
// is started again at once, until ctx ends. It returns how many it identified.
func loop(ctx context.Context, store Store, n, concurrency int) int {
	sent := 0
	for ctx.Err() == nil {
		i := NewIdentifier(&IdentifierConfig{Store: store})
		info := said(1000, 1000, 0, concurrency) // Discord lags
		info.At = time.Now()
		i.Update(info)
		for index := range n {
			if i.Wait(ctx, balancer.BudgetIdentify, shard(index, n), 1) == nil {
				sent++
				i.Ready(shard(index, n))
			}
		}
		select {
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
		}
	}
	return sent
}

func TestBreakerOutlivesTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := FileStore(t.TempDir())
		for range 3 { // two restarts that lose all sessions are nobody's crash loop
			i := NewIdentifier(&IdentifierConfig{Store: store})
			i.Update(said(1000, 1000, 0, 16))
			began := time.Now()
			for index := range 16 {
				identify(t, i, index, 16)
				i.Ready(shard(index, 16))
			}
			if took := time.Since(began); took > per {
				t.Fatalf("a start took %v", took)
			}
			time.Sleep(20 * time.Second)
		}
		i := NewIdentifier(&IdentifierConfig{Store: store})
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		index := 0
		var err error
		for ; err == nil; index++ {
			err = i.Wait(ctx, balancer.BudgetIdentify, shard(index, 16), 1)
		}
		if index != 6 || !errors.Is(err, ErrBreaker) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("the fourth start: shard %d: %v", index-1, err)
		}
		if !strings.Contains(err.Error(), "held back until") {
			t.Errorf("%v", err)
		}
		i = NewIdentifier(&IdentifierConfig{Store: store}) // the next process is held back too
		if err := i.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		held := i.Status().HeldUntil
		if d := time.Until(held); d != 30*time.Second {
			t.Errorf("held for another %v, want 30s", d)
		}
		if err := i.Check(16); !errors.Is(err, ErrBreaker) {
			t.Errorf("Check = %v", err)
		}
		// What was mended comes up at once, one first.
		at := identifyAll(t, i, 16)
		for index, d := range at {
			if d != at[0] {
				t.Errorf("shard %d after %v, want %v", index, d, at[0])
			}
		}
		if d := time.Since(held); d != 0 {
			t.Errorf("up %v after the pause", d)
		}
	})
}

func TestCrashLoopForADay(t *testing.T) {
	for _, c := range []struct{ shards, concurrency, most int }{{1, 1, 200}, {16, 1, 400}, {16, 16, 400}, {100, 16, 950}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), day-time.Second)
			defer stop()
			sent := loop(ctx, MemoryStore(), c.shards, c.concurrency)
			if sent > c.most {
				t.Errorf("%d shards at %d: %d IDENTIFYs in a day, want at most %d", c.shards, c.concurrency, sent, c.most)
			}
			t.Logf("%d shards at %d: %d IDENTIFYs in a day", c.shards, c.concurrency, sent)
		})
	}
}

// Discord refuses every session (op 9 after IDENTIFY): one IDENTIFY a pause.
func TestBreakerOnRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(nil)
		i.Update(said(1000, 1000, 0, 16))
		ctx, stop := context.WithTimeout(t.Context(), 12*time.Hour)
		defer stop()
		sent := make([]int, 16)
		var wg sync.WaitGroup
		for index := range sent {
			wg.Go(func() {
				for i.Wait(Emergency(ctx), balancer.BudgetIdentify, shard(index, 16), 1) == nil {
					sent[index]++
					time.Sleep(100 * time.Millisecond)
					i.Failed(shard(index, 16), ErrInvalidSession)
				}
			})
		}
		wg.Wait()
		total := 0
		for _, n := range sent {
			total += n
		}
		// 37, those that were on their way, and one for each pause of 1, 2, 4 … minutes.
		if total < 37 || total > 37+16+12 {
			t.Errorf("%d IDENTIFYs", total)
		}
		t.Logf("%d IDENTIFYs in 12 hours of refusals", total)
	})
}

func TestBreakerForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(nil)
		// A shard that loses its session now and then is no crash loop.
		for range 200 {
			began := time.Now()
			identify(t, i, 0, 1)
			i.Ready(shard(0, 1))
			if took := time.Since(began); took != 0 {
				t.Fatalf("held back for %v", took)
			}
			time.Sleep(11 * time.Minute)
		}
		if s := i.Status(); s.Wasted != 0 {
			t.Errorf("Status() = %+v", s)
		}
		for n := range 5 {
			if got, want := (Breaker{}.withDefaults()).hold(n), time.Minute<<n; got != want {
				t.Errorf("hold(%d) = %v, want %v", n, got, want)
			}
		}
		if got := (Breaker{}.withDefaults()).hold(1 << 30); got != 4*time.Hour {
			t.Errorf("hold(many) = %v", got)
		}
	})
}

func TestBreakerOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(&IdentifierConfig{Breaker: Breaker{Off: true}})
		began := time.Now()
		for range 100 {
			identify(t, i, 0, 1)
			i.Failed(shard(0, 1), ErrTimeout)
		}
		if took := time.Since(began); took != 99*per {
			t.Errorf("took %v, want %v", took, 99*per)
		}
	})
}

// That the one which went first came to nothing is known to the next process.
func TestRefusalOutlivesTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := MemoryStore()
		i := NewIdentifier(&IdentifierConfig{Store: store})
		for range 7 { // 2 x 1 + 5
			identify(t, i, 0, 1)
			i.Failed(shard(0, 1), ErrInvalidSession)
		}
		for n := range 3 { // those that go first, and are refused too
			began := time.Now()
			identify(t, i, 0, 1)
			if took, want := time.Since(began), time.Minute<<n; took != want {
				t.Errorf("pause %d: %v, want %v", n, took, want)
			}
			i.Failed(shard(0, 1), ErrInvalidSession)
			i.Load(t.Context())
			i = NewIdentifier(&IdentifierConfig{Store: store})
			i.Load(t.Context())
			if got, want := time.Until(i.Status().HeldUntil), time.Minute<<(n+1); got != want {
				t.Errorf("the next process is held back for %v, want %v", got, want)
			}
		}
		// What was said of the IDENTIFY of one process does not hold for that of another.
		a, b := NewIdentifier(&IdentifierConfig{Store: store, Name: "n"}), NewIdentifier(&IdentifierConfig{Store: store, Name: "n"})
		identify(t, a, 0, 1)
		time.Sleep(time.Second)
		a.Failed(shard(0, 1), ErrTimeout)
		time.Sleep(time.Second)
		identify(t, b, 0, 1)
		a.Load(t.Context())
		b.Load(t.Context())
		if s := b.Status(); s.Wasted != 1 || s.Spent != 2 {
			t.Errorf("Status() = %+v, want 1 of 2 wasted", s)
		}
	})
}
