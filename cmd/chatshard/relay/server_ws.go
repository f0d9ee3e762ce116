package relay

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/klauspost/compress/flate"
)

const (
	wsReadLimit = maxFilterJSON // of a message from a consumer
	wsMailbox   = 16 << 10      // bytes of answers that wait to be written
)

var errMailbox = errors.New("relay: websocket: asks faster than it reads the answers, or than is allowed")

// websocketConn is one WebSocket. Gorilla greets and reads; frames are written
// by the feed's goroutine alone, many of them in one write, which gorilla
// cannot do: a write per frame costs ten times as much.
type websocketConn struct {
	*feed
	conn     *websocket.Conn
	raw      net.Conn
	compress bool
	pinged   time.Time

	mu   sync.Mutex // guards mail and full
	mail []byte     // frames that answer; more than wsMailbox ends the connection
	full bool
}

// websocket is GET /v1/ws.
func (s *Server) websocket(w http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		(&problem{http.StatusUpgradeRequired, 0, "this is for WebSockets; /v1/stream gives the same over plain HTTP"}).write(w)
		return
	}
	f, problem := s.open(r, "ws")
	if problem != nil {
		problem.write(w)
		return
	}
	up := websocket.Upgrader{
		HandshakeTimeout:  5 * time.Second,
		CheckOrigin:       func(*http.Request) bool { return true }, // the guard has
		EnableCompression: s.cfg.Compress,
		WriteBufferPool:   &unusedBuffers, // so that it keeps none
	}
	for _, p := range websocket.Subprotocols(r) { // a browser wants one of its own back
		if !strings.HasPrefix(p, "bearer.") {
			up.Subprotocols = append(up.Subprotocols, p)
		}
	}
	s.hijacked.Add(1) // while http.Server still waits for us
	conn, err := up.Upgrade(w, r, nil)
	if err != nil { // Upgrade has answered
		s.hijacked.Done()
		f.close()
		return
	}
	c := &websocketConn{feed: f, conn: conn, raw: conn.NetConn(), compress: s.cfg.Compress && offersDeflate(r.Header), pinged: time.Now()}
	// The request's own goroutine ends here: its stack and its request are half
	// of what an idle consumer costs. Server.Close waits for these two.
	go func() {
		defer s.hijacked.Done()
		c.serve()
	}()
}

// serve is all of a connection's life.
func (c *websocketConn) serve() {
	defer c.feed.close()
	ctx, cancel := c.while(c.server.stop, c.raw.SetWriteDeadline) // the request's is over
	var reading sync.WaitGroup
	defer reading.Wait()
	defer c.conn.Close() // unblocks it
	defer cancel()
	reading.Go(func() {
		defer cancel()
		c.read(ctx)
	})
	c.close(c.write(ctx))
}

var unusedBuffers sync.Pool

func offersDeflate(h http.Header) bool {
	for _, line := range h.Values("Sec-WebSocket-Extensions") {
		for ext := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(ext, ";")
			if strings.TrimSpace(name) == "permessage-deflate" {
				return true
			}
		}
	}
	return false
}

// write hands out until the connection or ctx ends.
func (c *websocketConn) write(ctx context.Context) error {
	// By hand: what encoding/json needs of the stack would stay with it.
	hello := append([]byte(nil), `{"type":"hello","epoch":"`...)
	hello = append(hello, c.of...)
	hello = append(hello, `","cursor":"`...)
	hello = append(hello, c.Cursor().String()...)
	if c.member != nil {
		hello = append(hello, `","member":"`...)
		hello = strconv.AppendUint(hello, c.member.seed, 10)
	}
	c.post(appendFrame(nil, websocket.TextMessage, false, append(hello, `"}`...)))
	for {
		batch, err := (*[]byte)(nil), c.flush(nil)
		if err != nil {
			return err
		}
		batch, err = c.next(ctx, 1<<30, c.format)
		if err != nil && !errors.Is(err, ErrIdle) {
			return err
		}
		if now := time.Now(); now.Sub(c.pinged) >= c.server.cfg.KeepAlive {
			c.pinged = now
			c.post(appendFrame(nil, websocket.PingMessage, false, nil))
		}
		if batch != nil {
			if err := c.flush(*batch); err != nil {
				return err
			}
		}
		c.done(ctx, batch)
	}
}

