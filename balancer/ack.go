package balancer

import (
	"sort"
	"sync"
)

// acks knows which sequence numbers of one connection have been handled, so
// that a stored session never claims an event that nobody has seen. Numbers
// arrive in order; during a handover they may be handled out of order, because
// events pass through two queues.
type acks struct {
	mu    sync.Mutex // guards all below
	wait  []ackItem  // received and not acknowledged up to, in order
	head  int
	acked uint64
	idle  chan struct{} // closed when nothing waits; nil if nobody asks
}

type ackItem struct {
	seq  uint64
	done bool
}

// received notes seq, which is higher than all before.
func (a *acks) received(seq uint64) {
	a.mu.Lock()
	a.wait = append(a.wait, ackItem{seq: seq})
	a.mu.Unlock()
}

// receivedAll is received for every event of a read.
func (a *acks) receivedAll(es []Event) {
	a.mu.Lock()
	for i := range es {
		a.wait = append(a.wait, ackItem{seq: es[i].Seq})
	}
	a.mu.Unlock()
}

// doneAll is done for events that were handled one after the other.
func (a *acks) doneAll(es []Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range es {
		if es[i].Seq != 0 {
			a.mark(es[i].Seq)
		}
	}
	a.advance()
}

// acknowledge acknowledges events that were handled.
func acknowledge(es []Event) {
	for len(es) > 0 {
		l, n := es[0].link, 1
		numbered := es[0].Seq != 0
		for n < len(es) && es[n].link == l {
			numbered = numbered || es[n].Seq != 0
			n++
		}
		if l != nil && numbered {
			l.acks.Load().doneAll(es[:n])
		}
		es = es[n:]
	}
}

// done notes that seq was handled or dropped on purpose.
func (a *acks) done(seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mark(seq)
	a.advance()
}

// mark notes that seq was handled, and advances past it if it is the next. mu is held.
func (a *acks) mark(seq uint64) {
	w := a.wait[a.head:]
	if len(w) > 0 && w[0].seq == seq {
		a.acked = seq
		a.head++
		return
	}
	i := sort.Search(len(w), func(i int) bool { return w[i].seq >= seq })
	if i < len(w) && w[i].seq == seq {
		w[i].done = true
	}
}

// upTo acknowledges every number up to seq.
func (a *acks) upTo(seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := a.head; i < len(a.wait) && a.wait[i].seq <= seq; i++ {
		a.wait[i].done = true
	}
	a.advance()
}

func (a *acks) advance() {
	for a.head < len(a.wait) && a.wait[a.head].done {
		a.acked = a.wait[a.head].seq
		a.head++
	}
	if a.head*2 > len(a.wait) {
		a.wait = a.wait[:copy(a.wait, a.wait[a.head:])]
		a.head = 0
	}
	if len(a.wait) == 0 && a.idle != nil {
		close(a.idle)
		a.idle = nil
	}
}

func (a *acks) last() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.acked
}

// resumeAt sets what counts as acknowledged before the first event.
func (a *acks) resumeAt(seq uint64) {
	a.mu.Lock()
	a.acked = seq
	a.mu.Unlock()
}

// whenIdle returns a channel that is closed when nothing waits.
func (a *acks) whenIdle() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.idle == nil {
		a.idle = make(chan struct{})
	}
	c := a.idle
	if len(a.wait) == 0 {
		close(c)
		a.idle = nil
	}
	return c
}
