package balancer

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Overflow says what a full queue does.
type Overflow int

const (
	// Block stops reading the connections of the shard until there is room.
	// After QueueConfig.BlockFor the connection is closed resumably; what the
	// service cannot replay becomes a Gap. No event is dropped.
	Block Overflow = iota
	// DropOldest drops the oldest events and says so in a Gap per key.
	DropOldest
)

// QueueConfig is the bound of what stands between a shard's connections and
// the Handler.
type QueueConfig struct {
	Bytes    int           // how much may wait, as Event.Size counts; default 1 MiB
	WhenFull Overflow      // default Block
	BlockFor time.Duration // how long Block blocks; default 30 s
}

func (c QueueConfig) withDefaults() QueueConfig {
	c.Bytes = cmp.Or(c.Bytes, 1<<20)
	c.BlockFor = cmp.Or(c.BlockFor, 30*time.Second)
	return c
}

// minSize is what an event counts at least, so that events which a transport
// gives no size are bounded too.
const minSize = 64

// block is a piece of a queue. Blocks are used again and again, so that a busy
// shard touches the same memory all the time.
type block struct {
	ev   [64]Event
	n    int // ev[:n] are there
	next *block
}

var blocks = sync.Pool{New: func() any { return new(block) }}

// queue stands between the connections of one shard and the Handler. Whoever
// appends to an empty queue starts the goroutine that drains it; that one ends
// when the queue is empty, so an idle queue holds neither goroutine nor memory.
type queue struct {
	state  atomic.Uint64 // who drains, and whether there is something for it: see watch.go
	handle func(*Event)  // calls the Handler
	ack    bool          // what was handled is acknowledged, a read or a block at a time
	starve atomic.Bool   // a reader waits for room: give it back event by event
	start  func(func())  // starts a goroutine that Run waits for
	mu     sync.Mutex    // guards all below but cfg; never held while handling or waiting
	head   *block        // what waits, oldest first
	tail   *block        // the last one, which has room or is full
	gaps   map[Key]*Gap  // what DropOldest dropped since the drainer last looked
	bytes  int           // size of what waits or is being handled
	room   chan struct{} // closed when there is room again; nil if nobody waits
	cfg    QueueConfig
}

// append adds events in order. It never blocks: a reader calls wait when it
// holds no lock. So a queue may exceed its bound by one read of each reader.
func (q *queue) append(es ...Event) {
	q.mu.Lock()
	for i := range es {
		q.bytes += max(es[i].Size, minSize)
	}
	for len(es) > 0 {
		if q.tail == nil || q.tail.n == len(q.tail.ev) {
			q.link(blocks.Get().(*block))
		}
		t := q.tail
		n := copy(t.ev[t.n:], es)
		t.n += n
		es = es[n:]
	}
	q.added()
}

// appendBlock adds a block whose events a reader received into it.
func (q *queue) appendBlock(b *block) {
	q.mu.Lock()
	for i := range b.ev[:b.n] {
		q.bytes += max(b.ev[i].Size, minSize)
	}
	q.link(b)
	q.added()
}

// link adds a block. mu is held.
func (q *queue) link(b *block) {
	if q.tail == nil {
		q.head = b
	} else {
		q.tail.next = b
	}
	q.tail = b
}

// added bounds what waits and has it drained. It unlocks mu.
func (q *queue) added() {
	if q.bytes > q.cfg.Bytes && q.cfg.WhenFull == DropOldest {
		q.dropOldest()
	}
	begin := q.state.Or(draining|more)&draining == 0
	q.mu.Unlock()
	if begin {
		q.start(q.run)
	}
}

// dropOldest makes room down to three quarters of the bound, so that a queue
// which stays full does not do it for each event. What the Balancer itself
// says is not dropped.
func (q *queue) dropOldest() {
	if q.gaps == nil {
		q.gaps = make(map[Key]*Gap)
	}
	old := q.head
	q.head, q.tail = nil, nil
	for old != nil {
		for i := range old.ev[:old.n] {
			e := &old.ev[i]
			if q.bytes <= q.cfg.Bytes*3/4 || isControl(e.Data) {
				if q.tail == nil || q.tail.n == len(q.tail.ev) {
					q.link(blocks.Get().(*block))
				}
				q.tail.ev[q.tail.n] = *e
				q.tail.n++
				continue
			}
			q.dropped(e)
		}
		next := old.next
		old.recycle()
		old = next
	}
}

