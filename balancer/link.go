package balancer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// link is one connection of a shard and all that is known of it. A shard has
// many in its life, and two while one replaces the other.
type link struct {
	// What every read touches stands together: the processor's cache holds none
	// of it when a quiet connection receives a line.
	b       *Balancer
	q       *queue
	conn    Conn
	id      ShardID
	special atomic.Bool          // gates, gaps or tallies are not empty: the event path looks at them
	keeper  *keeper              // whom the reader reads for; the watcher reads it while the reader is in the Handler
	lastAt  time.Time            // of the reader
	seat    atomic.Int32         // where the reader is; see poll.go
	polled  Polled               // conn, if it can be waited for with others; of the reader, as are the next three
	spared  bool                 // unless seat is apart: the worker does not call the Handler
	busy    int                  // grows with reads that find much; see poll.go
	waits   []*queue             // to wait for before the next read: a worker must not
	elder   atomic.Pointer[link] // the one before it in the shard, once that has ended: its window still counts
	seenMu  sync.Mutex           // guards seen, which a handover to another connection asks too
	seen    seen

	s       *shard
	wakeUp  func()               // wake: made once
	slot    int                  // by which the poller knows it; guarded by poller.mu, as is socket
	socket  syscall.RawConn      // nil: it has no slot
	nth     int                  // of the shard's connections
	join    Joiner               // conn, if its keys are joined one by one
	stop    chan struct{}        // closed to make the reader return
	done    chan struct{}        // closed when it has
	seq     uint64               // of the reader
	acks    atomic.Pointer[acks] // replaced when a new session begins
	blocked atomic.Int64         // when the reader last waited for the queue, Unix nanoseconds; maxInt64 while it does
	cut     atomic.Bool          // closed to be resumed at once
	diedAt  time.Time            // when it ended; set before it is anybody's elder
	upAt    time.Time            // of the reader: when it was up

	mu      sync.Mutex // guards all below; held for map work only
	gates   map[Key]*handover
	gaps    map[Key]gapStart
	tallies map[Key]*tally // events and bytes per key, if a policy asked for rates
	asks    []ask
	asking  bool
	stopped bool
	session *Session

	// Of the loop, under Balancer.mu.
	ready    bool // its Up was heard: what it may hold is known
	members  int  // keys asked for or joined on it
	retiring bool
	dead     bool
	promised bool      // it is asked for a sign of life as soon as it may be
	probing  int       // signs of life that it was asked for and has not given
	proven   time.Time // when it was asked for the last one that it gave
	probed   time.Time // when it was asked last
}

type gapStart struct {
	from time.Time
	err  error
}

type tally struct{ events, bytes int64 }

type ask struct {
	key  Key
	join bool
}

// handled acknowledges an event, seq being 0 where the service numbers nothing.
func (l *link) handled(seq uint64) {
	if seq != 0 && l != nil {
		l.acks.Load().done(seq)
	}
}

const smallRead = 4 // events per read of a quiet connection: its buffer stays allocated

// smalls has the buffers of readers that ended or left, empty.
var smalls = sync.Pool{New: func() any { return new([smallRead]Event) }}

// read delivers what arrives until the connection ends, and returns why. A busy
// connection receives straight into the blocks of its queue.
//
// left says that the connection is somebody else's now: a Handler took long and
// another goroutine reads on, or it is quiet and waited for by the poller.
func (l *link) read(k *keeper) (err error, left bool) {
	l.unpark()
	if l.waits != nil {
		err := l.wait(l.waits)
		l.waits = nil
		l.blocked.Store(time.Now().UnixNano())
		if err != nil {
			return err, false
		}
	}
	lent := smalls.Get().(*[smallRead]Event)
	defer func() {
		clear(lent[:])
		smalls.Put(lent)
	}()
	small := lent[:]
	var big *block
	for first := true; ; first = false {
		buf := small
		if big != nil {
			buf = big.ev[:]
		}
		calm := l.polled != nil && (first || l.busy < busyFrom)
		var n int
		var err error
		if calm {
			n, err = l.polled.Poll(buf)
		} else {
			n, err = l.conn.Receive(buf)
		}
		if n > 0 {
			now := time.Now()
			if now.Sub(l.lastAt) > busyGap {
				l.busy = 0
			}
			l.lastAt = now
			taken, moved, werr := l.deliver(k, buf[:n], big, now, err != nil)
			if moved {
				return nil, true
			}
			if taken {
				big = nil
			} else {
				clear(buf[:n])
			}
			if err == nil {
				err = werr
			}
		}
		switch {
		case err != nil:
			if big != nil {
				blocks.Put(big)
			}
			return err, false
		case n == len(buf) && big == nil:
			big = blocks.Get().(*block)
		case n < smallRead && big != nil:
			blocks.Put(big)
			big = nil
		}
		switch {
		case n >= smallRead:
			l.busy = min(l.busy+1, busyMost)
		case n == 0 && !calm:
			l.busy = 0
		case calm && n == 0 && l.park(k):
			return nil, true
		case l.busy > 0:
			l.busy--
		}
	}
}

