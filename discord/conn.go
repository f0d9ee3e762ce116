package discord

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/chatshard/chatshard/balancer"
)

// conn is one connection, a [balancer.Prober]. See [Transport].
type conn struct {
	t      *Transport
	id     balancer.ShardID
	ws     *websocket.Conn
	sock   *socket
	frames frames
	stream stream
	heart  heart
	shard  *shardState // what outlives the connection

	turn   chan struct{} // to write; a lock that may be held for as long as a write takes
	closed atomic.Bool
	asked  atomic.Bool // closed by Close or Quit
	why    atomic.Pointer[error]

	paceOnce sync.Once
	sends    *balancer.Window // made at the first Send

	// Of the goroutine that calls Receive, and of Dial before that.
	in       sink
	nextMsg  func() (io.Reader, error) // next: a method value would be allocated for each payload
	later    []balancer.Event
	large    [1]balancer.Event // the event of a message that was larger than what is read ahead
	seq      uint64
	session  Record
	token    Secret
	last     [20]byte // the ID of the last event that has one
	lastLen  uint8
	cutOver  bool
	offered  bool      // Receive has returned without an event rather than wait
	answered bool      // an op 11 was taken since the heart was last told
	alive    time.Time // when a heartbeat was answered last, or the login: all sent before was received
	err      error     // what ended it
}

func newConn(t *Transport, id balancer.ShardID, sh *shardState) *conn {
	c := &conn{t: t, id: id, shard: sh, turn: make(chan struct{}, 1)}
	c.heart.c = c
	c.in.max = maxPayload
	c.nextMsg = c.next
	return c
}

// Receive implements [balancer.Conn].
func (c *conn) Receive(buf []balancer.Event) (int, error) {
	if len(buf) == 0 {
		return 0, nil
	}
	c.tell()
	for {
		n := copy(buf, c.later)
		if c.later = c.later[n:]; n > 0 && len(c.later) == 0 {
			c.later, c.large[0] = nil, balancer.Event{}
		}
		for n < len(buf) && c.err == nil && len(c.later) == 0 && c.sock.ready() {
			if c.err = c.take(&buf[n], &n); c.err != nil {
				break // said when all that came before it has been returned
			}
		}
		if n > 0 {
			c.heart.seq.Store(c.seq)
			c.note(&buf[n-1])
			return n, nil
		}
		if len(c.later) > 0 {
			continue
		}
		if c.err != nil {
			return 0, c.over()
		}
		if len(buf) > fewEvents && !c.offered {
			// Whoever calls may wait with less memory than he reads with.
			c.offered = true
			return 0, nil
		}
		c.offered = false
		c.tell()
		c.err = c.wait()
	}
}

// tell ends the probes that were answered: whoever calls Receive has done with
// what came before.
func (c *conn) tell() {
	if c.answered {
		c.answered = false
		c.heart.tell()
	}
}

// note keeps the ID of an event, which says when the service made it.
func (c *conn) note(e *balancer.Event) {
	d, ok := e.Data.(*Dispatch)
	if !ok || !d.known().unique {
		return
	}
	if d.find(); len(d.id) <= len(c.last) {
		c.lastLen = uint8(copy(c.last[:], d.id))
	}
}

// lastSent is when the service sent the last event received that says so.
// A clock that is behind Discord's gets none.
func (c *conn) lastSent() time.Time {
	if at := ID(c.last[:c.lastLen]).Time(); at.Before(time.Now()) {
		return at
	}
	return time.Time{}
}

// fewEvents is how many a caller may wait for without being asked whether he
// wants to wait for fewer.
const fewEvents = 8

// wait waits until there is something to take.
func (c *conn) wait() error {
	c.in.n = 0 // of a payload that was no dispatch
	c.in.release()
	err := c.sock.await()
	if errors.Is(err, errWoken) {
		c.guildsDue()
		return nil
	}
	if err != nil || c.sock.ready() {
		return err
	}
	// A message has begun and may be larger than what is read ahead.
	n := 0
	if err := c.take(&c.large[0], &n); err != nil {
		return err
	}
	if n > 0 {
		c.later = append(c.large[:1:1], c.later...)
	}
	return nil
}

