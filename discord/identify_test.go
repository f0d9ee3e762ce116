package discord

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// per is the time between IDENTIFYs of a key.
const per = identifyPer + defaultMargin

func shard(index, count int) balancer.ShardID { return balancer.ShardID{Index: index, Count: count} }

func said(total, remaining int, reset time.Duration, concurrency int) GatewayInfo {
	return GatewayInfo{URL: "wss://gateway", Shards: 1, At: time.Now(), Limit: StartLimit{
		Total: total, Remaining: remaining, ResetAfter: reset, MaxConcurrency: concurrency,
	}}
}

func identify(t *testing.T, i *Identifier, index, count int) {
	t.Helper()
	if err := i.Wait(t.Context(), balancer.BudgetIdentify, shard(index, count), 1); err != nil {
		t.Fatalf("shard %d of %d: %v", index, count, err)
	}
}

// identifyAll returns when each of n shards was let go, from now on.
func identifyAll(t *testing.T, i *Identifier, n int) []time.Duration {
	t.Helper()
	at, began := make([]time.Duration, n), time.Now()
	var wg sync.WaitGroup
	for index := range n {
		wg.Go(func() {
			identify(t, i, index, n)
			at[index] = time.Since(began)
			i.Ready(shard(index, n))
		})
		synctest.Wait() // they come in order
	}
	wg.Wait()
	return at
}

func TestSameKeyIsSerial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(nil)
		for index, at := range identifyAll(t, i, 5) {
			if want := time.Duration(index) * per; at != want {
				t.Errorf("shard %d after %v, want %v", index, at, want)
			}
		}
	})
}

func TestOtherKeysAreParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(&IdentifierConfig{Store: MemoryStore()})
		i.Update(said(1000, 1000, 0, 4))
		for index, at := range identifyAll(t, i, 10) {
			if want := time.Duration(index/4) * per; at != want {
				t.Errorf("shard %d after %v, want %v", index, at, want)
			}
		}
		if s := i.Status(); s.Spent != 10 || s.Left != 990 || s.MaxConcurrency != 4 {
			t.Errorf("Status() = %+v", s)
		}
	})
}

func TestConcurrencyLearntLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(nil)
		began := time.Now()
		var wg sync.WaitGroup
		for index := range 16 {
			wg.Go(func() { identify(t, i, index, 16) })
		}
		synctest.Wait()
		i.Update(said(1000, 999, day, 16))
		wg.Wait()
		// One had gone, and with it its key; none of the others waits.
		if took := time.Since(began); took != 0 {
			t.Errorf("16 shards of 16 keys took %v", took)
		}
	})
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(nil)
		check := func(want time.Duration) {
			t.Helper()
			if d := i.Delay(shard(3, 4)); d != want {
				t.Errorf("Delay = %v, want %v", d, want)
			}
		}
		check(0)
		identify(t, i, 0, 4)
		check(per)
		time.Sleep(2 * time.Second)
		var wg sync.WaitGroup
		ctx, stop := context.WithCancel(Emergency(t.Context()))
		for index := range 2 {
			wg.Go(func() { i.Wait(ctx, balancer.BudgetIdentify, shard(index, 4), 1) })
		}
		synctest.Wait()
		check(per - 2*time.Second + 2*per)
		stop()
		wg.Wait()
		check(per - 2*time.Second)
		i.Update(said(1000, 40, 6*time.Hour, 1)) // below the floor
		check(per - 2*time.Second)
		if d := i.DelayFor(t.Context(), shard(3, 4)); d != 6*time.Hour {
			t.Errorf("DelayFor a start = %v, want 6h", d)
		}
	})
}

func TestBudgetWaitsForReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(&IdentifierConfig{Floor: -1})
		i.Update(said(1000, 3, 7*time.Hour, 1))
		began := time.Now()
		for index, want := range []time.Duration{0, per, 7 * time.Hour, 7*time.Hour + per} {
			identify(t, i, index, 4)
			if at := time.Since(began); at != want {
				t.Errorf("IDENTIFY %d after %v, want %v: the last one of the day is not spent", index, at, want)
			}
		}
		// The reset has refilled it, and a new day has begun.
		s := i.Status()
		if s.Spent != 2 || s.Left != 998 || !s.Resets.Equal(began.Add(7*time.Hour+day)) {
			t.Errorf("Status() = %+v", s)
		}
	})
}

func TestCancelSpendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(&IdentifierConfig{Store: MemoryStore()})
		identify(t, i, 0, 3)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for index := 1; index < 3; index++ { // the first has a timer, the second waits for it
			wg.Go(func() {
				if err := i.Wait(ctx, balancer.BudgetIdentify, shard(index, 3), 1); !errors.Is(err, context.Canceled) {
					t.Errorf("shard %d: %v", index, err)
				}
			})
		}
		synctest.Wait()
		stop()
		wg.Wait()
		if s := i.Status(); s.Spent != 1 {
			t.Errorf("%d spent, want 1", s.Spent)
		}
		began := time.Now()
		identify(t, i, 1, 3) // the way is free
		if took := time.Since(began); took != per {
			t.Errorf("the next one took %v, want %v", took, per)
		}
		if err := i.Wait(ctx, balancer.BudgetIdentify, shard(2, 3), 1); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is over: %v", err)
		}
		if s := i.Status(); s.Spent != 2 {
			t.Errorf("%d spent, want 2", s.Spent)
		}
	})
}

func TestFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(nil)
		i.Update(said(1000, 52, 7*time.Hour, 1))
		resets := time.Now().Add(7 * time.Hour)
		if s := i.Status(); s.Floor != 50 || s.Left != 52 || !s.Resets.Equal(resets) {
			t.Errorf("Status() = %+v", s)
		}
		if err := i.Check(2); err != nil {
			t.Errorf("Check(2) = %v", err)
		}
		var short *BudgetError
		if err := i.Check(3); !errors.As(err, &short) || *short != (BudgetError{3, 52, 50, resets}) {
			t.Errorf("Check(3) = %v", err)
		}
		identify(t, i, 0, 4)
		identify(t, i, 1, 4)
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		err := i.Wait(ctx, balancer.BudgetIdentify, shard(2, 4), 1)
		if !errors.As(err, &short) || !errors.Is(err, ErrBudget) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a start below the floor: %v", err)
		}
		// A start that waits is in nobody's way.
		var wg sync.WaitGroup
		over, end := context.WithCancel(t.Context())
		wg.Go(func() { i.Wait(over, balancer.BudgetIdentify, shard(2, 4), 1) })
		synctest.Wait()
		began := time.Now()
		for n := range 49 {
			if err := i.Wait(Emergency(t.Context()), balancer.BudgetIdentify, shard(100+n, 200), 1); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 48*per {
			t.Errorf("49 emergencies took %v, want %v", took, 48*per)
		}
		if err := i.Wait(Emergency(ctx), balancer.BudgetIdentify, shard(1, 4), 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the last one was spent: %v", err)
		}
		end()
		wg.Wait()
		if s := i.Status(); s.Left != 1 {
			t.Errorf("%d left, want 1", s.Left)
		}
	})
}

func TestLowerCountCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(nil)
		check := func(what string, left int, resets time.Time) {
			t.Helper()
			if s := i.Status(); s.Left != left || s.Resets.Sub(resets).Abs() > slack {
				t.Errorf("%s: %+v, want %d left until %v", what, s, left, resets)
			}
		}
		ends := time.Now().Add(day)
		i.Update(said(1000, 1000, 0, 16))
		for index := range 10 {
			identify(t, i, index, 16)
		}
		check("own count", 990, ends)
		i.Update(said(1000, 995, day, 16)) // the service lags
		check("service behind", 990, ends)
		i.Update(said(1000, 900, day, 16)) // another process spends too
		check("service ahead", 900, ends)
		identify(t, i, 10, 16)
		check("own count again", 899, ends)
		i.Update(said(1000, 1000, 0, 16))
		check("service behind", 899, ends)
		time.Sleep(3 * time.Hour)
		ends = time.Now().Add(23 * time.Hour)
		i.Update(said(1000, 997, 23*time.Hour, 16)) // its day began before ours ended
		check("another day", 997, ends)
		i.Update(said(2000, 1990, 23*time.Hour, 16)) // has become a large bot
		check("more", 1990, ends)
		time.Sleep(24 * time.Hour)
		if s := i.Status(); s.Left != 2000 || !s.Resets.IsZero() {
			t.Errorf("after the reset: %+v", s)
		}
	})
}

func TestCountOutlivesTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := FileStore(t.TempDir())
		i := NewIdentifier(&IdentifierConfig{Store: store})
		i.Update(said(1000, 1000, 0, 2))
		for index := range 3 {
			identify(t, i, index, 3)
		}
		began := time.Now()
		next := NewIdentifier(&IdentifierConfig{Store: store}) // after kill -9
		if err := next.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := next.Status(); s.Spent != 3 || s.MaxConcurrency != 2 {
			t.Errorf("Status() = %+v", s)
		}
		identify(t, next, 2, 3) // the key's rhythm goes on
		if took := time.Since(began); took != per {
			t.Errorf("after %v, want %v", took, per)
		}
		if s := next.Status(); s.Spent != 4 || s.Wasted != 1 {
			t.Errorf("Status() = %+v", s)
		}
	})
}

func TestReservedBeforeItIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := MemoryStore()
		i := NewIdentifier(&IdentifierConfig{Store: store})
		identify(t, i, 0, 1)
		data, err := store.Load(t.Context(), storeBudget)
		if l, e := decodeLedger(data, time.Now(), i.rules); err != nil || e != nil || l.spent != 1 {
			t.Errorf("stored: %+v, %v, %v", l, err, e)
		}
	})
}

