package balancer

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A goroutine that waits for a line now and then costs more than the line: it is
// woken, finds its stack cold, and asks the socket once more before it sleeps
// again. So connections that are [Polled] and quiet are waited for together: a
// worker asks the system which of them have something, reads each, and calls
// the Handler. A connection that becomes busy, that ends or has to wait for
// something gets a goroutine of its own again, and comes back when it is quiet.
//
// That a Handler, or a service that does not take what is written to it, must not
// hold up the others is the watcher's to see to, as it is for one connection: a
// worker that has been at one for longer than watchEvery becomes that
// connection's own goroutine, and another worker goes on in its place. So that
// this is rare, workers stop calling the Handler for a while where it takes long
// on average; then the queue's own goroutine calls it. Single long steps are no
// sign of that: a process that has to share its processors has them too.

const (
	pollBatch = 256 // connections that are looked at before the system is asked again
	pollTurns = 4   // reads of smallRead events of one connection in a batch; what has more is busy

	// pollTurn is what a connection that has something waits for its turn, about, if
	// there are processors for that.
	pollTurn = 50 * time.Millisecond

	busyFrom = 8           // reads that find smallRead events or more, less those that find fewer, make a connection busy
	busyMost = 16          // and are counted
	busyGap  = time.Second // without an event make it quiet again

	stepTime  = 100 * time.Microsecond // that a step may take on average
	stepBurst = 50 * time.Millisecond  // and how much more at once
	stepIdle  = 10                     // one part of this many of the time without steps is forgiven
)

// Where a link's reader is.
const (
	apart   = iota // it has a goroutine of its own
	parked         // nobody reads: a worker will, when there is something
	stepped        // a worker reads
	called         // a worker reads; after that it has a goroutine of its own
)

// readiness tells which of many sockets can be read from. add and remove are
// called by one goroutine at a time, maybe while another one waits.
type readiness interface {
	add(socket syscall.RawConn, slot int) error
	remove(socket syscall.RawConn)
	wait(slots []int) (int, error) // blocks until there is one; an error once it is closed
	close()
}

// poller waits for the quiet connections of a Balancer. Its workers are at one
// batch together; the last one that is done with it waits for the next.
type poller struct {
	b     *Balancer
	ready readiness
	crew  []*worker
	base  time.Time

	next    atomic.Int64 // of the batch, that no worker has taken yet
	working atomic.Int64 // workers that are at the batch
	batch   [pollBatch]*link
	n       int // batch[:n] are there
	found   [pollBatch]int
	pace    time.Duration // what a step takes, lately

	mu       sync.Mutex // guards all below
	slots    []*link    // by the number that readiness knows them by; nil: free
	free     []int
	stopping bool
}

// worker is a place among those who work. A goroutine that lost it, because it was
// at one connection for too long, ends or becomes a link's own.
type worker struct {
	since atomic.Int64  // when it began to read a connection, since base; 0: it reads none
	over  time.Duration // what its steps took beyond stepTime each; of the goroutine whose place it is
	last  time.Time     // when the last one ended; of the same
	steps int           // in this batch
	took  time.Duration // all of them
	_     [8]byte       // a cache line each
}

// poller returns the poller, or nil where the system has none. A reader calls it.
func (b *Balancer) poller() *poller {
	b.polling.Do(func() { b.polls.Store(b.startPoller()) })
	return b.polls.Load()
}

func (b *Balancer) startPoller() *poller {
	ready, err := b.newReadiness()
	if err != nil {
		b.log.Debug().Err(err).Msg("a goroutine for each connection")
		return nil
	}
	p := &poller{b: b, ready: ready, base: time.Now().Add(-1), pace: stepTime}
	for range runtime.GOMAXPROCS(0) {
		p.crew = append(p.crew, new(worker))
	}
	b.wg.Go(func() {
		if p.wait(p.crew[0]) {
			p.work(p.crew[0])
		}
	})
	return p
}

// stopPoller has the workers end when the last connection has left.
func (b *Balancer) stopPoller() {
	b.polling.Do(func() {}) // none begins after this
	p := b.polls.Load()
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	p.closeIfEmpty()
}

