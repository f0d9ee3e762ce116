package irc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/chatshard/chatshard/balancer"
)

// conn is one connection, a [balancer.Joiner], [balancer.Prober] and [balancer.Polled]. See
// [Transport].
type conn struct {
	// Of the goroutine that calls Receive. What every read touches stands
	// together, to the end of name: the processor's cache holds none of it when
	// a quiet connection receives a line.
	plain    parked // src, if there is nothing above the socket
	in       reader
	src      source
	parked   bool // src returns when a deadline has passed; else pulse sees to it
	owes     bool // a PONG is queued
	cutOver  bool
	echo     bool     // own messages come back; set by the login
	answered bool     // a probe was answered since tell was called
	last     *Message // the last one with tags since note was called
	err      error    // what ended it
	life     life
	sent     stamp // when the service sent the last one that said so

	mu      sync.Mutex       // guards all to probed; held for map work and cutting lines, never for I/O
	later   []balancer.Event // what Receive returns before anything else
	nameKey balancer.Key     // the key of name
	nameLen int              // 0: not known
	name    [26]byte         // of the channel that the last line was about, as it arrived

	nick     string
	rooms    map[string]*room // by name as it arrives
	sweepAt  int
	receipts map[string]*pending
	probes   []*probe
	probed   int // how many there were

	t      *Transport
	id     balancer.ShardID
	raw    net.Conn // the socket, below TLS
	web    *websocket.Conn
	out    writer
	flood  *flood // nil: not limited
	done   chan struct{}
	closed atomic.Bool
	alarm  atomic.Pointer[alarm] // nil: it was never parked

	// Set by the login.
	token   Secret
	encoder Encoder
	isup    *ISupport // plain IRC
}

func newConn(t *Transport, raw net.Conn, id balancer.ShardID) *conn {
	c := &conn{t: t, id: id, raw: raw, done: make(chan struct{})}
	c.in.max, c.in.oversized = t.cfg.MaxLine, c.oversized
	c.out.timeout = t.cfg.WriteTimeout
	return c
}

// oversized tells of a line that was skipped. mu is held, but during the login,
// when there is nothing to miss yet.
func (c *conn) oversized(n int) {
	c.t.oversized.Add(1)
	c.note()
	to := time.Now()
	from := c.sent.time()
	if from.IsZero() || !from.Before(to) {
		from = to.Add(-time.Millisecond)
	}
	c.later = append(c.later, balancer.Event{Data: balancer.Gap{From: from, To: to, Dropped: 1, Err: ErrLineTooLong}})
	c.t.cfg.Logger.Debug().Stringer("shard", c.id).Int("bytes", n).Msg("line too long: skipped")
}

// attach has the connection read and write nc, which stands on c.raw.
func (c *conn) attach(nc net.Conn) {
	c.out.nc = nc
	if w, ok := nc.(*webConn); ok {
		c.web = w.ws
	}
	if src, ok := c.newSource(nc); ok {
		c.src, c.parked = src, true
		return
	}
	if nc == c.raw {
		nc = &pulse{Conn: nc, c: c}
	}
	c.src = &portable{nc: nc, in: &c.in}
}

// ready begins the connection's life: the login is complete.
func (c *conn) ready(r loginResult) {
	up := balancer.Up{}
	c.mu.Lock()
	c.nick = r.nick
	c.encoder = Encoder{}
	if c.isup = r.isup; r.isup != nil {
		c.encoder = r.isup.Encoder()
		c.echo = r.caps["echo-message"]
		up.Cap = r.isup.ChanLimit('#')
		c.t.targets.Store(int32(c.encoder.Targets))
		c.flood = newFlood(c, c.t.cfg.Flood)
	}
	c.later = []balancer.Event{{Data: up}}
	c.mu.Unlock()
	c.beat(time.Now())
	c.t.cfg.Logger.Debug().Stringer("shard", c.id).Str("nick", r.nick).Int("cap", up.Cap).Msg("logged in")
}

// Receive implements [balancer.Conn].
func (c *conn) Receive(buf []balancer.Event) (int, error) { return c.receive(buf, true) }

