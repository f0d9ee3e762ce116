package balancer

import (
	"context"
	"sync/atomic"
	"time"
)

// A reader that finds its queue empty hands what it has read to the Handler
// itself: waking another goroutine for a line or two costs more than all else
// that is done for them. So that a Handler that takes long holds up nothing, the
// watcher looks at every reader that is handling, and has another goroutine
// read on when one has been at it for longer than watchEvery. The first one ends
// when its Handler has returned.

const (
	watchEvery = 20 * time.Millisecond
	watchIdle  = 50 // ticks without anything handled, after which the watcher sleeps
)

// claim makes the caller the one that drains, if nobody is.
func (q *queue) claim() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.drain {
		return false
	}
	q.drain = true
	return true
}

// direct hands events to the Handler. The queue was claimed and is empty.
func (q *queue) direct(es []Event) {
	for i := range es {
		q.handle(&es[i])
	}
	if q.ack {
		acknowledge(es)
	}
	q.mu.Lock()
	more := q.head != nil || len(q.gaps) > 0
	q.drain = more
	q.mu.Unlock()
	if more {
		q.start(q.run)
	}
}

// direct is queue.direct under the eyes of the watcher, if the queue is empty.
// moved says that another goroutine reads on: the caller must touch nothing of
// the reader's any more.
func (l *link) direct(k *keeper, es []Event, now int64) (done, moved bool) {
	if !l.q.claim() {
		return false, false
	}
	l.keeper = k
	l.b.handling.add(l.id, 1)
	l.busy.Store(now)
	if l.b.active.Load() == 0 {
		l.b.active.Store(1)
		select {
		case l.b.watchUp <- struct{}{}:
		default:
		}
	}
	l.q.direct(es)
	if !l.busy.CompareAndSwap(now, 0) {
		return true, true
	}
	l.b.handling.add(l.id, -1)
	return true, false
}

// handling counts the readers that are handling. To look at each of them would
// cost the watcher more than all that many quiet connections receive. There are
// several counters, so that readers of a large machine do not wait for one.
type handling [16]struct {
	n atomic.Int64
	_ [56]byte // a cache line each
}

func (h *handling) add(id ShardID, n int64) { h[uint(id.Index)%uint(len(h))].n.Add(n) }

func (h *handling) any() bool {
	for i := range h {
		if h[i].n.Load() > 0 {
			return true
		}
	}
	return false
}

// watch has another goroutine read on where a Handler takes long. It sleeps
// while nothing is handled.
func (b *Balancer) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for idle := 0; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if b.active.Swap(0) != 0 {
				idle = 0
			} else if idle++; idle >= watchIdle {
				tick.Stop()
				select {
				case <-ctx.Done():
					return
				case <-b.watchUp:
				}
				tick.Reset(watchEvery)
				idle = 0
			}
			if b.handling.any() {
				b.takeOver(now.Add(-watchEvery).UnixNano())
				idle = 0
			}
		}
	}
}

// takeOver has another goroutine read for each link whose reader has been
// handling since before then.
func (b *Balancer) takeOver(then int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.shards {
		if s.link != nil {
			s.link.lend(then)
		}
		for _, l := range s.olds {
			l.lend(then)
		}
	}
}

// lend has another goroutine read on if the reader has been handling since
// before then.
func (l *link) lend(then int64) {
	since := l.busy.Load()
	if since > 0 && since < then && l.busy.CompareAndSwap(since, 0) {
		l.b.handling.add(l.id, -1)
		l.b.wg.Go(l.keeper.keep)
	}
}
