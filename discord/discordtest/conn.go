package discordtest

import (
	"net"
	"slices"
	"sync"
	"time"

	"github.com/chatshard/chatshard/balancer/balancertest/wire"
)

// params are what a client chose in the URL of the gateway.
type params struct {
	version  string
	compress string // "", "zlib-stream", "zstd-stream"
}

// stage is how far a gateway connection is.
type stage int

const (
	stHTTP  stage = iota // not a gateway connection, or not yet
	stHello              // HELLO is due or sent; IDENTIFY or RESUME is awaited
	stReady              // has a session
)

// conn is one client's connection. One goroutine reads, and on a gateway
// connection another writes; both end with end and are waited for by
// Server.Close.
type conn struct {
	s    *Server
	id   int
	raw  wire.Conn
	host Host          // that the client dialled
	done chan struct{} // closed by end
	wake chan struct{} // tells the writer that there is work
	born time.Time

	// Owned by the reading goroutine.
	sends window

	// Owned by the writing goroutine.
	z    compressor
	text []byte
	pack []byte

	mu       sync.Mutex // guards all below; never held for I/O
	nc       net.Conn   // raw, or TLS over it
	plain    bool       // nc is raw
	stage    stage
	how      params
	b        *bot // known from a token
	sess     *session
	compress bool // payload compression

	queue   []item
	base    int64 // bytes of the transport before the first frame
	framed  int64 // bytes of frames ever made
	ledger  ledger
	guildAt time.Time // when the next guilds become available
	beatBy  time.Time // by when the client must have sent a heartbeat
	helloBy time.Time // by when it must have identified

	wire     wireFaults
	slow     int  // bytes a second that the server reads; 0: all
	deaf     bool // nothing is read any more
	dumb     bool // nothing is written any more
	noACK    bool // heartbeats stay unanswered
	doomed   bool // about to be closed
	closing  bool // a close frame is queued, the last thing to be written
	closed   bool // and written
	closeAt  time.Time
	hangAt   time.Time // when op 7 becomes a close
	overflow bool
	spoiled  bool // what is written cannot be understood
	ended    bool
	goneAt   time.Time // when it stopped being healthy
	ready    time.Time // when it became ready or resumed
}

// item is one message to be written.
type item struct {
	p     *payload
	x     *session
	seq   uint64
	text  []byte    // instead of p
	frame []byte    // instead of both, already framed
	zip   bool      // compressed as asked in IDENTIFY
	at    time.Time // not before
}

func newConn(s *Server, raw wire.Conn) *conn {
	return &conn{
		s: s, raw: raw, nc: raw, plain: true, born: time.Now(),
		done: make(chan struct{}), wake: make(chan struct{}, 1),
		sends: window{max: 120, span: time.Minute},
	}
}

func sortConns(cs []*conn) {
	slices.SortFunc(cs, func(a, b *conn) int { return a.id - b.id })
}

// session returns the session, or nil.
func (c *conn) session() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sess
}

// who returns bot and shard for a violation.
func (c *conn) who() (*bot, [2]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sess != nil {
		return c.sess.b, [2]int{c.sess.shard, c.sess.count}
	}
	return c.b, [2]int{}
}

func (c *conn) violate(kind ViolationKind, detail string) {
	b, shard := c.who()
	c.s.violate(kind, b, shard, detail)
}

// dispatch queues an event. It never blocks.
func (c *conn) dispatch(x *session, p *payload, seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(item{p: p, x: x, seq: seq, zip: c.compress})
}

// say queues a message that is not an event.
func (c *conn) say(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(item{text: []byte(text), zip: c.compress})
}

// add queues an item. The caller holds c.mu.
func (c *conn) add(it item) {
	if c.closing || c.ended || c.dumb {
		return
	}
	if c.wire.delay > 0 {
		it.at = time.Now().Add(c.wire.delay)
	}
	if c.wire.coalesce > 0 { // with the first that waits
		it.at = time.Now().Add(c.wire.coalesce)
		if len(c.queue) > 0 {
			it.at = c.queue[0].at
		}
	}
	c.queue = append(c.queue, it)
	if len(c.queue) > c.s.cfg.SendQueue {
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

// linger is how long a connection stays after the close frame, for the
// client's answer.
const linger = 2 * time.Second

// closeWith queues a close frame, the last thing to be written. A code that
// ends sessions ends the connection's, before the client can know. A muted or
// half-open connection stays as it is.
func (c *conn) closeWith(code int) {
	c.mu.Lock()
	if c.doomed || c.closing || c.ended {
		c.mu.Unlock()
		return
	}
	c.doomed = true
	b, x := c.b, c.sess
	c.mu.Unlock()
	c.s.cfg.Logger.Debug().Int("conn", c.id).Int("code", code).Msg("close")
	if b != nil {
		b.count(func(st *BotStats) { st.Closes[code]++ })
	}
	if x != nil {
		if ends(code) {
			x.finish("closed by the server", false)
		} else {
			x.detach(c)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dumb {
		return // the client has to find out by itself
	}
	c.add(item{frame: closeFrame(code)})
	c.closing = true
	c.goneAt = time.Now()
	c.nc.SetWriteDeadline(c.goneAt.Add(linger))
}

// ending says how a connection is ended.
type ending int

const (
	hangUp ending = iota // gracefully: the peer may still read what was written
	reset                // abortively
	pull                 // without a word of TLS, at once
)

// end ends the connection. It may be called many times and by anyone. The
// session, if there is one, can be resumed.
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
	nc, x := c.nc, c.sess
	close(c.done)
	c.mu.Unlock()
	if x != nil {
		x.detach(c)
	}
	switch how {
	case hangUp:
		nc.Close()
	case reset:
		c.raw.Abort()
	}
	c.raw.Close()
}
