package discordtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// gateway serves a connection whose client asks for a WebSocket, until it ends.
func (c *conn) gateway(r *http.Request, h *hijack) {
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, ReadBufferSize: 512, WriteBufferSize: 256}
	ws, err := up.Upgrade(h, r, nil)
	if err != nil {
		c.s.cfg.Logger.Debug().Err(err).Int("conn", c.id).Msg("no WebSocket")
		return
	}
	q := r.URL.Query()
	how := params{version: q.Get("v"), compress: q.Get("compress")}
	bad := 0
	why := ""
	switch enc := q.Get("encoding"); {
	case how.version != "9" && how.version != "10":
		bad, why = CloseInvalidVersion, "v="+how.version
	case enc != "" && enc != "json": // a code that nobody retries
		bad, why = CloseInvalidVersion, "encoding="+enc
	}
	z, err := newCompressor(how.compress, c.s.cfg.Level)
	if err != nil {
		bad, why = CloseDecodeError, err.Error()
	}
	c.z = z
	ws.SetCloseHandler(func(int, string) error { return nil })
	ws.SetPingHandler(func(text string) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.add(item{frame: appendFrame(nil, wsPong, []byte(text))})
		return nil
	})
	now := time.Now()
	c.mu.Lock()
	c.base = c.raw.Written()
	c.stage, c.how = stHello, how
	c.helloBy = now.Add(c.s.cfg.IdentifyTimeout)
	c.beatBy = now.Add(c.s.cfg.HeartbeatInterval * 3 / 2)
	c.mu.Unlock()
	switch {
	case bad != 0:
		c.violate(BadVersion, why)
		c.closeWith(bad)
	case !c.meet(AtConnect):
		c.say(fmt.Sprintf(`{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":%d,"_trace":["[\"gateway-test-0\",{\"micros\":0.0}]"]}}`, c.s.cfg.HeartbeatInterval.Milliseconds()))
		c.meet(AtHello)
	}
	c.s.wg.Go(c.write)
	c.read(ws)
}

// read is the reading goroutine of a gateway connection.
func (c *conn) read(ws *websocket.Conn) {
	defer c.end(hangUp)
	buf := make([]byte, 0, 512)
	for {
		kind, r, err := ws.NextReader()
		if err != nil {
			c.over(err)
			return
		}
		if buf, err = readUpTo(buf[:0], r, maxPayload+1); err != nil {
			c.over(err)
			return
		}
		c.mu.Lock()
		deaf, slow, closing := c.deaf, c.slow, c.closing
		c.mu.Unlock()
		switch {
		case deaf:
			c.raw.AwaitClose()
			c.over(io.EOF)
			return
		case closing:
			continue
		}
		if slow > 0 && !sleep(time.Duration(len(buf))*time.Second/time.Duration(slow), c.done) {
			return
		}
		if _, ok := c.sends.take(time.Now()); !ok {
			c.violate(SendRate, "")
			c.closeWith(CloseRateLimited)
			continue
		}
		if kind != websocket.TextMessage && kind != websocket.BinaryMessage {
			continue
		}
		c.handle(buf)
	}
}

// readUpTo appends at most max bytes of r to buf.
func readUpTo(buf []byte, r io.Reader, max int) ([]byte, error) {
	for len(buf) < max {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), max)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// over notes how the client ended the connection: with 1000 or 1001 its
// session ends too (events/gateway: Initiating a Disconnect).
func (c *conn) over(err error) {
	code := websocket.CloseAbnormalClosure
	if ce, ok := err.(*websocket.CloseError); ok {
		code = ce.Code
	}
	c.mu.Lock()
	b, x, ours := c.b, c.sess, c.doomed || c.closing
	c.mu.Unlock()
	c.s.cfg.Logger.Debug().Int("conn", c.id).Int("code", code).Msg("client closed")
	if ours || b == nil {
		return
	}
	b.count(func(st *BotStats) { st.ClientCloses[code]++ })
	if x != nil && x.holds(c) && (code == websocket.CloseNormalClosure || code == websocket.CloseGoingAway) {
		x.finish(fmt.Sprintf("closed by the client with %d", code), true)
	}
}

// holds reports whether c is the session's connection.
func (x *session) holds(c *conn) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.conn == c
}

// Gateway opcodes.
const (
	opDispatch       = 0
	opHeartbeat      = 1
	opIdentify       = 2
	opPresence       = 3
	opVoiceState     = 4
	opResume         = 6
	opReconnect      = 7
	opMembers        = 8
	opInvalidSession = 9
	opHello          = 10
	opACK            = 11
	opSounds         = 31
	opChannelInfo    = 43
)

// handle does what one payload asks for.
func (c *conn) handle(buf []byte) {
	if len(buf) > maxPayload {
		c.violate(PayloadTooLong, "")
		c.closeWith(CloseDecodeError)
		return
	}
	op, d, err := parseClient(buf)
	if err == nil && op == opHeartbeat {
		c.heartbeat(d)
		return
	}
	x := c.session()
	if err == nil && x == nil && op != opIdentify && op != opResume {
		c.violate(NotAuthenticated, fmt.Sprint("op ", op))
		c.closeWith(CloseNotAuthenticated)
		return
	}
	if err == nil && x != nil && (op == opIdentify || op == opResume) {
		c.violate(AlreadyAuth, fmt.Sprint("op ", op))
		c.closeWith(CloseAlreadyAuth)
		return
	}
	if err == nil {
		switch op {
		case opIdentify:
			err = c.identify(d)
		case opResume:
			err = c.resume(d)
		case opPresence:
			err = presence(d)
		case opVoiceState:
			err = c.voiceState(x, d)
		case opMembers:
			err = c.members(x, d)
		case opSounds:
			err = c.sounds(x, d)
		case opChannelInfo:
			err = c.channelInfo(x, d)
		default:
			c.violate(UnknownOp, fmt.Sprint("op ", op))
			c.closeWith(CloseUnknownOpcode)
			return
		}
	}
	if err != nil {
		c.violate(BadPayload, err.Error())
		c.closeWith(CloseDecodeError)
	}
}

// heartbeat answers op 1 with op 11.
func (c *conn) heartbeat(d json.RawMessage) {
	var seq *uint64
	bad := len(d) > 0 && json.Unmarshal(d, &seq) != nil
	x := c.session()
	if x != nil {
		x.mu.Lock()
		bad = bad || seq != nil && *seq > x.seq
		x.mu.Unlock()
	} // before RESUME a client may send the seq of the session that it has
	if bad {
		c.violate(BadHeartbeat, string(d))
	}
	c.mu.Lock()
	c.beatBy = time.Now().Add(c.s.cfg.HeartbeatInterval * 3 / 2)
	quiet := c.noACK
	c.mu.Unlock()
	if !quiet {
		c.say(`{"t":null,"s":null,"op":11,"d":null}`)
	}
}

// invalidSession sends op 9.
func (c *conn) invalidSession(resumable bool) {
	c.say(fmt.Sprintf(`{"t":null,"s":null,"op":9,"d":%t}`, resumable))
}