// receive is Receive, or Poll if it does not wait.
func (c *conn) receive(buf []balancer.Event, wait bool) (int, error) {
	if len(buf) == 0 {
		return 0, nil
	}
	c.tell()
	for tried := false; ; tried = true {
		c.mu.Lock()
		n := c.cut(buf)
		c.mu.Unlock()
		for n > 0 && n < len(buf) && c.err == nil && c.src.more() {
			if _, c.err = c.fill(false); c.err != nil {
				break // said when all that came before it has been returned
			}
			c.mu.Lock()
			n += c.cut(buf[n:])
			c.mu.Unlock()
		}
		if c.owes {
			c.owes = false
			if err := c.out.flush(); err != nil && c.err == nil {
				c.err = err
			}
		}
		switch {
		case n > 0 && n < len(buf) && c.err != nil && !wait:
			return n, c.over()
		case n > 0:
			c.note() // what is returned is no longer ours
			return n, nil
		}
		c.tell()
		switch {
		case c.err != nil:
			return 0, c.over()
		case !wait && (!c.parked || tried && !c.src.more()):
			c.in.release()
			return 0, nil
		}
		var ticked bool
		if ticked, c.err = c.fill(wait); ticked && wait {
			return 0, nil // whoever calls may want to wait in another way
		}
	}
}

// fill waits until something has arrived or a tick was due, or takes what has
// arrived.
func (c *conn) fill(wait bool) (ticked bool, err error) {
	for {
		got, err := c.src.fill(wait)
		switch {
		case !c.parked:
		case got:
			c.life.heard()
		case isTimeout(err):
			if err = c.tick(); err != nil || wait {
				return err == nil, err
			}
			continue
		}
		return false, err
	}
}

// cut makes events of the lines that have been read. mu is held.
func (c *conn) cut(buf []balancer.Event) int {
	n := 0
	for n < len(buf) {
		if len(c.later) > 0 {
			buf[n] = c.later[0]
			if c.later = c.later[1:]; len(c.later) == 0 {
				c.later = nil
			}
			n++
			continue
		}
		line, ok := c.in.next()
		if !ok && len(c.later) > 0 {
			continue
		}
		if !ok {
			break
		}
		m := c.in.chunk.peek()
		if m.Tokenize(line) != nil {
			c.t.broken.Add(1)
			continue
		}
		if m.raw[m.cmdStart:m.cmdEnd] == "PRIVMSG" {
			if c.echo && len(c.receipts) > 0 {
				c.echoed(m)
			}
		} else if !c.control(m) {
			continue
		}
		c.in.chunk.keep()
		if m.tagsEnd > 0 {
			c.last = m
		}
		buf[n] = balancer.Event{Key: c.key(m.Channel()), ID: c.in.chunk.eventID(m), Size: len(m.raw), Data: m}
		n++
	}
	return n
}

// control looks at a line that is no message, and reports whether it is to be
// delivered. mu is held.
func (c *conn) control(m *Message) bool {
	switch cmd := m.Command(); cmd {
	case "PING":
		c.pong(m)
		return c.t.cfg.Pings
	case "PONG":
		c.answer(m.Text())
		c.ponged(m.Text())
		return c.t.cfg.Pings
	case "JOIN":
		if c.isMe(m.Nick()) {
			c.onJoin(m.Channel())
		}
	case "PART":
		if c.isMe(m.Nick()) {
			c.onPart(m, "")
		}
	case "KICK":
		if c.isMe(m.Param(1)) {
			c.onPart(m, m.Text())
		}
	case "366", "ROOMSTATE":
		if r := c.room(m.Channel()); r != nil {
			r.listed = true
			c.confirm(r)
		}
	case "USERSTATE":
		c.onUserState(m)
	case "NOTICE":
		c.onNotice(m)
	case "NICK":
		if c.isMe(m.Nick()) {
			c.nick = strings.Clone(m.Param(0))
		}
	case "RECONNECT":
		if !c.cutOver {
			c.cutOver = true
			c.later = append(c.later, balancer.Event{Data: balancer.CutOver{}})
		}
	case "ERROR":
		c.onError(m)
	default:
		if len(cmd) == 3 && cmd[0] == '4' {
			c.onNumeric(cmd, m)
		}
	}
	return true
}

