package balancer

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Handler receives events: those of one shard one after the other and in
// order, those of different shards at the same time. Events of one key are in
// order even while the key moves from shard to shard. ctx is that of Run. A
// Handler that is slow fills its shard's queue and delays nothing else.
type Handler func(ctx context.Context, e Event)

// Config is how a Balancer behaves. Nil and the zero value work.
type Config struct {
	ChannelsPerShard  int // keys that one connection may hold; default 25; a transport may lower it
	MaxShardCount     int // shards there may be; default 5. When all are full, Join answers Refused and the key waits
	InitialShardCount int // shards to start with; default 1; negative: none, shards come by Acquire

	Policy Policy                      // where keys go; default Distributed under free placement; not asked under fixed
	Sender func(View, Key) (int, bool) // index in View.Shards of the shard that sends for a key; default: the key's own, else any that is up

	KeyCap int            // keys that the account may have joined at a time over all shards, double membership counted; 0: no cap
	Exempt func(Key) bool // keys that do not count against KeyCap; nil: all count

	Queue     QueueConfig   // what stands between connections and Handler
	Reuse     bool          // the Handler keeps nothing of an Event once it has returned, no string either: memory is used again instead of being collected
	ManualAck bool          // events are acknowledged by Ack instead of by the Handler's return
	Limiter   Limiter       // paces joins and logins; default: unlimited
	Backoff   Backoff       // paces dials that failed
	Overlap   time.Duration // how long both ends of a handover deliver, and how far one may lag behind the other; default 2 s

	JoinTimeout time.Duration // how long a join may stay unconfirmed; default 10 s from when it was sent
	JoinTries   int           // joins sent before an unconfirmed key is Refused; default 5; it is then tried at Backoff.Max and more
	DialTimeout time.Duration // how long a Dial may take; default 30 s; negative: as long as the transport lets it
	IdleAfter   time.Duration // a shard without keys, beyond those asked for, is closed after this time; default 1 min

	Logger zerolog.Logger // default: disabled
}

func (c *Config) withDefaults() Config {
	if c == nil {
		return (&Config{Logger: zerolog.Nop()}).withDefaults()
	}
	d := *c
	d.ChannelsPerShard = max(cmp.Or(d.ChannelsPerShard, 25), 1)
	d.MaxShardCount = max(cmp.Or(d.MaxShardCount, 5), 1)
	d.InitialShardCount = max(cmp.Or(d.InitialShardCount, 1), -1)
	if d.Policy == nil {
		d.Policy = Distributed
	}
	d.Queue = d.Queue.withDefaults()
	d.Backoff = d.Backoff.withDefaults()
	d.Overlap = cmp.Or(d.Overlap, 2*time.Second)
	d.JoinTimeout = cmp.Or(d.JoinTimeout, 10*time.Second)
	d.JoinTries = cmp.Or(d.JoinTries, 5)
	d.DialTimeout = cmp.Or(d.DialTimeout, 30*time.Second)
	d.IdleAfter = cmp.Or(d.IdleAfter, time.Minute)
	return d
}