// Three processes that share a directory: one count, one rhythm per key.
func TestProcessesShareOneCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var mu sync.Mutex
		var at []time.Time
		var wg sync.WaitGroup
		for p := range 3 {
			i := NewIdentifier(&IdentifierConfig{Store: FileStore(dir)})
			i.Update(said(1000, 65, 7*time.Hour, 1)) // each sees 15 above the floor
			for n := range 10 {                      // and starts 10
				wg.Go(func() {
					ctx, stop := context.WithTimeout(t.Context(), time.Hour)
					defer stop()
					err := i.Wait(ctx, balancer.BudgetIdentify, shard(10*p+n, 30), 1)
					if err == nil {
						mu.Lock()
						at = append(at, time.Now())
						mu.Unlock()
					} else if !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		if len(at) != 15 {
			t.Errorf("%d were let go, want 15", len(at))
		}
		for n := 1; n < len(at); n++ {
			if d := at[n].Sub(at[n-1]); d < per {
				t.Errorf("IDENTIFY %d came %v after the one before, want %v", n, d, per)
			}
		}
	})
}

// plain is a Store that is no Updater.
type plain struct{ s Store }

func (p plain) Load(ctx context.Context, name string) ([]byte, error) { return p.s.Load(ctx, name) }
func (p plain) Save(ctx context.Context, name string, data []byte) error {
	return p.s.Save(ctx, name, data)
}
func (p plain) String() string { return p.s.String() }

func TestPlainStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := plain{MemoryStore()}
		i := NewIdentifier(&IdentifierConfig{Store: store})
		i.Update(said(1000, 1000, 0, 16))
		identifyAll(t, i, 32)
		next := NewIdentifier(&IdentifierConfig{Store: store})
		identify(t, next, 0, 1)
		if s := next.Status(); s.Spent != 33 {
			t.Errorf("%d spent, want 33", s.Spent)
		}
	})
}

// broken is a Store on a full disk.
type broken struct{ Store }

func (broken) Save(context.Context, string, []byte) error {
	return errors.New("no space left on device")
}

func TestStoreThatDoesNotWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(&IdentifierConfig{Store: broken{plain{MemoryStore()}}})
		i.Update(said(1000, 900, day, 1))
		for index, at := range identifyAll(t, i, 3) {
			if want := time.Duration(index) * per; at != want {
				t.Errorf("shard %d after %v, want %v", index, at, want)
			}
		}
		if s := i.Status(); s.Left != 897 {
			t.Errorf("%d left, want 897", s.Left)
		}
		// What stands there is none of ours: counted on from what Discord says.
		garbage := MemoryStore()
		garbage.Save(t.Context(), storeBudget, []byte(`{"version":1,"recent":[[-1,0,0,0]]`))
		i = NewIdentifier(&IdentifierConfig{Store: garbage})
		i.Update(said(1000, 800, day, 1))
		identify(t, i, 0, 1)
		next := NewIdentifier(&IdentifierConfig{Store: garbage})
		next.Load(t.Context())
		if s := next.Status(); s.Left != 799 {
			t.Errorf("%d left, want 799", s.Left)
		}
	})
}

func TestOtherBudgetsPass(t *testing.T) {
	i := NewIdentifier(nil)
	for range 100 {
		if err := i.Wait(t.Context(), balancer.BudgetSend, shard(0, 1), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.Wait(t.Context(), balancer.BudgetIdentify, shard(0, 1), 2); err == nil {
		t.Error("two at once were granted")
	}
}

func TestIdentifyColdStart(t *testing.T) {
	for _, c := range []struct{ shards, concurrency int }{{16, 1}, {144, 16}, {1024, 16}} {
		t.Run(fmt.Sprintf("%d at %d", c.shards, c.concurrency), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := NewIdentifier(&IdentifierConfig{Store: MemoryStore()})
				i.Update(said(3000, 3000, 0, c.concurrency))
				if err := i.Check(c.shards); err != nil {
					t.Fatal(err)
				}
				all := identifyAll(t, i, c.shards)
				took := all[len(all)-1]
				ideal := time.Duration(ceil(c.shards, c.concurrency)) * identifyPer
				if took > ideal*105/100 {
					t.Errorf("took %v, want at most %v", took, ideal*105/100)
				}
				if s := i.Status(); s.Spent != c.shards || s.Wasted != 0 {
					t.Errorf("Status() = %+v", s)
				}
				t.Logf("%v, %.3f of %v", took, float64(took)/float64(ideal), ideal)
			})
		})
	}
}

// A process that asked Discord long ago does not undo what another was told since.
func TestOldNewsIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := MemoryStore()
		old, fresh := NewIdentifier(&IdentifierConfig{Store: store}), NewIdentifier(&IdentifierConfig{Store: store})
		old.Update(said(1000, 1000, 2*time.Hour, 1))
		time.Sleep(time.Hour)
		fresh.Update(said(2000, 500, 9*time.Hour, 16))
		identify(t, fresh, 0, 16)
		identify(t, old, 1, 16)
		resets := time.Now().Add(9 * time.Hour)
		for _, i := range []*Identifier{old, fresh} {
			i.Load(t.Context())
			if s := i.Status(); s.Total != 2000 || s.Left != 498 || s.MaxConcurrency != 16 || !s.Resets.Equal(resets) {
				t.Errorf("Status() = %+v", s)
			}
		}
	})
}