// drop says that an event which was reserved room for is dropped.
func (q *queue) drop(e *Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gaps == nil {
		q.gaps = make(map[Key]*Gap)
	}
	q.dropped(e)
	q.state.Or(more)
}

// dropped counts an event that is dropped. mu is held.
func (q *queue) dropped(e *Event) {
	q.bytes -= max(e.Size, minSize)
	at := sentAt(e)
	g := q.gaps[e.Key]
	if g == nil {
		g = &Gap{From: at.Add(-time.Millisecond), Err: ErrOverflow}
		q.gaps[e.Key] = g
	}
	g.Dropped++
	if at.After(g.To) {
		g.To = at
	}
	e.link.handled(e.Seq)
}

// recycle forgets the block's events and gives it to whoever needs one next.
func (b *block) recycle() {
	clear(b.ev[:b.n])
	b.n, b.next = 0, nil
	blocks.Put(b)
}

// sentAt is when the service sent e if e knows, else when it was received.
func sentAt(e *Event) time.Time {
	if s, ok := e.Data.(interface{ Sent() time.Time }); ok {
		if t := s.Sent(); !t.IsZero() {
			return t
		}
	}
	return e.received()
}

// wait blocks while the queue is over its bound. It returns ErrBlocked after
// BlockFor, and nil early when stop is closed.
func (q *queue) wait(stop <-chan struct{}) error {
	q.mu.Lock()
	if q.bytes <= q.cfg.Bytes || q.cfg.WhenFull != Block {
		q.mu.Unlock()
		return nil
	}
	if q.room == nil {
		q.room = make(chan struct{})
	}
	room := q.room
	q.starve.Store(true)
	q.mu.Unlock()
	t := time.NewTimer(q.cfg.BlockFor)
	defer t.Stop()
	select {
	case <-room:
		return nil
	case <-stop:
		return nil
	case <-t.C:
		return ErrBlocked
	}
}

// run hands events to the Handler until none is left.
func (q *queue) run() {
	for size := 0; ; {
		q.mu.Lock()
		q.release(size)
		b, gaps := q.head, q.gaps
		if b == nil && len(gaps) == 0 {
			q.state.Store(0)
			q.mu.Unlock()
			return
		}
		q.gaps = nil
		if b != nil {
			if q.head = b.next; q.head == nil {
				q.tail = nil
			}
		}
		q.mu.Unlock()
		q.sayGaps(gaps, b)
		if size = 0; b == nil {
			continue
		}
		for i := range b.ev[:b.n] {
			e := &b.ev[i]
			size += max(e.Size, minSize)
			q.handle(e)
			if q.starve.Load() {
				q.mu.Lock()
				q.release(size)
				q.mu.Unlock()
				size = 0
			}
		}
		if q.ack {
			acknowledge(b.ev[:b.n])
		}
		b.recycle()
	}
}

// sayGaps hands out what was dropped before the events that follow it.
func (q *queue) sayGaps(gaps map[Key]*Gap, next *block) {
	if len(gaps) == 0 {
		return
	}
	var id ShardID
	if next != nil {
		id = next.ev[0].Shard
	}
	keys := make([]Key, 0, len(gaps))
	for k := range gaps {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		q.handle(&Event{Shard: id, Key: k, Data: *gaps[k]})
	}
}

// release gives room back. mu is held.
func (q *queue) release(n int) {
	q.bytes -= n
	if q.room != nil && q.bytes <= q.cfg.Bytes*3/4 {
		close(q.room)
		q.room = nil
		q.starve.Store(false)
	}
}

// reserve counts n bytes that wait elsewhere for their turn; n < 0 gives them
// back.
func (q *queue) reserve(n int) {
	q.mu.Lock()
	q.release(-n)
	q.mu.Unlock()
}

// fits reports whether a reader need not wait.
func (q *queue) fits() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes <= q.cfg.Bytes || q.cfg.WhenFull != Block
}

// waiting returns how many bytes wait.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

func isControl(data any) bool {
	switch data.(type) {
	case Up, Down, Joined, Parted, Refused, CutOver, Gap, Settled, mark:
		return true
	}
	return false
}

// mark travels through a queue to tell when all before it has been handled.
type mark struct{ reached func() }

// handle is what a queue does with one event.
func (b *Balancer) handle(ctx context.Context, h Handler) func(*Event) {
	reuse := b.cfg.Reuse
	return func(e *Event) {
		if m, ok := e.Data.(mark); ok {
			m.reached()
			return
		}
		h(ctx, *e)
		if reuse {
			if r, ok := e.Data.(Releaser); ok {
				r.Release()
			}
		}
	}
}