// Balancer holds the connections of one account. All methods may be called by
// many goroutines, those that edit what is wanted before Run as well.
type Balancer struct {
	t      Transport
	placer Placer // t, if its placement is fixed
	cfg    Config
	log    zerolog.Logger

	ctx     context.Context // of Run; ends everything
	handler func(*Event)
	wg      sync.WaitGroup
	wake    chan struct{} // there is something for the loop
	joinUp  chan struct{} // there is something for the joiner
	active  atomic.Int32  // readers have handled since the watcher looked
	watchUp chan struct{} // there is something for the watcher

	polling      sync.Once
	polls        atomic.Pointer[poller] // waits for quiet connections; nil before the first, and where there is none
	newReadiness func() (readiness, error)
	law          atomic.Pointer[law]
	ended        chan struct{} // closed when Run returns

	notesMu sync.Mutex
	notes   []note // what readers tell the loop; guarded by notesMu

	mu      sync.Mutex // guards all below; never held while waiting or calling out
	running bool
	over    bool // Run has returned
	drain   bool
	keys    map[Key]*entry
	slab    entrySlab
	fresh   []*entry // keys without a place
	full    []*entry // keys refused for want of room
	capped  []*entry // keys refused because of KeyCap
	joins   []*entry // joins in the order in which they will be sent
	joinPos int
	members int // memberships that count against KeyCap
	asked   int // shards asked for
	resized bool
	movers  map[*entry]struct{} // keys that a handover moves
	watched int                 // shards[watched] is what the watcher looks at next
	shards  []*shard            // by index under free placement; all generations under fixed
	open    []*shard            // those that may take keys, in the order of views
	views   []ShardView
	gen     int       // newest generation
	indexes int       // how many indexes were ever used under free placement
	freed   []int     // those that no shard has any more
	waiting int       // keepers that may be waiting for their first login
	queued  []*keeper // those that come after them
	timers  timers
	fatal   error
	measure time.Time // since when rates are measured; zero: not
	sampled time.Time // when they were averaged last
	again   time.Time
}

// New returns a Balancer of t. It starts nothing. It copies cfg.
func New(t Transport, cfg *Config) *Balancer {
	b := &Balancer{
		t: t, cfg: cfg.withDefaults(),
		wake: make(chan struct{}, 1), joinUp: make(chan struct{}, 1), watchUp: make(chan struct{}, 1), ended: make(chan struct{}),
		keys: make(map[Key]*entry), movers: make(map[*entry]struct{}), newReadiness: newReadiness,
	}
	b.placer, _ = t.(Placer)
	b.log = b.cfg.Logger
	b.asked = max(b.cfg.InitialShardCount, 0)
	if b.placer != nil && b.asked > b.cfg.MaxShardCount {
		b.asked = b.cfg.MaxShardCount
	}
	b.asked = min(b.asked, b.cfg.MaxShardCount)
	return b
}

// Run dials, joins what is wanted and hands events to h until ctx ends, Drain
// is called, or no shard can go on. It owns every goroutine of the package and
// returns when the last one has ended; h is not called after that. Whatever
// made it stop, sessions stay resumable. A stop that was asked for is no
// error; an account that the service turns away for good is a [*ShardError].
// A Balancer runs once.
func (b *Balancer) Run(ctx context.Context, h Handler) error {
	handlerCtx := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.mu.Lock()
	if b.running || b.over {
		b.mu.Unlock()
		return fmt.Errorf("balancer: Run was called before")
	}
	b.running = true
	b.ctx, b.handler = ctx, b.handle(handlerCtx, h)
	b.mu.Unlock()
	b.wg.Go(func() { b.joiner(ctx) })
	b.wg.Go(func() { b.watch(ctx) })
	err := b.loop(ctx)
	cancel()
	b.stopShards()
	b.stopPoller()
	b.wg.Wait()
	b.settleAcks(handlerCtx)
	b.mu.Lock()
	b.running, b.over = false, true
	b.mu.Unlock()
	close(b.ended)
	return err
}

// Join asks for keys to be joined and kept joined. It returns at once; the
// answer to each key is an Event with Joined or Refused. A key that is already
// wanted is left alone, unless it was refused for good: then it is tried
// again. Under fixed placement there is nothing to be joined, and a key is
// Member while its shard is connected.
func (b *Balancer) Join(keys ...Key) {
	b.mu.Lock()
	for _, k := range keys {
		if k == "" {
			continue
		}
		e := b.keys[k]
		if e == nil {
			e = b.slab.take(k)
			e.exempt = b.cfg.Exempt != nil && b.cfg.Exempt(k)
			b.keys[k] = e
		}
		b.want(e)
	}
	b.mu.Unlock()
	b.kick()
}

