package balancer

import (
	"context"
	"time"
)

// A reader that finds its queue empty hands what it has read to the Handler
// itself: waking another goroutine for a line or two costs more than all else
// that is done for them. So that a Handler that takes long holds up nothing, the
// watcher looks at the readers that are handling, and has another goroutine
// read on when one has been at it for longer than watchEvery. The first one ends
// when its Handler has returned.

const (
	watchEvery = 20 * time.Millisecond
	watchIdle  = 50 // ticks without anything handled, after which the watcher sleeps

	// To look at a shard costs more than a quiet one receives in a tick. Of very
	// many each is looked at once in watchTurn ticks.
	watchMin  = 64
	watchTurn = 16
)

// The state of a queue is 0 while it is empty and nobody drains it. A reader
// that drains it notes which link it is of and since when, so that to claim the
// queue, to be seen by the watcher and to give both up is one step each.
const (
	draining  = 1 << 0 // by a goroutine, or by a reader if there is a time
	more      = 1 << 1 // something waits, or gaps are to be said
	nthShift  = 2      // link.nth, as far as it fits
	nthMask   = 1<<11 - 1
	timeShift = 13 // Unix nanoseconds / 1024
)

func readerState(l *link, now int64) uint64 {
	return uint64(now)>>10<<timeShift | uint64(l.nth&nthMask)<<nthShift | draining
}

// direct hands events to the Handler under the eyes of the watcher, if the queue
// is empty and nobody else drains it.
// moved says that another goroutine reads on: the caller must touch nothing of
// the reader's any more.
func (l *link) direct(k *keeper, es []Event, now int64) (done, moved bool) {
	q, claimed := l.q, readerState(l, now)
	if q.state.Load() != 0 || l.spared && l.seat.Load() != apart {
		return false, false
	}
	l.keeper = k
	if !q.state.CompareAndSwap(0, claimed) {
		return false, false
	}
	l.b.watchOn()
	for i := range es {
		q.handle(&es[i])
	}
	if q.ack {
		acknowledge(es)
	}
	if q.state.CompareAndSwap(claimed, 0) {
		return true, false
	}
	return true, q.giveUp(claimed)
}

// giveUp ends the draining of a reader to which something happened meanwhile. It
// reports whether another goroutine reads on.
func (q *queue) giveUp(claimed uint64) (moved bool) {
	for {
		s := q.state.Load()
		moved = s&^more != claimed
		switch {
		case s&more == 0:
			if q.state.CompareAndSwap(s, 0) {
				return moved
			}
		case q.state.CompareAndSwap(s, draining|more):
			q.start(q.run)
			return moved
		}
	}
}

// watchOn has the watcher look, if it sleeps.
func (b *Balancer) watchOn() {
	if b.active.Load() == 0 {
		b.active.Store(1)
		select {
		case b.watchUp <- struct{}{}:
		default:
		}
	}
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
			working := false
			if p := b.polls.Load(); p != nil {
				working = p.relieve(now.Add(-watchEvery))
			}
			if b.active.Swap(0) != 0 || working {
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
			b.takeOver(now.Add(-watchEvery).UnixNano())
		}
	}
}

// takeOver has another goroutine read for each shard, of those whose turn it is,
// whose reader has been handling since before then.
func (b *Balancer) takeOver(then int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range min(len(b.shards), max(watchMin, len(b.shards)/watchTurn)) {
		if b.watched++; b.watched >= len(b.shards) {
			b.watched = 0
		}
		b.shards[b.watched].lend(then)
	}
}

// lend has another goroutine read on if a reader of the shard's has been handling
// since before then. mu is held.
func (s *shard) lend(then int64) {
	state := s.q.state.Load()
	since := state >> timeShift
	if since == 0 || since >= uint64(then)>>10 {
		return
	}
	for _, l := range s.olds {
		l.lend(state)
	}
	if s.link != nil {
		s.link.lend(state)
	}
}

// lend has another goroutine read on if it is this link's reader that is handling.
func (l *link) lend(state uint64) {
	if state>>nthShift&nthMask == uint64(l.nth&nthMask) && l.q.state.CompareAndSwap(state, state&(draining|more)) {
		l.b.wg.Go(l.keeper.keep)
	}
}
