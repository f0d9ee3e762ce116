package irctest

import (
	"bytes"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer/balancertest/wire"
)

// conn is one client's connection. One goroutine reads, one writes; both end
// with end and are waited for by Server.Close.
type conn struct {
	s    *Server
	id   int
	raw  wire.Conn
	addr string        // host of the client
	done chan struct{} // closed by end
	wake chan struct{} // tells the writer that there is work
	born time.Time
	caps atomic.Uint32 // negotiated capabilities

	// Owned by the reading goroutine.
	login session

	mu     sync.Mutex // guards all below; never held for I/O
	nc     net.Conn   // what lines go through: raw, or TLS or WebSocket over it
	plain  bool       // nc is raw: a byte of the one is a byte of the other
	acc    *account
	nick   string
	user   string // plain IRC
	secret string // the token of the login
	joined map[*channel]*membership

	pend, spare []byte // lines to be written; the other of two buffers
	queued      int64  // bytes ever put into pend
	flushed     int64  // bytes ever taken out of pend
	dues        []due  // when pend may be written, if the connection is delayed
	delay       time.Duration
	ledger      ledger

	wire     *wireFaults
	held     *heldLine // waits for its successor, which goes first
	slow     int       // bytes a second that the server reads; 0: all
	deaf     bool      // nothing is read any more
	dumb     bool      // nothing is written any more
	closing  bool      // closes once everything is written
	closeAt  time.Time // when to close by itself
	overflow bool      // closed because it read too slowly
	ended    bool
	goneAt   time.Time // when it stopped being healthy
	pingAt   time.Time
	pongBy   time.Time
	pingText string
}

// due says that pend may be written up to an offset from a time on.
type due struct {
	end int64
	at  time.Time
}

func newConn(s *Server, raw wire.Conn) *conn {
	host, _, err := net.SplitHostPort(raw.RemoteAddr().String())
	if err != nil {
		host = raw.RemoteAddr().String()
	}
	c := &conn{
		s: s, raw: raw, nc: raw, plain: true, addr: host, born: time.Now(),
		done: make(chan struct{}), wake: make(chan struct{}, 1),
		joined:   make(map[*channel]*membership),
		pingText: s.cfg.Name,
	}
	if d := s.cfg.PingInterval; d > 0 {
		c.pingAt = time.Now().Add(d)
	}
	return c
}

func sortConns(cs []*conn) {
	slices.SortFunc(cs, func(a, b *conn) int { return a.id - b.id })
}

func (c *conn) account() *account {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acc
}

func (c *conn) nickname() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nick
}

func (c *conn) token() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.secret
}

// gone reports that no message will be written any more. The caller holds c.mu.
func (c *conn) gone() bool { return c.dumb || c.closing || c.ended }

// left reports that the client has closed the connection.
func (c *conn) left() bool {
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	return ended || c.raw.Left()
}

// line queues one line that no judge asks after. It never blocks.
func (c *conn) line(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone() {
		return
	}
	c.push([]byte(text))
}

// lines queues many at once, each ended by CR LF already.
func (c *conn) lines(block []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone() {
		return
	}
	c.block(block)
}

// block queues many lines. The caller holds c.mu and has checked gone.
func (c *conn) block(lines []byte) {
	c.s.stats.lines.Add(int64(bytes.Count(lines, crlf)))
	c.append(lines)
}

// push queues one line. The caller holds c.mu and has checked gone.
func (c *conn) push(line []byte) {
	c.s.stats.lines.Add(1)
	c.pend = append(c.pend, line...)
	c.append(crlf)
}

var crlf = []byte("\r\n")

func (c *conn) append(b []byte) {
	c.pend = append(c.pend, b...)
	c.queued = c.flushed + int64(len(c.pend))
	if c.delay > 0 || len(c.dues) > 0 {
		at := time.Now().Add(c.delay)
		if n := len(c.dues); n > 0 && at.Before(c.dues[n-1].at) {
			at = c.dues[n-1].at
		}
		c.dues = append(c.dues, due{c.queued, at})
	}
	if len(c.pend) > c.s.cfg.SendQueue && !c.closing {
		// As the service does. What is unread is lost.
		c.overflow, c.closing = true, true
		c.goneAt = time.Now()
		c.closeAt = c.goneAt
		c.raw.SetWriteDeadline(c.goneAt) // the writer may be stuck in a write
	}
	c.poke()
}

// poke wakes the writer.
func (c *conn) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// finish closes the connection once everything queued is written.
func (c *conn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finishLocked()
}

func (c *conn) finishLocked() {
	if c.closing || c.ended {
		return
	}
	c.closing = true
	c.goneAt = time.Now()
	c.nc.SetWriteDeadline(c.goneAt.Add(c.s.cfg.PongTimeout))
	c.poke()
}

// ending says how a connection is ended.
type ending int

const (
	hangUp ending = iota // gracefully: the peer may still read what was written
	reset                // abortively
	pull                 // without a word of TLS, at once
)

// end ends the connection. It may be called many times and by anyone.
func (c *conn) end(how ending) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.ended = true
	if c.goneAt.IsZero() {
		c.goneAt = time.Now()
	}
	nc := c.nc
	close(c.done)
	c.mu.Unlock()
	switch how {
	case hangUp:
		nc.Close()
	case reset:
		c.raw.Abort()
	}
	c.raw.Close()
}
