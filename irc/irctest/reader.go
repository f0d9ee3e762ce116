package irctest

import (
	"bytes"
	"strings"
	"time"
)

// read is the reading goroutine's loop: it hands each line to the profile and
// returns when the connection is over.
func (c *conn) read() {
	buf := make([]byte, 0, 512)
	for {
		if len(buf) == cap(buf) {
			if cap(buf) > 2*maxClientLine {
				c.s.prof.tooLong(c)
				buf = buf[:0]
			} else {
				buf = append(make([]byte, 0, 2*cap(buf)), buf...)
			}
		}
		n, err := c.nc.Read(buf[len(buf):cap(buf)])
		if c.isDeaf() {
			c.raw.AwaitClose()
			return
		}
		buf = buf[:len(buf)+n]
		buf = buf[:copy(buf, c.split(buf))]
		if err != nil || !c.dawdle(n) {
			return
		}
	}
}

// split handles every whole line in buf and returns the rest.
func (c *conn) split(buf []byte) []byte {
	for {
		i := bytes.IndexByte(buf, '\n')
		if i < 0 {
			return buf
		}
		text := strings.TrimRight(string(buf[:i]), "\r")
		buf = buf[i+1:]
		if len(text) > maxClientLine {
			c.s.prof.tooLong(c)
			continue
		}
		l, ok := parseLine(text)
		if !ok {
			continue
		}
		switch {
		case c.isDeaf() || c.isClosing():
			return nil
		case l.verb == "PONG":
			c.pong(l)
		default:
			c.s.prof.handle(c, l)
		}
	}
}

// pong takes the answer to the server's PING, which must echo its text.
func (c *conn) pong(l clientLine) {
	if len(l.params) == 0 || l.params[len(l.params)-1] != c.pingText {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pongBy = time.Time{}
}

// dawdle waits as the SlowReader fault asks for after n bytes.
func (c *conn) dawdle(n int) bool {
	c.mu.Lock()
	slow := c.slow
	c.mu.Unlock()
	if slow == 0 {
		return true
	}
	return sleep(time.Duration(n)*time.Second/time.Duration(slow), c.done)
}

func (c *conn) isDeaf() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deaf
}

func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing || c.ended
}