// closeIfEmpty ends the workers once there is nothing left to wait for. mu is held.
func (p *poller) closeIfEmpty() {
	if p.stopping && len(p.free) == len(p.slots) {
		p.ready.close()
	}
}

// park has l waited for by the workers, if that can be. The caller, its reader,
// touches nothing of l any more if it did.
func (l *link) park(k *keeper) bool {
	l.keeper, l.busy = k, 0
	l.seat.Store(stepped) // so that wake is noticed
	if socket := l.polled.Park(l.wakeUp); socket == nil {
		l.polled = nil
	} else if p := l.b.poller(); p == nil {
		l.polled = nil
	} else if p.add(l, socket) {
		return true
	}
	l.busy = busyMost
	l.seat.Store(apart)
	return false
}

// add is park, of a connection that has a socket. It has a slot until unpark.
func (p *poller) add(l *link, socket syscall.RawConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return false
	}
	l.slot = len(p.slots)
	if n := len(p.free); n > 0 {
		l.slot, p.free = p.free[n-1], p.free[:n-1]
	} else {
		p.slots = append(p.slots, nil)
	}
	p.slots[l.slot], l.socket = l, socket
	err := p.ready.add(socket, l.slot)
	if err == nil && l.seat.CompareAndSwap(stepped, parked) {
		return true
	}
	p.take(l)
	return false
}

// take frees the slot of l. mu is held.
func (p *poller) take(l *link) {
	p.ready.remove(l.socket)
	p.slots[l.slot], l.socket = nil, nil
	p.free = append(p.free, l.slot)
	p.closeIfEmpty()
}

// unpark makes the calling goroutine l's own reader.
func (l *link) unpark() {
	p := l.b.polls.Load()
	if p == nil {
		return
	}
	p.mu.Lock()
	if l.socket != nil {
		p.take(l)
	}
	p.mu.Unlock()
	l.seat.Store(apart)
}

// silence has the system not tell of l any more. Its slot is kept: workers go on
// until unpark, and Run until they have ended.
func (p *poller) silence(l *link) {
	if l.socket != nil {
		p.ready.remove(l.socket)
	}
}

// wake has a goroutine of its own read l: it has something to see to that its
// socket does not tell. Any goroutine may call it. The socket is still open: of
// one that is closed the system would go on to tell if there is a duplicate of it.
func (l *link) wake() {
	if p := l.b.polls.Load(); p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.silence(l)
	}
	for {
		switch l.seat.Load() {
		case parked:
			if l.seat.CompareAndSwap(parked, apart) {
				l.b.wg.Go(l.keeper.keep)
				return
			}
		case stepped:
			if l.seat.CompareAndSwap(stepped, called) {
				return
			}
		default:
			return
		}
	}
}

// wait waits until there is something to read, and shares it out. It reports
// false if there will be nothing any more.
func (p *poller) wait(w *worker) bool {
	n, err := p.ready.wait(p.found[:])
	if err != nil {
		return false
	}
	p.b.watchOn()
	p.mu.Lock()
	for i, slot := range p.found[:n] {
		p.batch[i] = p.slots[slot]
	}
	due := n
	if n == pollBatch { // maybe all
		due = max(n, len(p.slots)-len(p.free))
	}
	p.mu.Unlock()
	p.n = n
	helpers := p.helpers(due)
	p.working.Store(int64(1 + helpers))
	p.next.Store(0)
	for _, c := range p.crew {
		if c != w && helpers > 0 {
			helpers--
			p.b.wg.Go(func() { p.work(c) })
		}
	}
	return true
}

// helpers returns how many workers the next batch needs beside the caller, which
// is the only one now, if so many connections may be due. Each more costs: what
// they write goes from one processor's cache to the other's, and connections that
// are read later bring more at once.
func (p *poller) helpers(due int) int {
	var steps, took time.Duration
	for _, w := range p.crew {
		steps, took = steps+time.Duration(w.steps), took+w.took
		w.steps, w.took = 0, 0
	}
	p.pace += (took - steps*p.pace) / (2 * pollBatch) // by the steps: single ones do not count as much as many
	return min(len(p.crew)-1, int(time.Duration(due)*p.pace/pollTurn))
}