// pong answers a PING with the same text.
func (c *conn) pong(m *Message) {
	line, err := AppendPong(nil, m.Text())
	if err == nil && c.out.add(line, true) == nil {
		c.owes = true
		c.flood.spend()
	}
}

// isMe reports whether a nick is the connection's own. mu is held.
func (c *conn) isMe(nick string) bool {
	if c.isup != nil {
		return c.isup.Fold(nick) == c.isup.Fold(c.nick)
	}
	return strings.EqualFold(nick, c.nick)
}

// onError keeps why the server closes the connection. mu is held.
func (c *conn) onError(m *Message) {
	text := strings.Clone(m.Text())
	if c.err != nil {
		return
	}
	c.err = &ServerError{text}
	if saysBanned(text) {
		c.err = never(&LoginError{Login: c.nick, Text: text, Err: ErrBanned, Do: "ask the network's staff"})
	}
}

// over is what Receive ends with.
func (c *conn) over() error {
	c.note()
	c.hangUp()
	c.in.release()
	c.settleAll()
	out := &balancer.ConnError{Last: c.sent.time()}
	var ce *balancer.ConnError
	switch {
	case errors.As(c.err, &ce):
		out.Err, out.Retry = ce.Err, ce.Retry
	case c.asked():
		out.Err = ErrClosed
	default:
		out.Err = fmt.Errorf("irc: connection to %v: %w", c.t.addr, c.err)
	}
	return out
}

// asked reports whether Close or Quit ended the connection.
func (c *conn) asked() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Send implements [balancer.Conn]. Frame is one line, with or without its CR
// LF. On a plain IRC network it may wait in the connection's queue after Send
// has returned.
func (c *conn) Send(ctx context.Context, frame []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	body := bytes.TrimRight(frame, "\r\n")
	if len(body) == 0 {
		return &LineError{Field: "line", Why: "is empty"}
	}
	if i := bytes.IndexAny(body, "\r\n\x00"); i >= 0 {
		return &LineError{"line", i, fmt.Sprintf("the byte 0x%02x is not allowed", body[i])}
	}
	line := append(append(make([]byte, 0, len(body)+2), body...), "\r\n"...)
	if p, ok := ctx.Value(pendingKey{}).(*pending); ok {
		return c.sendPending(ctx, p, line)
	}
	if c.flood != nil {
		return c.flood.line(line)
	}
	return c.send(line)
}

// send writes lines, after those that others write.
func (c *conn) send(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	err := c.out.add(lines, false)
	if err == nil {
		err = c.out.flush()
	}
	if err != nil && c.isClosed() {
		return ErrClosed
	}
	return err
}

// Close implements [balancer.Conn]. It does not wait for the server.
func (c *conn) Close() error {
	c.mu.Lock()
	if !c.asked() {
		close(c.done)
	}
	c.mu.Unlock()
	c.hangUp()
	if c.flood != nil {
		c.flood.wg.Wait()
	}
	c.settleAll()
	return nil
}

// Quit implements [balancer.Conn]: it says goodbye and closes.
func (c *conn) Quit(ctx context.Context) error {
	if !c.isClosed() && ctx.Err() == nil {
		if c.t.cfg.Profile == Generic {
			_ = c.out.add([]byte("QUIT\r\n"), true) // whatever comes of it
			_ = c.out.flush()
		}
		if c.web != nil {
			_ = c.web.WriteControl(websocket.CloseMessage,
				websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
		}
	}
	return c.Close()
}

// hangUp closes the socket, which ends every read and write.
func (c *conn) hangUp() {
	if c.closed.Swap(true) {
		return
	}
	c.out.stop(ErrClosed)
	if a := c.alarm.Load(); a != nil {
		a.stop()
	}
	c.raw.Close()
}

func (c *conn) isClosed() bool { return c.closed.Load() }
