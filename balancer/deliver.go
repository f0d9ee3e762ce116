package balancer

import (
	"math"
	"time"
)

// deliver hands one read to the Handler or takes it through the gates into the
// queue, and then waits for room. last says that the connection has ended. It
// reports whether the queue has taken the block that was read into, if any, and
// whether another goroutine reads on.
//
// Its frame is small: each reader has a stack of its own, and a quiet one's is
// not in the processor's cache either.
func (l *link) deliver(k *keeper, es []Event, b *block, now time.Time, last bool) (taken, moved bool, err error) {
	law := l.b.law.Load()
	if l.special.Load() || law != nil {
		taken, err = l.admit(es, b, now, law, 0, false, false)
		return taken, false, err
	}
	known := l.repeats(es, now)
	counted := l.count(es)
	if known == 0 && !last && (counted || unnumbered(es)) { // what ended the connection is its own reader's to tell
		nano := now.UnixNano()
		for i := range es {
			e := &es[i]
			e.Shard, e.link, e.at = l.id, l, nano
		}
		if done, moved := l.direct(k, es, nano); done || moved {
			return false, moved, nil
		}
	}
	taken, err = l.admit(es, b, now, nil, known, counted, true)
	return taken, false, err
}

// admit is deliver but for what goes straight to the Handler. known are the
// events that came before, a bit for each; counted says that the numbers of all
// are noted, and plain that there are neither gates nor a law.
func (l *link) admit(es []Event, b *block, now time.Time, law *law, known uint64, counted, plain bool) (taken bool, err error) {
	var others []*queue // queues that gated events went to
	nano := now.UnixNano()
	w := 0
	flushed := false
	flush := func() {
		if w > 0 {
			l.q.append(es[:w]...)
			w, flushed = 0, true
		}
	}
	for i := range es {
		e := &es[i]
		e.Shard, e.link, e.at = l.id, l, nano
		if e.Seq != 0 && !counted {
			if u, ok := e.Data.(Up); ok && !u.Resumed {
				l.seq = 0
				l.acks.Store(new(acks)) // a new session counts from the start
			}
			if e.Seq <= l.seq {
				continue // replayed although it was received
			}
			l.seq = e.Seq
			l.acks.Load().received(e.Seq)
		}
		if isControl(e.Data) {
			c := *e
			flush()
			l.control(c, now)
			continue
		}
		if known&(1<<i) != 0 {
			l.handled(e.Seq)
			continue
		}
		if !plain {
			if law != nil && e.Key == "" && e.ID == "" {
				if lazy, ok := e.Data.(Keyed); ok {
					e.Key, e.ID = lazy.KeyID()
				}
			}
			if h, end := l.gate(e, law); h != nil {
				c := *e
				flush()
				if end == fromSource {
					h.source(&c, now)
				} else {
					h.target(&c, now)
				}
				if q := h.route(e.Key); q != l.q {
					others = append(others, q)
				}
				continue
			}
			if l.repeated(e, now) {
				l.handled(e.Seq)
				continue
			}
		}
		if w != i {
			es[w] = *e
		}
		w++
	}
	if b != nil && !flushed && w >= len(b.ev)/2 {
		clear(es[w:])
		b.n, taken = w, true
		l.q.appendBlock(b)
	} else {
		flush()
	}
	return taken, l.wait(others)
}

// unnumbered reports whether all events of a read are messages of a service that
// numbers none.
func unnumbered(es []Event) bool {
	for i := range es {
		if es[i].Seq != 0 || isControl(es[i].Data) {
			return false
		}
	}
	return true
}

// count notes the numbers of a read at once if it has nothing but events of
// the session, each with a number higher than the one before.
func (l *link) count(es []Event) bool {
	last := l.seq
	for i := range es {
		if es[i].Seq <= last || isControl(es[i].Data) {
			return false
		}
		last = es[i].Seq
	}
	l.acks.Load().receivedAll(es)
	l.seq = last
	return true
}

// wait blocks while a queue that this read went to has no room.
func (l *link) wait(others []*queue) error {
	if err := l.waitFor(l.q); err != nil {
		return err
	}
	for _, q := range others {
		if err := l.waitFor(q); err != nil {
			return err
		}
	}
	return nil
}

func (l *link) waitFor(q *queue) error {
	if q.fits() {
		return nil
	}
	l.blocked.Store(math.MaxInt64)
	if l.seat.Load() != apart { // a worker does not wait
		l.waits = append(l.waits, q)
		return nil
	}
	defer func() { l.blocked.Store(time.Now().UnixNano()) }()
	if err := q.wait(l.stop); err != nil {
		return &ConnError{Err: err}
	}
	return nil
}

// gate returns the handover that e belongs to and the end that l is of it.
func (l *link) gate(e *Event, law *law) (*handover, int) {
	if law != nil {
		if h, end := law.gate(l.id, e.Key); h != nil {
			return h, end
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tallies != nil {
		t := l.tallies[e.Key]
		if t == nil {
			t = new(tally)
			l.tallies[e.Key] = t
		}
		t.events++
		t.bytes += int64(e.Size)
	}
	h := l.gates[e.Key]
	if h == nil {
		return nil, 0
	}
	if h.from == l {
		return h, fromSource
	}
	return h, fromTarget
}
