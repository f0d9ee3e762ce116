package irctest

// wireFaults are the faults of single lines, as shares of 1. A value is never
// changed once in use.
type wireFaults struct {
	duplicate, reorder, invalid, oversize, split float64
	size                                         int
}

func (w *wireFaults) set(f Fault) {
	rate := f.Rate
	if rate <= 0 {
		rate = 1
	}
	switch f.Kind {
	case Duplicate:
		w.duplicate = rate
	case Reorder:
		w.reorder = rate
	case InvalidUTF8:
		w.invalid = rate
	case SplitLines:
		w.split = rate
	case Oversized:
		w.oversize, w.size = rate, f.Size
	}
}

// reorderWait is for how long a line waits to be overtaken.
const reorderWait = 50 * 1_000_000 // ns

// deliverBadly is deliver with the faults of single lines. The caller holds
// ch.mu and c.mu.
func (c *conn) deliverBadly(m *membership, serial uint64, line []byte, wire *wireFaults) {
	if wire == nil {
		wire = &wireFaults{}
	}
	rnd := &c.s.rnd
	if rnd.chance(wire.oversize) {
		c.push(c.s.oversized(wire.size))
	}
	if rnd.chance(wire.invalid) {
		line = append(line[:len(line):len(line)], " \xff\xc3\xe2\x82"...)
	}
	if c.held == nil && serial != 0 && rnd.chance(wire.reorder) {
		c.hold(m, serial, line)
		return
	}
	c.push(line)
	if serial != 0 {
		c.note(m, serial)
	}
	if c.held != nil {
		c.releaseHeld(c.held.m == m && c.held.serial+1 == serial)
	}
	if c.gone() {
		return
	}
	if rnd.chance(wire.duplicate) {
		c.push(line)
	}
}

// crumbs returns sizes for the pieces in which a reader in memory sees what
// was written: with the given probability a few bytes only.
func (s *Server) crumbs(rate float64) func() int {
	return func() int {
		if s.rnd.chance(rate) {
			return 1 + s.rnd.intn(60)
		}
		return 1 << 20
	}
}
