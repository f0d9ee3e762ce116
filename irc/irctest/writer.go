package irctest

import "time"

// write is the writing goroutine of a connection: it flushes what is queued,
// sends the PINGs and closes the connection when its time has come. It ends
// with the connection.
func (c *conn) write() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		buf, wait, over := c.ready(time.Now())
		if len(buf) > 0 {
			if c.flush(buf) {
				continue
			}
			over = true
		}
		if over {
			c.end(c.lastWords())
			return
		}
		timer.Reset(wait)
		select {
		case <-c.done:
			return
		case <-c.wake:
		case <-timer.C:
		}
	}
}

// ready returns what may be written at the time now; if that is nothing, for
// how long to wait, or that the connection is over.
func (c *conn) ready(now time.Time) (buf []byte, wait time.Duration, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := now.Add(time.Hour)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	if c.ended || reached(c.closeAt, now) {
		return nil, 0, true
	}
	sooner(c.closeAt)
	if reached(c.pongBy, now) {
		return nil, 0, true
	}
	sooner(c.pongBy)
	if reached(c.pingAt, now) {
		c.pingAt = now.Add(c.s.cfg.PingInterval)
		if c.pongBy.IsZero() {
			c.pongBy = now.Add(c.s.cfg.PongTimeout)
			sooner(c.pongBy)
		}
		if !c.gone() {
			c.push([]byte("PING :" + c.pingText))
		}
	}
	sooner(c.pingAt)
	if c.dumb {
		return nil, next.Sub(now), c.closing
	}
	if c.held != nil {
		if reached(c.held.by, now) || c.closing {
			c.releaseHeld(false)
		} else {
			sooner(c.held.by)
		}
	}
	n := len(c.pend)
	if len(c.dues) > 0 {
		upTo := c.flushed
		for len(c.dues) > 0 && reached(c.dues[0].at, now) {
			upTo = c.dues[0].end
			c.dues = c.dues[1:]
		}
		if len(c.dues) > 0 {
			sooner(c.dues[0].at)
			n = int(upTo - c.flushed)
		}
	}
	if n == 0 {
		return nil, next.Sub(now), c.closing && len(c.pend) == 0
	}
	buf = c.pend[:n]
	c.pend = append(c.spare[:0], c.pend[n:]...)
	c.spare = nil
	c.flushed += int64(n)
	return buf, 0, false
}

// reached reports that t is set and not after now.
func reached(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

// flush writes buf and reports whether the connection lives on.
func (c *conn) flush(buf []byte) bool {
	c.mu.Lock()
	nc, wire, at := c.nc, c.wire, c.flushed
	c.mu.Unlock()
	if wire == nil {
		wire = c.s.chaos.wire.Load()
	}
	if !c.put(nc, buf, wire) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.plain || !c.raw.Prompt() {
		c.ledger.flushed(at, c.raw.Written(), time.Now())
	}
	if cap(buf) <= 256<<10 { // do not keep what a burst needed
		c.spare = buf[:0]
	}
	return true
}

func (c *conn) put(nc interface{ Write([]byte) (int, error) }, buf []byte, wire *wireFaults) bool {
	if wire == nil || wire.split <= 0 || c.raw.Prompt() || !c.s.rnd.chance(wire.split) {
		_, err := nc.Write(buf)
		return err == nil
	}
	for len(buf) > 0 { // a real socket sends each write at once: TCP_NODELAY
		n := min(len(buf), 1+c.s.rnd.intn(100))
		if _, err := nc.Write(buf[:n]); err != nil {
			return false
		}
		buf = buf[n:]
	}
	return true
}

// lastWords counts what the client did wrong, if that is why the writer ends,
// and says how to end.
func (c *conn) lastWords() ending {
	c.mu.Lock()
	now := time.Now()
	overflow := c.overflow
	late := !c.gone() && reached(c.pongBy, now)
	c.mu.Unlock()
	switch {
	case overflow:
		c.s.violate(QueueBackup, c, "", "")
		return pull
	case late:
		c.s.violate(NoPong, c, "", "")
	}
	return hangUp
}