// work is what a goroutine does as w until there is nothing for it or another
// one has taken its place.
func (p *poller) work(w *worker) {
	buf := make([]Event, smallRead)
	now := w.rested(time.Now())
	for {
		i := p.next.Add(1) - 1
		if i >= int64(p.n) {
			if p.working.Add(-1) > 0 || !p.wait(w) {
				return
			}
			now = w.rested(time.Now())
			continue
		}
		l := p.batch[i]
		if l == nil {
			continue
		}
		p.batch[i] = nil
		if !l.seat.CompareAndSwap(parked, stepped) {
			p.forget(l)
			continue
		}
		var on bool
		if now, on = p.step(w, l, buf, now); !on {
			return
		}
	}
}

// rested forgives the worker a part of what its steps took too long.
func (w *worker) rested(now time.Time) time.Time {
	w.over = max(0, w.over-now.Sub(w.last)/stepIdle)
	return now
}

// tired notes how long a step took that ended at now.
func (w *worker) tired(now time.Time, took time.Duration) {
	w.over, w.last = min(max(0, w.over+took-stepTime), 2*stepBurst), now
	w.steps, w.took = w.steps+1, w.took+took
}

// forget has the system not tell of l, which was told of, if l is not parked: its
// reader is not done with it, and it would be told of again and again.
func (p *poller) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.seat.Load() != parked {
		l.seat.CompareAndSwap(stepped, called) // so that it is parked anew
		p.silence(l)
	}
}

// step reads what has arrived for l. It returns when it was done, and reports
// whether the goroutine still is w's: the watcher may have given its place to
// another one meanwhile, and independently of that l to another one.
func (p *poller) step(w *worker, l *link, buf []Event, begin time.Time) (end time.Time, on bool) {
	k := l.keeper
	l.spared = w.over > stepBurst
	since := int64(begin.Sub(p.base))
	w.since.Store(since)
	err, moved := l.poll(k, buf)
	end = time.Now()
	if on = w.since.CompareAndSwap(since, 0); on {
		w.tired(end, end.Sub(begin))
	}
	var read func() // what l's own reader is to do: this goroutine, if it has nothing else to
	switch {
	case moved:
		return end, on // there is one already
	case err != nil:
		read = func() { k.goOn(err) }
	case !on, l.busy >= busyFrom, len(l.waits) > 0, !l.seat.CompareAndSwap(stepped, parked):
		read = k.keep
	default:
		return end, on
	}
	if on {
		p.b.wg.Go(read)
	} else {
		read()
	}
	return end, on
}

// poll delivers what has arrived, as read does.
func (l *link) poll(k *keeper, buf []Event) (err error, moved bool) {
	for range pollTurns {
		n, err := l.polled.Poll(buf)
		if n > 0 {
			now := time.Now()
			l.lastAt = now
			_, moved, werr := l.deliver(k, buf[:n], nil, now, err != nil)
			if moved {
				return nil, true
			}
			clear(buf[:n])
			if err == nil {
				err = werr
			}
		}
		switch {
		case err != nil:
			return err, false
		case n < len(buf):
			if n > 0 {
				l.polled.Delivered()
			}
			return nil, false
		case len(l.waits) > 0:
			return nil, false
		}
	}
	l.busy = busyFrom
	return nil, false
}

// relieve has another goroutine go on in the place of each worker that has been
// at one connection since before then. It reports whether any is at one.
func (p *poller) relieve(then time.Time) (working bool) {
	for _, w := range p.crew {
		since := w.since.Load()
		working = working || since != 0
		if since != 0 && since < int64(then.Sub(p.base)) && w.since.CompareAndSwap(since, 0) {
			p.b.wg.Go(func() {
				begun := p.base.Add(time.Duration(since))
				w.tired(time.Now(), time.Since(begun))
				p.work(w)
			})
		}
	}
	return working
}