// want makes e wanted. mu is held.
func (b *Balancer) want(e *entry) {
	switch {
	case b.placer != nil:
		e.wanted = true
	case !e.wanted && e.shard != nil:
		e.wanted = true // not parted yet, or joined again once the part is confirmed
	case !e.wanted, e.state == Denied && e.trouble.until.IsZero() && e.shard == nil:
		e.wanted, e.state = true, Wanted
		b.unplaced(e)
	case e.state == Denied:
		e.trouble.tries = 0
		b.retry(e)
	}
}

// unplaced puts e among the keys without a place. mu is held.
func (b *Balancer) unplaced(e *entry) {
	if !e.inFresh {
		e.inFresh = true
		b.fresh = append(b.fresh, e)
	}
}

// Part asks for keys to be parted and forgotten. It returns at once; the
// answer is an Event with Parted for each key that was joined.
func (b *Balancer) Part(keys ...Key) {
	b.mu.Lock()
	for _, k := range keys {
		if e := b.keys[k]; e != nil && e.wanted {
			e.wanted = false
			b.post(note{data: func() { b.part(e, time.Now()) }})
		}
	}
	b.mu.Unlock()
}

// Move places a key on the shard of that index, by handover if it is joined.
// It returns at once. It is for the Manual policy; other policies may move the
// key again.
func (b *Balancer) Move(k Key, index int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.placer != nil {
		return fmt.Errorf("%w: the service places keys", ErrPlacement)
	}
	e := b.keys[k]
	if e == nil || !e.wanted {
		return fmt.Errorf("%w: %q", ErrUnknownKey, k)
	}
	for _, s := range b.open {
		if s.id.Index == index {
			if s != e.shard && !s.roomFor() {
				return fmt.Errorf("%w: shard %d", ErrFull, index)
			}
			b.post(note{data: func() {
				if s.view >= 0 && s.roomFor() && b.keys[k] == e && e.wanted {
					b.place(e, s)
				}
			}})
			return nil
		}
	}
	return fmt.Errorf("%w: %d", ErrUnknownShard, index)
}

// Resize asks for n shards. Under free placement the policy evens keys out
// over more, and keys of those that go are handed over first. Under fixed
// placement a new generation of n shards is dialled beside the old one, each
// takes its keys over when it is ready, and then the old one ends.
func (b *Balancer) Resize(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.kick()
	if n < 1 || n > b.cfg.MaxShardCount {
		return fmt.Errorf("balancer: %d shards: must be between 1 and MaxShardCount (%d)", n, b.cfg.MaxShardCount)
	}
	if b.cfg.InitialShardCount < 0 {
		return fmt.Errorf("%w: shards of this Balancer come by Acquire", ErrPlacement)
	}
	if b.placer != nil {
		return b.resizeGeneration(n)
	}
	if room := n * b.cfg.ChannelsPerShard; len(b.keys) > room {
		return fmt.Errorf("%w: %d keys do not fit on %d shards of %d", ErrFull, len(b.keys), n, b.cfg.ChannelsPerShard)
	}
	b.asked, b.resized = n, true
	b.post(note{data: func() { b.retireAbove(n) }})
	return nil
}

// Ack acknowledges every event of a shard up to seq, with Config.ManualAck.
func (b *Balancer) Ack(id ShardID, seq uint64) {
	if l := b.linkOf(id); l != nil {
		l.acks.Load().upTo(seq)
	}
}

// Drain ends every connection so that its session stays resumable, waits until
// what was received is handled and acknowledged, and makes Run return nil.
func (b *Balancer) Drain(ctx context.Context) error {
	b.mu.Lock()
	if !b.running {
		over := b.over
		b.mu.Unlock()
		if over {
			return nil
		}
		return ErrClosed
	}
	b.drain = true
	b.mu.Unlock()
	b.kick()
	select {
	case <-b.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kick wakes the loop.
func (b *Balancer) kick() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// note is what a reader tells the loop.
type note struct {
	link *link
	key  Key
	data any // a control type; Down ends the link
	at   time.Time
}

func (b *Balancer) post(n note) {
	b.notesMu.Lock()
	b.notes = append(b.notes, n)
	b.notesMu.Unlock()
	b.kick()
}
