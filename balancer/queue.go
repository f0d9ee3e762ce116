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

// queue stands between the connections of one shard and the Handler. Whoever
// appends to an empty queue starts the goroutine that drains it; that one ends
// when the queue is empty, so an idle queue holds neither goroutine nor memory.
type queue struct {
	cfg    QueueConfig
	handle func(*Event)  // calls the Handler and acknowledges
	start  func(func())  // starts a goroutine that Run waits for
	starve atomic.Bool   // a reader waits for room: give it back event by event
	mu     sync.Mutex    // guards all below; never held while handling or waiting
	in     []Event       // what waits
	bytes  int           // size of what waits or is being handled
	drain  bool          // the draining goroutine is there
	room   chan struct{} // closed when there is room again; nil if nobody waits
	gaps   map[Key]*Gap  // what DropOldest dropped since the drainer last looked
}

// eventSlices holds the memory of queues that are empty.
var eventSlices = sync.Pool{New: func() any { s := make([]Event, 0, 256); return &s }}

// append adds events in order. It never blocks: a reader calls wait when it
// holds no lock. So a queue may exceed its bound by one read of each reader.
func (q *queue) append(es ...Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.in == nil {
		q.in = (*eventSlices.Get().(*[]Event))[:0]
	}
	q.in = append(q.in, es...)
	for i := range es {
		q.bytes += max(es[i].Size, minSize)
	}
	if q.bytes > q.cfg.Bytes && q.cfg.WhenFull == DropOldest {
		q.dropOldest()
	}
	if !q.drain {
		q.drain = true
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
	kept := q.in[:0]
	for i := range q.in {
		e := &q.in[i]
		if q.bytes <= q.cfg.Bytes*3/4 || isControl(e.Data) {
			kept = append(kept, *e)
			continue
		}
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
	clear(q.in[len(kept):])
	q.in = kept
}

// sentAt is when the service sent e if e knows, else when it was received.
func sentAt(e *Event) time.Time {
	if s, ok := e.Data.(interface{ Sent() time.Time }); ok {
		if t := s.Sent(); !t.IsZero() {
			return t
		}
	}
	return e.at
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
	var out []Event
	for {
		q.mu.Lock()
		if len(q.in) == 0 && len(q.gaps) == 0 {
			q.give(q.in)
			q.give(out)
			q.in, q.drain = nil, false
			q.mu.Unlock()
			return
		}
		out, q.in = q.in, out[:0]
		gaps := q.gaps
		q.gaps = nil
		q.mu.Unlock()
		q.sayGaps(gaps, out)
		size := 0
		for i := range out {
			q.handle(&out[i])
			size += max(out[i].Size, minSize)
			if q.starve.Load() {
				q.release(size)
				size = 0
			}
		}
		q.release(size)
		clear(out)
	}
}

// sayGaps hands out what was dropped before the events that follow it.
func (q *queue) sayGaps(gaps map[Key]*Gap, next []Event) {
	if len(gaps) == 0 {
		return
	}
	var id ShardID
	if len(next) > 0 {
		id = next[0].Shard
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

func (q *queue) release(n int) {
	q.mu.Lock()
	q.bytes -= n
	if q.room != nil && q.bytes <= q.cfg.Bytes*3/4 {
		close(q.room)
		q.room = nil
		q.starve.Store(false)
	}
	q.mu.Unlock()
}

func (q *queue) give(s []Event) {
	if cap(s) > 0 && cap(s) <= 1024 {
		s = s[:0]
		eventSlices.Put(&s)
	}
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
	case Up, Down, Joined, Parted, Refused, CutOver, Gap, mark:
		return true
	}
	return false
}

// mark travels through a queue to tell when all before it has been handled.
type mark struct{ reached func() }

// handle is what a queue does with one event.
func (b *Balancer) handle(ctx context.Context, h Handler) func(*Event) {
	return func(e *Event) {
		if m, ok := e.Data.(mark); ok {
			m.reached()
			return
		}
		h(ctx, *e)
		if e.Seq != 0 && !b.cfg.ManualAck {
			e.link.handled(e.Seq)
		}
	}
}
