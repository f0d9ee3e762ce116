package discord

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/chatshard/chatshard/balancer"
)

// IdentifierConfig is how an [Identifier] paces. Nil and the zero value work.
type IdentifierConfig struct {
	// Store keeps the count over restarts, and between processes that share
	// it. Default: in memory only.
	Store Store
	// Name is what the count is stored under; default "identifies". Bots that
	// share a Store need a name each.
	Name string
	// Margin is added to the 5 s between IDENTIFYs of a key: what the network
	// may shorten them by. Default 300 ms.
	Margin time.Duration
	// Floor is how many IDENTIFYs of the day starts and resharding leave to
	// reconnects; default one in twenty, at most half of them. Negative: only
	// the last one, which is never spent: Discord then resets the token.
	Floor   int
	Breaker Breaker

	Logger zerolog.Logger // default: disabled
}

// Identifier is a [balancer.Limiter] for the IDENTIFYs of one bot: one per 5 s
// and key shard_id % max_concurrency (events/gateway, "Rate Limiting"), so many
// a day, and none while a [Breaker] holds them back. Other budgets it lets pass.
// It is safe for concurrent use.
//
// With an [Updater] as Store, such as a [FileStore], processes that share it
// keep one count, one rhythm per key and one breaker: an IDENTIFY is counted
// there before it is sent. With another Store two that count in the same moment
// may count once; what /gateway/bot says sets it right. If the Store does not
// work, counting goes on in memory.
type Identifier struct {
	store Store
	name  string
	rules rules
	log   zerolog.Logger

	commit chan struct{} // holds a token while nobody reads and writes the Store
	text   []byte        // what known was read from or written as; whose turn commit says it is

	mu      sync.Mutex // guards all below; never held while waiting or in the Store
	known   ledger     // as of the last reading of the Store
	info    GatewayInfo
	pending []outcome       // not in the Store yet
	urgent  bool            // of these some have to be stored with the next reading
	grants  []identified    // as known, by when Wait returned
	lanes   map[lane]*queue // those who wait
	wake    chan struct{}   // closed when waiting may have become shorter
	said    time.Time       // until when it was logged that all wait
	broken  string          // what was last logged of the Store
}

// outcome is what became of a shard's IDENTIFY.
type outcome struct {
	id    balancer.ShardID
	ready bool
	at    time.Time
}

const mostPending = 8192 // outcomes that wait for a Store; older ones are dropped

// NewIdentifier returns an Identifier. It does not touch the Store before the
// first Load or Wait.
func NewIdentifier(cfg *IdentifierConfig) *Identifier {
	var c IdentifierConfig
	if cfg != nil {
		c = *cfg
	}
	if c.Name == "" {
		c.Name = storeBudget
	}
	if c.Margin <= 0 {
		c.Margin = defaultMargin
	}
	i := &Identifier{
		store: c.Store, name: c.Name, log: c.Logger,
		rules:  rules{margin: c.Margin, floor: c.Floor, breaker: c.Breaker.withDefaults()},
		commit: make(chan struct{}, 1),
		known:  newLedger(),
		lanes:  map[lane]*queue{},
		wake:   make(chan struct{}),
	}
	i.commit <- struct{}{}
	return i
}

type emergencyKey struct{}

// Emergency returns a context with which Wait may spend what starts leave: for
// a shard that was up and has lost its session.
func Emergency(ctx context.Context) context.Context {
	return context.WithValue(ctx, emergencyKey{}, true)
}

func isEmergency(ctx context.Context) bool { return ctx.Value(emergencyKey{}) != nil }

// Load reads what the Store has, so that Check and Status know of it before the
// first Wait.
func (i *Identifier) Load(ctx context.Context) error {
	return i.change(ctx, func(*ledger, time.Time) bool { return false })
}

