package balancertest

import (
	"errors"
	"syscall"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// Poll implements balancer.Polled.
func (c *conn) Poll(buf []balancer.Event) (int, error) { return c.receive(buf, false) }

// Delivered implements balancer.Polled.
func (c *conn) Delivered() {}

// Park implements balancer.Polled, for a Network whose Config says so.
func (c *conn) Park(wake func()) syscall.RawConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.n.cfg.Polled || errors.Is(c.err, errClosed) {
		return nil
	}
	c.wake = wake
	return socket{c}
}

// socket is what a connection is waited for by. Nothing is read or written
// through it.
type socket struct{ c *conn }

// Readable reports whether something has arrived, or the service has ended the
// connection.
func (s socket) Readable() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.c.err != nil {
		return !errors.Is(s.c.err, errClosed) // nobody hears of a socket that he closed himself
	}
	return len(s.c.inbox) > 0 && !s.c.inbox[0].at.After(time.Now())
}

// Notify has f called whenever the socket may have become readable; nil ends it.
// f does not block.
func (s socket) Notify(f func()) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.told = f
	s.c.tell()
}

// tell tells who asked when the next item arrives. mu is held.
func (c *conn) tell() {
	if c.told == nil || c.later || len(c.inbox) == 0 {
		return
	}
	d := time.Until(c.inbox[0].at)
	if d <= 0 {
		c.told()
		return
	}
	c.later = true
	time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.later = false
		c.tell()
	})
}

func (socket) Control(func(fd uintptr)) error    { return errors.ErrUnsupported }
func (socket) Read(func(fd uintptr) bool) error  { return errors.ErrUnsupported }
func (socket) Write(func(fd uintptr) bool) error { return errors.ErrUnsupported }