// payload reads one payload into the sink, where it stays if take is called on it.
func (c *conn) payload() ([]byte, error) {
	r, err := c.next()
	if err != nil {
		return nil, err
	}
	c.in.n = 0
	if err := c.stream.read(&c.in, r, c.nextMsg); err != nil {
		return nil, err
	}
	return c.in.c.buf[c.in.c.used : c.in.c.used+c.in.n], nil
}

// next begins the next message.
func (c *conn) next() (io.Reader, error) {
	err := c.frames.next()
	c.sock.whole-- // below 0 while the rest of it is yet to arrive
	return &c.frames, err
}

// take takes one payload. If it is to be delivered, it writes the event to e
// and counts it in n.
func (c *conn) take(e *balancer.Event, n *int) error {
	raw, err := c.payload()
	if err != nil {
		return c.ended(err)
	}
	p, err := peek(raw)
	if err != nil {
		return err
	}
	switch p.op {
	case opDispatch:
		if p.seq > 0 && p.seq <= c.seq {
			break // a copy: within a session the numbers grow
		}
		c.dispatch(e, p)
		*n++
	case opHeartbeat:
		return c.heart.onDemand()
	case opHeartbeatACK:
		c.alive = time.Now()
		c.heart.ack()
		c.answered = true
	case opReconnect:
		if !c.cutOver {
			c.cutOver = true
			*e = balancer.Event{Data: balancer.CutOver{}}
			*n++
		}
	case opInvalidSession:
		if mayResume(raw, p) {
			return &balancer.ConnError{Err: ErrInvalidSession, Retry: balancer.Resume}
		}
		return &balancer.ConnError{Err: ErrInvalidSession, Retry: balancer.Fresh}
	}
	return nil
}

// mayResume reads d of op 9.
func mayResume(raw []byte, p peeked) bool {
	return p.d > 0 && p.d < len(raw) && raw[p.d] == 't'
}

// dispatch makes an event of the payload in the sink.
func (c *conn) dispatch(e *balancer.Event, p peeked) {
	raw := c.in.take()
	k := typeOf(p.typ)
	d := c.in.c.dispatch()
	d.Type, d.Seq, d.Raw, d.kind = k.name, p.seq, raw, k
	if p.d > 0 {
		d.at, d.alone = p.d, p.last
		d.Data = inner(raw[p.d:])
	}
	c.in.c.keep()
	if p.seq > 0 {
		c.seq = p.seq
	}
	*e = balancer.Event{Seq: p.seq, Size: len(raw), Data: d}
	if !c.t.cfg.LazyKeys {
		d.find()
		e.Key, e.ID = balancer.Key(d.guild), k.eventID(d)
	}
	if k.isGuild {
		c.guildEvent(d)
	}
}

// inner returns d without the bracket that closes the payload.
func inner(b []byte) []byte {
	n := len(b)
	for n > 0 && b[n-1] <= ' ' {
		n--
	}
	if n > 0 && b[n-1] == '}' {
		n--
	}
	return b[:n]
}

// guildEvent follows which guilds are there.
func (c *conn) guildEvent(d *Dispatch) {
	now := time.Now()
	settled := false
	switch d.Type {
	case "GUILD_CREATE":
		d.Backfill, settled = c.shard.guilds.created(d.GuildID, len(d.Data) < 1<<10 && isTrue(d.Data, "unavailable"), now,
			func() time.Time { return timeOf(d.Data, "joined_at") })
	case "GUILD_DELETE":
		settled = c.shard.guilds.deleted(d.GuildID(), isTrue(d.Data, "unavailable"), now)
	}
	if settled {
		c.settle(c.shard.guilds.settledNow(now))
	}
}

// settle says that the shard is ready for traffic.
func (c *conn) settle(a Available) {
	c.t.cfg.Logger.Debug().Stringer("shard", c.id).Int("guilds", a.Guilds).Int("missing", a.Missing).Dur("after", a.After).Msg("ready for traffic")
	c.later = append(c.later, balancer.Event{Data: balancer.Settled{}}, balancer.Event{Data: a})
}

// guildsDue gives up guilds that were awaited for too long.
func (c *conn) guildsDue() {
	left, a, settled := c.shard.guilds.due(time.Now(), c.t.cfg.GuildTimeout)
	switch {
	case settled:
		c.settle(a)
	case left > 0:
		c.heart.wakeIn(left)
	}
}