// Update takes in what /gateway/bot says. Of its count and the own one the
// lower rest counts.
func (i *Identifier) Update(info GatewayInfo) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if info.At.IsZero() {
		info.At = time.Now()
	}
	i.info = info
	i.known.told(info, time.Now())
	i.awake()
}

// awake lets those who wait look again. mu is held.
func (i *Identifier) awake() {
	close(i.wake)
	i.wake = make(chan struct{})
}

// Ready says that a shard's IDENTIFY was answered by READY.
func (i *Identifier) Ready(id balancer.ShardID) { i.outcome(outcome{id: id, ready: true}) }

// Failed says that a shard's IDENTIFY came to nothing, and why. Not to be
// called where Wait returned an error.
func (i *Identifier) Failed(id balancer.ShardID, err error) {
	i.log.Debug().Stringer("shard", id).Err(err).Msg("identify came to nothing")
	i.outcome(outcome{id: id})
}

func (i *Identifier) outcome(o outcome) {
	o.at = time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.pending) >= mostPending {
		i.pending = slices.Delete(i.pending, 0, 1)
	}
	i.pending = append(i.pending, o)
	ends := i.known.outcome(o.at, o.id, o.ready, i.rules)
	if ends {
		i.awake()
	}
	i.urgent = i.urgent || ends || !o.ready
}

// Wait implements [balancer.Limiter]. For an IDENTIFY it blocks until shard id
// may send it, and has counted it then. Shards of one key go in the order in
// which they came, emergencies in a line of their own. When the day's budget is used up it waits for the next day,
// a start without [Emergency] from the floor on. It grants one at a time. The
// error when ctx ends says what was waited for: it wraps ctx's error and, for
// more than the key's turn, ErrBudget or ErrBreaker.
func (i *Identifier) Wait(ctx context.Context, kind balancer.Budget, id balancer.ShardID, n int) error {
	if err := ctx.Err(); err != nil || kind != balancer.BudgetIdentify || n <= 0 {
		return err
	}
	if n > 1 {
		return fmt.Errorf("discord: shard %v: %d IDENTIFYs at once: a shard sends one at a time", id, n)
	}
	if id.Index < 0 {
		return fmt.Errorf("discord: shard %v: negative index", id)
	}
	leave, err := i.enter(ctx, id)
	if err != nil {
		return err
	}
	defer leave()
	var held error // why this one waited last
	for {
		i.mu.Lock()
		wake := i.wake
		i.mu.Unlock()
		d, why, err := i.ask(ctx, id)
		switch {
		case err != nil:
			return stopped(id, err, held)
		case d == 0 && why == nil:
			return nil
		case why != nil:
			i.say(id, d, why)
		}
		held = why
		t := time.NewTimer(min(d, time.Minute)) // another process may have changed what is stored
		select {
		case <-t.C:
		case <-wake:
		case <-ctx.Done():
			t.Stop()
			return stopped(id, ctx.Err(), held)
		}
		t.Stop()
	}
}

// stopped returns the error of a Wait that ctx ended.
func stopped(id balancer.ShardID, err, held error) error {
	if held == nil {
		return err
	}
	return fmt.Errorf("discord: shard %v: waiting to identify: %w: %w", id, err, held)
}

// ask takes an IDENTIFY if that is allowed now; otherwise it returns for how
// long to wait.
func (i *Identifier) ask(ctx context.Context, id balancer.ShardID) (d time.Duration, why error, err error) {
	emergency := isEmergency(ctx)
	err = i.change(ctx, func(l *ledger, now time.Time) bool {
		before := l.trips
		if d, why = l.wait(now, id, i.rules, emergency); d == 0 && why == nil {
			if d = i.granted(now, id.Index, l.keys); d == 0 {
				l.take(now, id, i.rules)
				return true
			}
		}
		return l.trips > before
	})
	if err == nil && d == 0 && why == nil {
		i.mu.Lock()
		now := time.Now()
		i.grants = slices.DeleteFunc(i.grants, func(g identified) bool { return now.Sub(g.at) > identifyPer+i.rules.margin })
		i.grants = append(i.grants, identified{index: id.Index, at: now})
		i.mu.Unlock()
	}
	return d, why, err
}

