package discordtest

import "time"

// write is the writing goroutine of a gateway connection: it makes frames of
// what is queued, lets guilds become available, and closes the connection when
// its time has come. It ends with the connection.
func (c *conn) write() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		batch, x, wait, over := c.next(time.Now())
		if x != nil {
			c.backfill(x)
			continue
		}
		if len(batch) > 0 {
			if c.flush(batch) {
				continue
			}
			over = true
		}
		if over {
			if c.lastWords() {
				continue
			}
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

// backfill lets guilds become available.
func (c *conn) backfill(x *session) {
	wait := x.backfill()
	c.mu.Lock()
	defer c.mu.Unlock()
	if wait > 0 {
		c.guildAt = time.Now().Add(wait)
	}
}

// next returns what is to be done at the time now: messages to write, a
// session whose guilds are due, or for how long to wait, or that the
// connection is over.
func (c *conn) next(now time.Time) (batch []item, x *session, wait time.Duration, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := now.Add(time.Hour)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(until) {
			until = t
		}
	}
	patient := c.doomed || c.closing || c.dumb // nothing but closeAt ends it
	if c.ended || reached(c.closeAt, now) || (!patient && (reached(c.beatBy, now) || reached(c.helloBy, now) || reached(c.hangAt, now))) {
		return nil, nil, 0, true
	}
	sooner(c.closeAt)
	if !patient {
		sooner(c.beatBy)
		sooner(c.helloBy)
		sooner(c.hangAt)
	}
	if reached(c.guildAt, now) && c.sess != nil {
		c.guildAt = time.Time{}
		return nil, c.sess, 0, false
	}
	sooner(c.guildAt)
	if c.dumb || c.closed {
		return nil, nil, until.Sub(now), false
	}
	n := 0
	for n < len(c.queue) && n < maxBatch && !c.queue[n].at.After(now) {
		n++
	}
	if n == 0 {
		if len(c.queue) > 0 {
			sooner(c.queue[0].at)
		}
		return nil, nil, until.Sub(now), false
	}
	batch = c.queue[:n:n]
	c.queue = c.queue[n:]
	if len(c.queue) == 0 {
		c.queue = nil
	}
	return batch, nil, 0, false
}

// maxBatch is how many messages are made into frames at a time.
const maxBatch = 256

// reached reports that t is set and not after now.
func reached(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

// flush writes a batch and reports whether the connection lives on.
func (c *conn) flush(batch []item) bool {
	var out []byte
	for i := range batch {
		out = c.encode(out, &batch[i])
		if len(out) >= 32<<10 && i < len(batch)-1 {
			if !c.put(out) {
				return false
			}
			out = out[:0]
		}
	}
	if !c.put(out) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing && len(c.queue) == 0 && batch[len(batch)-1].frame != nil {
		c.closed = true
		c.closeAt = time.Now().Add(linger)
	}
	if cap(c.text) > 256<<10 {
		c.text, c.pack = nil, nil
	}
	return true
}

// put writes frames, unless a fault has them held back.
func (c *conn) put(out []byte) bool {
	if len(out) == 0 {
		return true
	}
	c.mu.Lock()
	nc, dumb := c.nc, c.dumb
	c.mu.Unlock()
	if dumb {
		return true // and it is never read
	}
	if _, err := nc.Write(out); err != nil {
		return false
	}
	if !c.plain || !c.raw.Prompt() {
		c.mu.Lock()
		c.ledger.flushed(c.framed, c.raw.Written(), time.Now())
		c.mu.Unlock()
	}
	return true
}

// encode appends the frames of one item and notes where they end.
func (c *conn) encode(out []byte, it *item) []byte {
	start := len(out)
	if it.frame != nil {
		out = append(out, it.frame...)
		c.mark(it, int64(len(out)-start))
		return out
	}
	c.mu.Lock()
	w := c.wire
	corrupt := c.wire.corrupt
	c.wire.corrupt = false
	if corrupt {
		c.spoiled = true
	}
	c.mu.Unlock()
	times := 1
	if it.p != nil {
		c.s.stats.written.Add(1)
		if w.duplicate > 0 && c.s.rnd.chance(w.duplicate) {
			times = 2
		}
	}
	for range times {
		out = c.message(out, it, w, corrupt)
	}
	c.mark(it, int64(len(out)-start))
	return out
}

// message appends the frames of one message.
func (c *conn) message(out []byte, it *item, w wireFaults, corrupt bool) []byte {
	if it.p != nil {
		c.text = it.p.append(c.text[:0], it.x, it.seq)
	} else {
		c.text = append(c.text[:0], it.text...)
	}
	msg, kind := c.text, byte(wsText)
	switch {
	case c.z != nil:
		c.pack = c.z.add(c.pack[:0], c.text)
		msg, kind = c.pack, wsBinary
	case it.zip:
		c.pack = payloadZlib{}.add(c.pack[:0], c.text)
		msg, kind = c.pack, wsBinary
	}
	switch {
	case corrupt && kind == wsBinary:
		msg[0] |= 6 // a block type that neither deflate nor zstd has
	case corrupt:
		msg[0] = '!'
	}
	if w.split && c.how.compress == "zlib-stream" && len(msg) > 8 {
		for len(msg) > 0 {
			n := min(len(msg), 1+c.s.rnd.intn(max(1, len(msg))))
			out = appendFrame(out, kind, msg[:n])
			msg = msg[n:]
		}
		return out
	}
	if w.split && len(msg) > 8 {
		n := 1 + c.s.rnd.intn(len(msg)-1)
		return appendFragments(out, kind, msg[:n], msg[n:])
	}
	return appendFrame(out, kind, msg)
}

// lastWords ends the connection for the reason that the writer found, and
// reports whether there is a close frame to be written first.
func (c *conn) lastWords() bool {
	c.mu.Lock()
	now := time.Now()
	overflow, over := c.overflow, c.ended || c.closing || reached(c.closeAt, now)
	beat, hello, hang := reached(c.beatBy, now), reached(c.helloBy, now), reached(c.hangAt, now)
	c.mu.Unlock()
	switch {
	case overflow:
		c.violate(QueueBackup, "")
		c.end(pull)
		return false
	case over:
	case beat:
		c.violate(NoHeartbeat, "")
		c.closeWith(CloseSessionTimedOut)
		return true
	case hello:
		c.violate(IdentifyTimeout, "")
		c.closeWith(CloseSessionTimedOut)
		return true
	case hang:
		c.closeWith(CloseUnknown)
		return true
	}
	c.end(hangUp) // or writing failed
	return false
}