// fail ends the connection from outside of Receive, which returns err.
func (c *conn) fail(err error) {
	c.why.CompareAndSwap(nil, &err)
	c.closed.Store(true)
	c.sock.shut()
}

// ended says why the connection ended, for an error of a read.
func (c *conn) ended(err error) error {
	var ce *websocket.CloseError
	if errors.As(err, &ce) && ce.Code != websocket.CloseAbnormalClosure {
		return c.t.closed(ce.Code, ce.Text, c.token)
	}
	return err
}

// over is what Receive ends with.
func (c *conn) over() error {
	c.hangUp()
	c.in.n = 0
	c.in.release()
	c.sock.release()
	closeStream(c.stream)
	out := &balancer.ConnError{Last: c.lastSent()}
	c.shard.down.Store(latest(out.Last, c.alive).UnixMilli())
	var ce *balancer.ConnError
	why := c.why.Load()
	switch {
	case errors.As(c.ended(c.err), &ce):
		out.Err, out.Retry = ce.Err, ce.Retry
		if errors.Is(ce, ErrToken) {
			// Another token may have taken its place: if none has, the next Dial says
			// the same without asking Discord.
			c.t.doom(c.id, c.token, ce)
			out.Retry = balancer.Fresh
		}
	case why != nil:
		out.Err = fmt.Errorf("discord: shard %v: %w", c.id, *why)
	case c.asked.Load():
		out.Err = ErrClosed
	default:
		out.Err = fmt.Errorf("discord: shard %v: %w", c.id, c.err)
	}
	c.shard.ended(out, c.err)
	return out
}

// write writes one payload. It waits for one that is being written, and for
// nothing else.
func (c *conn) write(frame []byte) error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if c.closed.Load() {
		return ErrClosed
	}
	_ = c.ws.SetWriteDeadline(time.Now().Add(c.t.cfg.WriteTimeout)) // the write tells
	return c.ws.WriteMessage(websocket.TextMessage, frame)
}

// sendLimit is how many payloads a connection may send in sendPer ("Rate
// Limiting", events/gateway).
const (
	sendLimit = 120
	sendPer   = time.Minute
)

// pace waits until one more payload may be sent.
func (c *conn) pace(ctx context.Context) error {
	c.paceOnce.Do(func() { c.sends = balancer.NewWindow(sendLimit-c.heart.reserved(), sendPer) })
	return c.sends.Wait(ctx, 1)
}

// Send implements [balancer.Conn]: it waits until the connection may send one
// more payload, 120 a minute less what heartbeats need, and writes it.
func (c *conn) Send(ctx context.Context, frame []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkFrame(frame); err != nil {
		return err
	}
	if err := c.pace(ctx); err != nil {
		return err
	}
	if err := c.write(frame); err != nil {
		if c.asked.Load() {
			return ErrClosed
		}
		return fmt.Errorf("discord: shard %v: send: %w", c.id, err)
	}
	return nil
}

// checkFrame refuses what the gateway would close the connection for.
func checkFrame(frame []byte) error {
	if len(frame) > mostFrame {
		return fmt.Errorf("%w: it has %d", ErrTooLarge, len(frame))
	}
	switch p, err := peek(frame); {
	case err != nil:
		return fmt.Errorf("discord: send: not a gateway payload: %w", err)
	case p.op == opIdentify || p.op == opResume || p.op == opHeartbeat || p.op == opDispatch:
		return fmt.Errorf("discord: send: op %d is the connection's own to send", p.op)
	}
	return nil
}

// Close implements [balancer.Conn]. The session stays resumable.
func (c *conn) Close() error {
	c.bye(closeKeeps)
	return nil
}

// Quit implements [balancer.Conn]: the session ends, and the bot appears
// offline if it was the last one.
func (c *conn) Quit(context.Context) error {
	c.bye(closeEnds)
	return nil
}

// byeFor is how long the close frame may take to be written.
const byeFor = 500 * time.Millisecond

func (c *conn) bye(code int) {
	if !c.asked.Swap(true) && !c.closed.Load() {
		_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(byeFor)) // a bare end of the connection does as well
	}
	c.hangUp()
}

// hangUp ends every read and write, and waits for what the connection started.
func (c *conn) hangUp() {
	c.closed.Store(true)
	c.sock.shut()
	c.heart.stop()
}