// flush writes what is in the mailbox, and a batch of frames behind it.
func (c *websocketConn) flush(batch []byte) error {
	c.mu.Lock()
	mail, full := c.mail, c.full
	c.mail = nil
	c.mu.Unlock()
	if full {
		return errMailbox
	}
	if len(mail)+len(batch) == 0 {
		return nil
	}
	if err := c.within(c.raw.SetWriteDeadline); err != nil {
		return err
	}
	for _, b := range [][]byte{mail, batch} {
		if len(b) == 0 {
			continue
		}
		if _, err := c.raw.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// close says goodbye. There is no waiting for the answer: all that matters is
// in the cursor.
func (c *websocketConn) close(err error) {
	code := websocket.CloseNormalClosure
	c.mu.Lock()
	if c.full { // the end of reading may have been noticed first
		err = errMailbox
	}
	c.mu.Unlock()
	reason := c.ended(err)
	switch reason {
	case "stopped", "epoch":
		code = websocket.CloseGoingAway
	case "slow", "unacknowledged", "revoked":
		code = websocket.ClosePolicyViolation
	case "error":
		code = websocket.CloseInternalServerErr
	}
	if errors.Is(err, errMailbox) {
		code, reason = websocket.ClosePolicyViolation, "too many requests"
	}
	_ = c.raw.SetWriteDeadline(time.Now().Add(goodbye))
	_, _ = c.raw.Write(appendFrame(nil, websocket.CloseMessage, false, websocket.FormatCloseMessage(code, cut(reason+" "+c.handed.String(), 110))))
}

// read takes what the consumer sends, until the connection ends.
func (c *websocketConn) read(ctx context.Context) {
	patience := 2*c.server.cfg.KeepAlive + c.patience()
	alive := func() { _ = c.conn.SetReadDeadline(time.Now().Add(patience)) }
	alive()
	c.conn.SetReadLimit(wsReadLimit)
	c.conn.SetPongHandler(func(string) error { alive(); return nil })
	c.conn.SetPingHandler(func(text string) error {
		alive()
		c.post(appendFrame(nil, websocket.PongMessage, false, []byte(text)))
		return nil
	})
	c.conn.SetCloseHandler(func(int, string) error { return nil }) // write answers
	requests := bucket{rate: 2000, burst: 10_000}                  // of acknowledgements; what may cost more is a hundred of them
	for {
		kind, r, err := c.conn.NextReader()
		if err != nil {
			return
		}
		// The read limit is for what comes over the wire, which may inflate.
		msg, err := io.ReadAll(io.LimitReader(r, wsReadLimit+1))
		if err != nil || len(msg) > wsReadLimit {
			return
		}
		alive()
		if kind == websocket.TextMessage && !c.request(ctx, msg, &requests) || kind != websocket.TextMessage && requests.take(time.Now(), 100) > 0 {
			c.overflow()
			return
		}
	}
}

// request carries out what a consumer asks for in band, and answers. It reports
// whether there is more to be taken from it.
//
//	{"type":"filter","channel":["go*"],"kind":["message"]}  replaces the filter
//	{"type":"ack","cursor":"EPOCH:SEQ"}                     of a named consumer; only an error is answered
func (c *websocketConn) request(ctx context.Context, msg []byte, limit *bucket) bool {
	var head struct {
		Type   string `json:"type"`
		Cursor string `json:"cursor"`
	}
	err := json.Unmarshal(msg, &head)
	cost := 100.0
	if head.Type == "ack" && c.member != nil {
		cost = 1
	}
	if limit.take(time.Now(), cost) > 0 {
		return false
	}
	switch {
	case err != nil:
		err = fmt.Errorf("%w: want a JSON object with a type", ErrOptions)
	case head.Type == "filter":
		var f Filter
		if f, err = UnmarshalFilter(msg); err == nil {
			if err = c.SetFilter(f); err == nil {
				c.say(map[string]any{"type": "filtered", "cursor": c.Cursor().String()})
			}
		}
	case head.Type == "ack" && c.member == nil:
		err = fmt.Errorf("%w: ack: only a named consumer acknowledges: connect with consumer=NAME", ErrOptions)
	case head.Type == "ack":
		var at Cursor
		if at, err = ParseCursor(head.Cursor); err == nil {
			err = c.member.Ack(ctx, at)
		}
	default:
		err = fmt.Errorf("%w: type %.40q: want filter or ack", ErrOptions, head.Type)
	}
	if err != nil {
		c.say(map[string]any{"type": "error", "error": err.Error()})
	}
	return true
}

// say posts a message that is no envelope: it has no "v".
func (c *websocketConn) say(v map[string]any) {
	text, _ := json.Marshal(v)
	c.post(appendFrame(nil, websocket.TextMessage, false, text))
}

// post puts a frame into the mailbox.
func (c *websocketConn) post(frame []byte) {
	c.mu.Lock()
	if c.full = c.full || len(c.mail)+len(frame) > wsMailbox; !c.full {
		c.mail = append(c.mail, frame...)
	}
	c.mu.Unlock()
	c.Poke()
}

// overflow ends the connection.
func (c *websocketConn) overflow() {
	c.mu.Lock()
	c.full = true
	c.mu.Unlock()
	c.Poke()
}

func (c *websocketConn) format(dst []byte, it *Item) []byte {
	if c.compress && len(it.Line) >= 128 {
		return appendDeflated(dst, it.Line)
	}
	return appendFrame(dst, websocket.TextMessage, false, it.Line)
}

// appendFrame appends a frame of a server: whole and not masked (RFC 6455 §5.2).
func appendFrame(dst []byte, opcode byte, deflated bool, payload []byte) []byte {
	first := 0x80 | opcode
	if deflated {
		first |= 0x40 // RSV1: RFC 7692 §6
	}
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, first, byte(n))
	case n < 1<<16:
		dst = append(dst, first, 126, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
	}
	return append(dst, payload...)
}

// deflater compresses without context takeover, which is what gorilla
// negotiates: no connection keeps a window.
type deflater struct {
	w   *flate.Writer
	out []byte
}

func (d *deflater) Write(b []byte) (int, error) {
	d.out = append(d.out, b...)
	return len(b), nil
}

var deflaters = sync.Pool{New: func() any {
	d := new(deflater)
	d.w, _ = flate.NewWriter(d, flate.BestSpeed) // fails for a wrong level only
	return d
}}

func appendDeflated(dst, line []byte) []byte {
	d := deflaters.Get().(*deflater)
	d.out = d.out[:0]
	d.w.Reset(d)
	_, _ = d.w.Write(line) // into memory
	_ = d.w.Flush()
	// The end of a flush is left out: RFC 7692 §7.2.1.
	dst = appendFrame(dst, websocket.TextMessage, true, d.out[:len(d.out)-4])
	if cap(d.out) <= 4*batchBytes {
		deflaters.Put(d)
	}
	return dst
}