// control takes what the transport says of the connection or of a key.
func (l *link) control(e Event, now time.Time) {
	l.mu.Lock()
	h := l.gates[e.Key]
	gap, hasGap := l.gaps[e.Key]
	if _, ok := e.Data.(Joined); ok {
		delete(l.gaps, e.Key)
		l.refresh()
	}
	l.mu.Unlock()
	switch d := e.Data.(type) {
	case Up:
		l.upAt = now
		l.begin(d)
		l.b.up(l, d, now)
		l.q.append(e)
		l.b.post(note{link: l, data: d})
	case Joined:
		if h != nil && h.to == l {
			h.confirm(e.Key, now)
			l.b.joined(l, e.Key)
			l.b.post(note{link: l, key: e.Key, data: d})
			return
		}
		if hasGap {
			l.q.append(Event{Shard: l.id, Key: e.Key, link: l, at: now.UnixNano(), Data: Gap{From: gap.from, To: now, Err: gap.err}})
		}
		l.b.joined(l, e.Key)
		l.q.append(e)
		l.b.post(note{link: l, key: e.Key, data: d})
	case Parted:
		if h == nil {
			l.q.append(e)
		}
		at := now
		if !d.Last.IsZero() {
			at = d.Last
		}
		l.b.post(note{link: l, key: e.Key, data: d, at: at})
	case Refused:
		l.b.post(note{link: l, key: e.Key, data: d}) // the loop says it, with the time of the next try
	case Settled:
		l.b.settled(l, now)
		l.q.append(e)
		l.b.post(note{link: l, data: d})
	case CutOver:
		l.q.append(e)
		l.b.post(note{link: l, data: d})
	default:
		l.q.append(e)
	}
}

// begin takes up a session that the transport had stored.
func (l *link) begin(d Up) {
	l.mu.Lock()
	given := l.session != nil
	l.mu.Unlock()
	if d.Resumed && d.Session != nil && !given {
		l.seq = d.Session.Seq
		l.acks.Load().resumeAt(d.Session.Seq)
	}
}

// refresh sets special. mu is held.
func (l *link) refresh() { l.special.Store(len(l.gates)+len(l.gaps) > 0 || l.tallies != nil) }

func (l *link) setGate(k Key, h *handover) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h == nil {
		delete(l.gates, k)
	} else {
		if l.gates == nil {
			l.gates = make(map[Key]*handover)
		}
		l.gates[k] = h
	}
	l.refresh()
}

// expectGap makes the next Joined of k report a gap.
func (l *link) expectGap(k Key, g gapStart) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gaps == nil {
		l.gaps = make(map[Key]gapStart)
	}
	l.gaps[k] = g
	l.refresh()
}

func (l *link) forgetGap(k Key) {
	l.mu.Lock()
	delete(l.gaps, k)
	l.refresh()
	l.mu.Unlock()
}

// measure starts counting events per key.
func (l *link) measure() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tallies == nil {
		l.tallies = make(map[Key]*tally)
	}
	l.refresh()
}

// counted returns what was counted since the last call.
func (l *link) counted() map[Key]*tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tallies
	if t != nil {
		l.tallies = make(map[Key]*tally, len(t))
	}
	return t
}

// end makes the reader return: at once if it waits for the queue, and after
// Close or Quit if it waits for the service.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.stopped = true
		close(l.stop)
	}
}

func (l *link) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopped
}

// close ends the connection and leaves its session resumable.
func (l *link) close() {
	l.end()
	l.conn.Close()
}

// quit ends the connection and its session.
func (l *link) quit(ctx context.Context) {
	l.end()
	l.conn.Quit(ctx)
	l.conn.Close()
}

// ask has a key joined or parted by a goroutine of the link's own, which ends
// when nothing is left to ask: a connection that does not take what is written
// holds up no other. Keys that wait at the same time are asked together.
func (l *link) ask(k Key, join bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	l.asks = append(l.asks, ask{k, join})
	if !l.asking {
		l.asking = true
		l.b.wg.Go(l.askAll)
	}
}

func (l *link) askAll() {
	ctx, cancel := context.WithCancel(l.b.ctx)
	defer cancel()
	for {
		l.mu.Lock()
		if len(l.asks) == 0 || l.stopped {
			l.asks, l.asking = nil, false
			l.mu.Unlock()
			return
		}
		join := l.asks[0].join
		var keys []Key
		for len(l.asks) > 0 && l.asks[0].join == join {
			keys = append(keys, l.asks[0].key)
			l.asks = l.asks[1:]
		}
		l.mu.Unlock()
		var err error
		if join {
			err = l.join.Join(ctx, keys...)
		} else {
			err = l.join.Part(ctx, keys...)
		}
		if err != nil && !l.ended() {
			// Not to be asked is not to be alive: the reader will tell why.
			l.b.log.Debug().Stringer("shard", l.id).Err(err).Msg("could not ask")
			l.conn.Close()
		}
	}
}

// lastEvent is when the service sent the last event of a connection that ended
// with err. Where it does not tell, that may be an overlap before it was read:
// what it sent just after is lost too.
func (l *link) lastEvent(err error) time.Time {
	var ce *ConnError
	if errors.As(err, &ce) && !ce.Last.IsZero() {
		return ce.Last
	}
	if at := l.lastAt.Add(-l.b.cfg.Overlap); at.After(l.upAt) {
		return at
	}
	return l.upAt
}
