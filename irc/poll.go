package irc

import (
	"syscall"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// Poll implements [balancer.Polled].
func (c *conn) Poll(buf []balancer.Event) (int, error) { return c.receive(buf, false) }

// Delivered implements [balancer.Polled].
func (c *conn) Delivered() {
	c.tell()
	c.in.release()
}

// Park implements [balancer.Polled]. A connection that is not read from its
// socket by this package has none: a WebSocket, or what a dialer of the user's
// made.
func (c *conn) Park(wake func()) syscall.RawConn {
	s, ok := c.src.(interface{ socket() syscall.RawConn })
	if !ok {
		return nil
	}
	a := c.alarm.Load()
	if a == nil {
		a = &alarm{wake: wake}
		a.timer = time.AfterFunc(time.Until(c.life.due), wake)
		c.alarm.Store(a)
	} else {
		a.timer.Reset(time.Until(c.life.due))
	}
	if c.isClosed() { // maybe before the alarm was there
		a.timer.Stop()
		return nil
	}
	return s.socket()
}

// alarm wakes a parked connection when a tick is due, and when it is closed.
type alarm struct {
	wake  func()
	timer *time.Timer
}

func (a *alarm) stop() {
	a.timer.Stop()
	a.wake()
}
