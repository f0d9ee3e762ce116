package irctest

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer/balancertest/wire"
)

// forever is the serial that no message reaches.
const forever = math.MaxUint64

// membership is one connection's stay in one channel. It knows for which
// serials the connection was there, and from which on it could not be reached.
type membership struct {
	ch     *channel
	c      *conn
	idx    int      // in ch.members; guarded by ch.mu
	from   uint64   // first serial; guarded by ch.mu
	to     uint64   // first serial after it; guarded by ch.mu
	tracks []*track // judges that watch; guarded by ch.mu and c.mu together

	over atomic.Bool // ended on request

	bad uint64 // first serial that was not delivered for certain; guarded by c.mu
}

// spoil notes that the message of this serial was not delivered. The caller
// holds c.mu.
func (m *membership) spoil(serial uint64) { m.bad = min(m.bad, serial) }

// ledger is what one connection knows of the lines that it wrote and that the
// client may not have read yet. It is bounded by what the send queue and the
// socket buffer hold. Guarded by conn.mu.
type ledger struct {
	marks   []mark // in the order of their ends
	head    int
	flushes []flushMark // only where bytes of lines are not bytes of the transport
	first   int
	high    int // prune again when there are so many marks
}

// mark is one line whose fate counts.
type mark struct {
	m      *membership
	serial uint64 // confirmMark: the answer to a JOIN
	end    int64  // offset after the line, in bytes of lines
}

const confirmMark = 0

// flushMark says that lines up to one offset were on the wire at another.
type flushMark struct {
	lines, wire int64
	at          time.Time
}

func (l *ledger) add(k mark) { l.marks = append(l.marks, k) }

func (l *ledger) flushed(lines, wire int64, at time.Time) {
	if len(l.marks) == l.head {
		l.flushes, l.first = l.flushes[:0], 0
		return
	}
	l.flushes = append(l.flushes, flushMark{lines, wire, at})
}

// note adds a mark for the line just queued. The caller holds c.mu.
func (c *conn) note(m *membership, serial uint64) {
	if len(m.tracks) == 0 {
		return
	}
	c.ledger.add(mark{m, serial, c.queued})
	if n := len(c.ledger.marks) - c.ledger.head; n > max(64, c.ledger.high) {
		c.settleLocked()
		c.ledger.high = 2 * (len(c.ledger.marks) - c.ledger.head)
	}
}

// settle brings the ledger up to date: what the client has read is delivered,
// what it cannot read any more is not.
func (c *conn) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settleLocked()
}

// readable reports whether the client may still read what was written, although
// the connection is over: it was closed gracefully, and what the client has read
// is known exactly.
func (c *conn) readable() bool {
	m, ok := c.raw.(*wire.End)
	return ok && !c.dumb && m.Unread()
}

func (c *conn) settleLocked() {
	l := &c.ledger
	if h := c.held; h != nil && h.serial != 0 && (c.gone() || c.raw.Left()) {
		h.m.spoil(h.serial)
	}
	if l.head == len(l.marks) {
		return
	}
	sure := c.certain()
	for l.head < len(l.marks) && l.marks[l.head].end <= sure {
		k := &l.marks[l.head]
		if k.serial == confirmMark {
			for _, t := range k.m.tracks {
				t.confirm(k.m.from, k.m.over.Load())
			}
		}
		*k = mark{}
		l.head++
	}
	if (c.gone() || c.raw.Left()) && !c.readable() {
		for _, k := range l.marks[l.head:] {
			if k.serial != confirmMark {
				k.m.spoil(k.serial)
			}
		}
		// Kept: after a graceful close the client may still read them.
		if !c.raw.Prompt() || c.raw.Left() {
			l.marks, l.head, l.flushes, l.first = nil, 0, nil, 0
		}
	}
	switch {
	case l.head == len(l.marks) && c.gone():
		l.marks, l.head = nil, 0 // a judge may ask after the connection for long
	case l.head == len(l.marks):
		l.marks, l.head = l.marks[:0], 0
	case l.head > 1024 && l.head > len(l.marks)/2:
		l.marks = l.marks[:copy(l.marks, l.marks[l.head:])]
		l.head = 0
	}
}

// certain returns up to which offset in bytes of lines everything is certainly
// read. The caller holds c.mu.
func (c *conn) certain() int64 {
	read := c.raw.Delivered()
	if c.plain && c.raw.Prompt() {
		return read
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
		sure = f.lines
		l.first++
	}
	if l.first > 256 && l.first > len(l.flushes)/2 {
		l.flushes = l.flushes[:copy(l.flushes, l.flushes[l.first:])]
		l.first = 0
	}
	return sure
}

// span is a range of serials that a connection could deliver.
type span struct{ from, to uint64 }

// reach returns for which serials some connection of the track's judge could
// deliver the channel's messages. The caller holds ch.mu.
func (ch *channel) reach(t *track) []span {
	var spans []span
	take := func(m *membership) {
		for _, mt := range m.tracks {
			if mt != t {
				continue
			}
			m.c.mu.Lock()
			m.c.settleLocked()
			s := span{m.from, min(m.to, m.bad)}
			m.c.mu.Unlock()
			if s.from < s.to {
				spans = append(spans, s)
			}
		}
	}
	for _, m := range ch.past {
		take(m)
	}
	for _, m := range ch.members {
		take(m)
	}
	return spans
}

func within(spans []span, serial uint64) bool {
	for _, s := range spans {
		if s.from <= serial && serial < s.to {
			return true
		}
	}
	return false
}

// retire keeps an ended membership for as long as a judge may ask after it.
// The caller holds ch.mu.
func (ch *channel) retire(m *membership) {
	if len(m.tracks) == 0 {
		return
	}
	ch.past = append(ch.past, m)
	if len(ch.past) < max(ch.pruneAt, 4) {
		return
	}
	oldest := uint64(forever)
	for _, t := range ch.tracks {
		oldest = min(oldest, t.oldest())
	}
	kept := ch.past[:0]
	for _, m := range ch.past {
		m.c.settle()
		if m.to > oldest {
			kept = append(kept, m)
		}
	}
	clear(ch.past[len(kept):])
	ch.past = kept
	ch.pruneAt = 2 * len(kept)
}