// granted returns for how long a key has to wait after what this process let
// go: a slow Store delays an IDENTIFY after it was counted.
func (i *Identifier) granted(now time.Time, index, keys int) time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	var d time.Duration
	for _, g := range i.grants {
		if g.index%keys == index%keys {
			d = max(d, g.at.Add(identifyPer+i.rules.margin).Sub(now))
		}
	}
	return d
}

// change lets do change the ledger, in the Store as well if do returns true.
// Its error is ctx's: a Store that does not work is logged, and not used.
func (i *Identifier) change(ctx context.Context, do func(l *ledger, now time.Time) bool) error {
	select {
	case <-i.commit:
		defer func() { i.commit <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	i.mu.Lock()
	base, info, pending, urgent := i.known.clone(), i.info, slices.Clone(i.pending), i.urgent
	i.urgent = false
	i.mu.Unlock()

	next, kept := base, i.store == nil
	var err error
	if i.store != nil {
		var bad error
		var text []byte
		err = update(ctx, i.store, i.name, func(old []byte) ([]byte, error) {
			now := time.Now()
			next, bad = base.clone(), nil
			text = old
			if old != nil && !bytes.Equal(old, i.text) {
				var read ledger
				if read, bad = decodeLedger(old, now, i.rules); bad == nil {
					next = read
					for _, o := range pending { // base has them already
						next.outcome(o.at, o.id, o.ready, i.rules)
					}
				}
			}
			next.told(info, now)
			if kept = do(&next, now) || urgent; !kept {
				return nil, nil
			}
			data, err := next.encode()
			text = data
			return data, err
		})
		if err != nil {
			i.mu.Lock()
			i.urgent = i.urgent || urgent
			i.mu.Unlock()
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		i.fault(bad)
		i.fault(err)
		if i.text = text; bad != nil && !kept || err != nil {
			i.text = nil
		}
	}
	if i.store == nil || err != nil {
		next, kept = base, i.store == nil
		now := time.Now()
		next.told(info, now)
		do(&next, now)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	since := i.pending[min(len(pending), len(i.pending)):] // came meanwhile
	for _, o := range since {
		next.outcome(o.at, o.id, o.ready, i.rules)
	}
	if kept {
		i.pending = slices.Clone(since)
	}
	next.told(i.info, time.Now())
	i.known = next
	return nil
}

// fault logs that the Store does not work, once for each reason.
func (i *Identifier) fault(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	i.mu.Lock()
	news := err != nil && text != i.broken
	if news {
		i.broken = text
	}
	i.mu.Unlock()
	if news {
		i.log.Warn().Err(err).Msg("identifies cannot be stored: counted in memory, by what Discord says")
	}
}

// say logs that shards are held back, once for each time until which they are.
func (i *Identifier) say(id balancer.ShardID, d time.Duration, why error) {
	until := time.Now().Add(d)
	i.mu.Lock()
	news := until.Sub(i.said).Abs() > time.Second
	i.said = until
	i.mu.Unlock()
	if news {
		i.log.Warn().Stringer("shard", id).Dur("wait", d).Err(why).Msg("identify held back")
	}
}

// Delay returns for how long Wait would block at least if it were called for a
// shard now, an emergency or not: a connection need not be dialled before.
func (i *Identifier) Delay(id balancer.ShardID) time.Duration { return i.delay(id, true) }

// DelayFor is Delay for a call of Wait with ctx: for one that is no
// [Emergency] the floor counts too.
func (i *Identifier) DelayFor(ctx context.Context, id balancer.ShardID) time.Duration {
	return i.delay(id, isEmergency(ctx))
}

func (i *Identifier) delay(id balancer.ShardID, emergency bool) time.Duration {
	now := time.Now()
	i.mu.Lock()
	l := i.known.clone()
	ahead := 0
	if q := i.lanes[lane{id.Index % l.keys, emergency}]; q != nil {
		ahead = 1 + len(q.waiters)
	}
	i.mu.Unlock()
	d, _ := l.wait(now, id, i.rules, emergency)
	d = max(d, i.granted(now, id.Index, l.keys))
	return d + time.Duration(ahead)*(identifyPer+i.rules.margin)
}

// Check says whether n more IDENTIFYs can be paid for above the floor: before
// shards are started or resharded. If not, the error is a [*BudgetError] with
// the time from which on they can; if the breaker holds all back it wraps
// ErrBreaker.
func (i *Identifier) Check(n int) error {
	now := time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	l := &i.known
	l.pass(now, i.rules)
	left, floor := l.left(), l.floor(i.rules, false)
	if left-n < floor {
		reset := l.resets
		if reset.IsZero() {
			reset = now
		}
		return &BudgetError{Want: n, Left: left, Floor: floor, Reset: reset}
	}
	if !i.rules.breaker.Off && l.held.After(now) {
		return fmt.Errorf("%w: too many IDENTIFYs came to nothing: held back until %s", ErrBreaker, l.held.UTC().Format(time.RFC3339))
	}
	return nil
}

// IdentifyStatus is what an [Identifier] knows.
type IdentifyStatus struct {
	Total, Spent, Left int       // of the day
	Floor              int       // of Left, what starts do not spend
	Resets             time.Time // when the day ends; zero: it begins with the next IDENTIFY
	MaxConcurrency     int
	Wasted             int       // that came to nothing lately
	HeldUntil          time.Time // by the breaker; zero: not held
}

// Status returns what is known now, of other processes as of the last Wait or Load.
func (i *Identifier) Status() IdentifyStatus {
	now := time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	l := &i.known
	l.pass(now, i.rules)
	s := IdentifyStatus{
		Total: l.total, Spent: l.spent, Left: l.left(), Floor: l.floor(i.rules, false),
		Resets: l.resets, MaxConcurrency: l.keys, Wasted: len(l.wasted),
	}
	if l.held.After(now) {
		s.HeldUntil = l.held
	}
	return s
}

// lane is those who wait for one key, in the order in which they came. An
// emergency does not stand behind a start that waits for the next day.
type lane struct {
	key       int
	emergency bool
}

// queue is a lane that somebody is in: one whose turn it is, and those behind.
type queue struct {
	waiters []chan struct{} // each closed when its turn comes
}

// enter waits for a shard's turn and returns what ends it.
func (i *Identifier) enter(ctx context.Context, id balancer.ShardID) (leave func(), err error) {
	i.mu.Lock()
	l := lane{id.Index % i.known.keys, isEmergency(ctx)}
	leave = func() { i.leave(l) }
	q := i.lanes[l]
	if q == nil {
		i.lanes[l] = new(queue)
		i.mu.Unlock()
		return leave, nil
	}
	mine := make(chan struct{})
	q.waiters = append(q.waiters, mine)
	i.mu.Unlock()
	select {
	case <-mine:
		return leave, nil
	case <-ctx.Done():
	}
	i.mu.Lock()
	at := slices.Index(q.waiters, mine)
	if at >= 0 {
		q.waiters = slices.Delete(q.waiters, at, at+1)
	}
	i.mu.Unlock()
	if at < 0 { // it was this one's turn already
		leave()
	}
	return nil, ctx.Err()
}

func (i *Identifier) leave(l lane) {
	i.mu.Lock()
	defer i.mu.Unlock()
	q := i.lanes[l]
	if len(q.waiters) == 0 {
		delete(i.lanes, l)
		return
	}
	close(q.waiters[0])
	q.waiters = q.waiters[1:]
}
