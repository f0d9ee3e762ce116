package discordtest

import (
	"time"

	"github.com/chatshard/chatshard/balancer/balancertest/wire"
)

// ledger is what one connection knows of the events that it wrote and that the
// client may not have read yet. Guarded by conn.mu.
type ledger struct {
	marks   []mark // in the order of their ends
	head    int
	flushes []flushMark // only where bytes of frames are not bytes of the transport
	first   int
	high    int // settle again when there are so many marks
}

// mark is one event whose fate counts.
type mark struct {
	p   *payload
	x   *session
	end int64 // offset after it, in bytes of frames
}

// flushMark says that frames up to one offset were on the wire at another.
type flushMark struct {
	frames, wire int64
	at           time.Time
}

func (l *ledger) open() bool { return l.head < len(l.marks) }

func (l *ledger) flushed(frames, wire int64, at time.Time) {
	if !l.open() {
		l.flushes, l.first = l.flushes[:0], 0
		return
	}
	l.flushes = append(l.flushes, flushMark{frames, wire, at})
}

// mark notes that an item takes n bytes of frames.
func (c *conn) mark(it *item, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.framed += n
	if it.p == nil || c.spoiled || c.dumb || (it.p.id == 0 || len(it.x.judges) == 0) && !it.p.ready {
		return
	}
	l := &c.ledger
	l.marks = append(l.marks, mark{it.p, it.x, c.framed})
	if n := len(l.marks) - l.head; n > max(64, l.high) {
		c.settleLocked()
		l.high = 2 * (len(l.marks) - l.head)
	}
}

// settle tells the judges what the client has read.
func (c *conn) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settleLocked()
}

func (c *conn) settleLocked() {
	l := &c.ledger
	if !l.open() {
		return
	}
	sure := c.certain()
	for l.open() && l.marks[l.head].end <= sure {
		k := &l.marks[l.head]
		if k.p.ready {
			k.x.known.Store(true)
		}
		for _, j := range k.x.judges {
			if k.p.id == 0 {
				continue // READY of another shard than 0
			}
			if t := j.track(k.p.g); k.p.judged() {
				t.reachable(k.p.id)
			} else {
				t.confirm(k.p.id)
			}
		}
		*k = mark{}
		l.head++
	}
	// After a graceful close the client may still read what is in memory.
	if c.ended && !(c.raw.Prompt() && c.readable()) {
		*l = ledger{}
	}
	switch {
	case !l.open():
		l.marks, l.head = l.marks[:0], 0
	case l.head > 1024 && l.head > len(l.marks)/2:
		l.marks = l.marks[:copy(l.marks, l.marks[l.head:])]
		l.head = 0
	}
}

// readable reports whether the client may still read what was written.
func (c *conn) readable() bool {
	m, ok := c.raw.(*wire.End)
	return ok && m.Unread()
}

// certain returns up to which offset in bytes of frames everything is
// certainly read. The caller holds c.mu.
func (c *conn) certain() int64 {
	read := c.raw.Delivered()
	if c.plain && c.raw.Prompt() {
		return read - c.base
	}
	l := &c.ledger
	before := c.goneAt
	if before.IsZero() {
		before = time.Now()
	}
	if !c.raw.Prompt() {
		before = before.Add(-c.s.cfg.Unsure)
	}
	sure := int64(0)
	for l.first < len(l.flushes) {
		f := l.flushes[l.first]
		if f.wire > read || f.at.After(before) {
			break
		}
		sure = f.frames
		l.first++
	}
	if l.first > 256 && l.first > len(l.flushes)/2 {
		l.flushes = l.flushes[:copy(l.flushes, l.flushes[l.first:])]
		l.first = 0
	}
	return sure
}

// settleAll brings the ledgers of all connections up to date.
func (s *Server) settleAll() {
	s.mu.RLock()
	all := make([]*conn, 0, len(s.conns)+len(s.unsettled))
	for c := range s.conns {
		all = append(all, c)
	}
	over := make([]*conn, 0, len(s.unsettled))
	for c := range s.unsettled {
		over = append(over, c)
	}
	s.mu.RUnlock()
	for _, c := range append(all, over...) {
		c.settle()
	}
	for _, c := range over {
		c.mu.Lock()
		open := c.ledger.open()
		c.mu.Unlock()
		if !open {
			s.mu.Lock()
			delete(s.unsettled, c)
			s.mu.Unlock()
		}
	}
}
