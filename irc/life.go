package irc

import (
	"errors"
	"net"
	"os"
	"time"
)

// life notices that a server is gone. Anything received is a sign of life.
// Deadlines of reads serve as the clock: one is set anew when it has passed,
// not at each read.
type life struct {
	last   time.Time // when something was received last
	asked  time.Time // when the server was asked for a sign; zero: it was not, or gave one
	due    time.Time // of the next tick
	beaten bool
}

// heard notes that something was received.
func (l *life) heard() {
	l.last = time.Now()
	l.asked = time.Time{}
}

// next says what to do at a time when nothing has been received: to ask the
// server, to give it up, or to come again after a while.
func (l *life) next(now time.Time, interval, timeout time.Duration) (ask, dead bool, again time.Time) {
	if !l.asked.IsZero() {
		again = l.asked.Add(timeout)
		return false, !now.Before(again), again
	}
	if again = l.last.Add(interval); now.Before(again) {
		return false, false, again
	}
	return true, false, now.Add(timeout)
}

var ping = []byte("PING :chatshard\r\n")

// beat begins to watch.
func (c *conn) beat(now time.Time) {
	c.life = life{last: now, beaten: true, due: now.Add(c.t.cfg.PingInterval)}
	_ = c.raw.SetReadDeadline(c.life.due) // the next read tells
}

// tick is called when the deadline of a read has passed.
func (c *conn) tick() error {
	if !c.life.beaten {
		return os.ErrDeadlineExceeded
	}
	now := time.Now()
	ask, dead, again := c.life.next(now, c.t.cfg.PingInterval, c.t.cfg.PingTimeout)
	if dead {
		return ErrDead
	}
	c.life.due = again
	if err := c.raw.SetReadDeadline(again); err != nil {
		return err
	}
	if !ask {
		return nil
	}
	c.life.asked = now
	if err := c.out.add(ping, true); err != nil {
		return err
	}
	c.flood.spend()
	return c.out.flush()
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// pulse stands below TLS, WebSocket and whatever else reads a connection that
// is not parked. It turns deadlines that have passed into ticks: nothing above
// sees them.
type pulse struct {
	net.Conn
	c *conn
}

func (p *pulse) Read(b []byte) (int, error) {
	for {
		n, err := p.Conn.Read(b)
		switch {
		case n > 0:
			p.c.life.heard()
			return n, nil
		case err != nil && p.c.life.beaten && isTimeout(err):
			if err = p.c.tick(); err == nil {
				continue
			}
		}
		return n, err
	}
}

// Write gives each write its own time: what stands above may answer from within a
// Read, when that of the last write has long passed.
func (p *pulse) Write(b []byte) (int, error) {
	if err := p.Conn.SetWriteDeadline(time.Now().Add(p.c.t.cfg.WriteTimeout)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

// stamp is a time as the service wrote it; it is read when it is asked for.
type stamp struct {
	n    uint8
	text [31]byte
}

// note keeps the time of the last message that was taken in. Whoever gets the
// message may release it, and no chunk is to be kept for it.
func (c *conn) note() {
	m := c.last
	if m == nil {
		return
	}
	c.last = nil
	s, ok := m.rawTag("tmi-sent-ts")
	if !ok {
		s, ok = m.rawTag("time")
	}
	if ok && s != "" {
		c.sent.n = uint8(copy(c.sent.text[:], s))
	}
}

func (s *stamp) time() time.Time {
	text := string(s.text[:s.n])
	if ms, ok := parseMillis(text); ok {
		return time.UnixMilli(ms)
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}
