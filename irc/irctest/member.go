package irctest

import "time"

// enter makes c a member of ch, unless it is one. The answer to the JOIN is
// queued before any message can be. The caller holds ch.mu.
func (s *Server) enter(ch *channel, c *conn, answer func() []byte) *membership {
	m := &membership{ch: ch, c: c, idx: len(ch.members), from: ch.next, to: forever, bad: forever}
	c.mu.Lock()
	if c.joined[ch] != nil || c.ended {
		c.mu.Unlock()
		return nil
	}
	c.joined[ch] = m
	acc := c.acc
	for _, t := range ch.tracks {
		if t.j.watches(acc) {
			m.tracks = append(m.tracks, t)
		}
	}
	c.mu.Unlock()
	for _, t := range m.tracks {
		t.entered(ch.next)
	}
	if acc != nil {
		acc.mu.Lock()
		acc.members[m] = struct{}{}
		acc.mu.Unlock()
	}
	block := answer()
	ch.members = append(ch.members, m)
	s.stats.members.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone() {
		m.bad = min(m.bad, ch.next) // the answer itself was not written
		return m
	}
	c.block(block)
	c.note(m, confirmMark)
	return m
}

// exit ends a membership; asked says that the client asked for it or that the
// service took it away, rather than that the connection ended. It reports
// whether there was something to end. The caller holds ch.mu.
func (s *Server) exit(m *membership, asked bool) bool {
	ch, c := m.ch, m.c
	c.mu.Lock()
	if c.joined[ch] != m {
		c.mu.Unlock()
		return false
	}
	c.settleLocked() // the client may have read that it was joined
	m.over.Store(asked)
	delete(c.joined, ch)
	acc := c.acc
	c.mu.Unlock()
	last := len(ch.members) - 1
	ch.members[m.idx] = ch.members[last]
	ch.members[m.idx].idx = m.idx
	ch.members[last] = nil
	ch.members = ch.members[:last]
	m.to = ch.next
	if acc != nil {
		acc.mu.Lock()
		delete(acc.members, m)
		acc.mu.Unlock()
	}
	for _, t := range m.tracks {
		t.exited(ch.next, asked)
	}
	ch.retire(m)
	s.stats.members.Add(-1)
	return true
}

// membership returns c's membership of ch, or nil.
func (c *conn) membership(ch *channel) *membership {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.joined[ch]
}

// memberships returns all of c's memberships.
func (c *conn) memberships() []*membership {
	c.mu.Lock()
	defer c.mu.Unlock()
	ms := make([]*membership, 0, len(c.joined))
	for _, m := range c.joined {
		ms = append(ms, m)
	}
	return ms
}

// deliver queues one line of a channel for a member, with the faults of the
// wire. The caller holds ch.mu.
func (c *conn) deliver(m *membership, serial uint64, line []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone() {
		if serial != 0 {
			m.spoil(serial)
		}
		return
	}
	wire := c.wire
	if wire == nil {
		wire = c.s.chaos.wire.Load()
	}
	if wire == nil && c.held == nil {
		c.push(line)
		if serial != 0 {
			c.note(m, serial)
		}
		return
	}
	c.deliverBadly(m, serial, line, wire)
}

// heldLine is a line that the Reorder fault lets its successor overtake.
type heldLine struct {
	m      *membership
	serial uint64
	line   []byte
	by     time.Time // when it goes even without a successor
}

// releaseHeld queues the held line. The caller holds c.mu.
func (c *conn) releaseHeld(overtaken bool) {
	h := c.held
	c.held = nil
	if overtaken {
		for _, t := range h.m.tracks {
			t.overtaken(h.serial)
		}
	}
	c.push(h.line)
	if h.serial != 0 {
		c.note(h.m, h.serial)
	}
}

// hold keeps a line back until the next one of the connection has gone first.
// The caller holds c.mu.
func (c *conn) hold(m *membership, serial uint64, line []byte) {
	c.held = &heldLine{m, serial, append([]byte(nil), line...), time.Now().Add(reorderWait)}
	c.poke()
}
