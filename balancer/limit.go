package balancer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Budget names what a Limiter paces.
type Budget int

// What services limit per account, whatever the number of connections.
const (
	BudgetJoin     Budget = iota // one JOIN, counted per channel
	BudgetLogin                  // one login of a connection (Twitch: authentication)
	BudgetIdentify               // one Discord IDENTIFY
	BudgetSend                   // one message or command sent
)

func (b Budget) String() string {
	switch b {
	case BudgetJoin:
		return "join"
	case BudgetLogin:
		return "login"
	case BudgetIdentify:
		return "identify"
	case BudgetSend:
		return "send"
	}
	return fmt.Sprintf("budget(%d)", int(b))
}

// Limiter paces what a service limits. Wait blocks until n more of kind may be
// spent by shard id, spends them, and returns nil; or returns ctx's error and
// spends nothing. It is safe for concurrent use. All connections of an account
// share one, in a cluster too. At most 512 new connections of a Balancer wait for
// [BudgetLogin] at a time, in the order in which they were started.
type Limiter interface {
	Wait(ctx context.Context, kind Budget, id ShardID, n int) error
}

// Window is a limit of N per Per, kept as a sliding log: in no interval of
// length Per are more than N spent, wherever the interval starts. (A token
// bucket admits a burst of N and then refills, up to 2N in one interval.)
// The zero Window is not usable; use [NewWindow]. Safe for concurrent use.
type Window struct {
	mu      sync.Mutex // guards all below; never held while waiting
	per     time.Duration
	log     []time.Time     // ring of the last len(log) spendings
	next    int             // where the next one goes, the oldest stands
	served  bool            // somebody has his turn
	waiters []chan struct{} // those after him, each closed when his turn comes
}

// NewWindow returns a Window of n per d. It panics if n < 1 or d <= 0.
func NewWindow(n int, d time.Duration) *Window {
	if n < 1 || d <= 0 {
		panic(fmt.Sprintf("balancer: NewWindow(%d, %v): both must be positive", n, d))
	}
	return &Window{per: d, log: make([]time.Time, n)}
}

// Wait blocks until n more may be spent. Those who wait are served in the order
// in which they came; only the first has a timer. If n exceeds the window's N it
// returns an error at once.
func (w *Window) Wait(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.turn(ctx); err != nil {
		return err
	}
	defer w.pass()
	for {
		d, err := w.Take(time.Now(), n)
		if err != nil || d == 0 {
			return err
		}
		t := time.NewTimer(d)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// turn waits until nobody who came before waits.
func (w *Window) turn(ctx context.Context) error {
	w.mu.Lock()
	if !w.served {
		w.served = true
		w.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	w.waiters = append(w.waiters, mine)
	w.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	i := slices.Index(w.waiters, mine)
	if i >= 0 {
		w.waiters = slices.Delete(w.waiters, i, i+1)
	}
	w.mu.Unlock()
	if i < 0 { // it was this one's turn already
		w.pass()
	}
	return ctx.Err()
}

// pass lets the next one have its turn.
func (w *Window) pass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiters) == 0 {
		w.served = false
		return
	}
	close(w.waiters[0])
	w.waiters = w.waiters[1:]
}

// Take spends n at the time now if that is allowed and returns 0; otherwise it
// spends nothing and returns how long to wait before asking again.
func (w *Window) Take(now time.Time, n int) (time.Duration, error) {
	if n > len(w.log) {
		return 0, fmt.Errorf("balancer: a window of %d cannot grant %d at once", len(w.log), n)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n <= 0 {
		return 0, nil
	}
	// The n-th oldest entry must have left the window before n new ones fit.
	oldest := w.log[(w.next+n-1)%len(w.log)]
	if !oldest.IsZero() {
		if d := oldest.Add(w.per).Sub(now); d > 0 {
			return d, nil
		}
	}
	for range n {
		w.log[w.next] = now
		w.next = (w.next + 1) % len(w.log)
	}
	return 0, nil
}

// Left returns how many may be spent at the time now without waiting.
func (w *Window) Left(now time.Time) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := 0
	for i := range w.log {
		t := w.log[(w.next+i)%len(w.log)]
		if !t.IsZero() && t.Add(w.per).After(now) {
			break
		}
		left++
	}
	return left
}

// Windows is a Limiter made of one Window per Budget. A Budget without a
// Window is not limited. It must not be changed once in use.
type Windows map[Budget]*Window

// Wait implements [Limiter].
func (ws Windows) Wait(ctx context.Context, kind Budget, _ ShardID, n int) error {
	w := ws[kind]
	if w == nil {
		return ctx.Err()
	}
	return w.Wait(ctx, n)
}
