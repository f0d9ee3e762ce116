package discordtest

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/klauspost/compress/zstd"
)

// client is a gateway client as simple as can be. Its inflaters are the
// standard library's where that has one.
type client struct {
	t    testing.TB
	s    *Server
	ws   *websocket.Conn
	mode string
	z    io.Reader
	zs   *zstd.Decoder
	seq  uint64

	ready readyEvent
}

type packet struct {
	T  string          `json:"t"`
	S  uint64          `json:"s"`
	Op int             `json:"op"`
	D  json.RawMessage `json:"d"`
}

type readyEvent struct {
	V       int    `json:"v"`
	Session string `json:"session_id"`
	URL     string `json:"resume_gateway_url"`
	Shard   [2]int `json:"shard"`
	Guilds  []struct {
		ID          string `json:"id"`
		Unavailable bool   `json:"unavailable"`
	} `json:"guilds"`
}

// feeder is what an inflater reads from: the binary messages, one after another.
type feeder struct {
	c   *client
	buf []byte
}

func (f *feeder) Read(p []byte) (int, error) {
	for len(f.buf) == 0 {
		_, b, err := f.c.ws.ReadMessage()
		if err != nil {
			return 0, err
		}
		f.buf = b
	}
	n := copy(p, f.buf)
	f.buf = f.buf[n:]
	return n, nil
}

func (f *feeder) ReadByte() (byte, error) {
	var b [1]byte
	_, err := f.Read(b[:])
	return b[0], err
}

// dial connects to the gateway host. mode is a compress parameter or "payload".
func dial(t testing.TB, s *Server, mode string) *client {
	return dialURL(t, s, "ws://gateway.discord.test", mode)
}

func dialURL(t testing.TB, s *Server, url, mode string) *client {
	t.Helper()
	c, err := tryDial(t, s, url, mode)
	if err != nil {
		t.Fatalf("dial %s: %v", url, err)
	}
	return c
}

func tryDial(t testing.TB, s *Server, url, mode string) (*client, error) {
	d := websocket.Dialer{NetDialContext: s.DialContext, TLSClientConfig: &tls.Config{RootCAs: s.CertPool()}}
	if !strings.Contains(url, "?") {
		url += "/?encoding=json&v=10"
	}
	if mode != "" && mode != "payload" {
		url += "&compress=" + mode
	}
	ws, _, err := d.Dial(url, nil)
	if err != nil {
		return nil, err
	}
	c := &client{t: t, s: s, ws: ws, mode: mode}
	t.Cleanup(func() { c.drop() })
	return c, nil
}

func (c *client) drop() {
	c.ws.Close()
}

func (c *client) send(v string) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, []byte(v)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// next returns the next packet, or how the connection ended.
func (c *client) next() (packet, error) {
	var p packet
	msg, err := c.message()
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(msg, &p); err != nil {
		return p, fmt.Errorf("%w: %.200s", err, msg)
	}
	if p.S != 0 {
		c.seq = p.S
	}
	if p.T == "READY" {
		if err := json.Unmarshal(p.D, &c.ready); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (c *client) message() ([]byte, error) {
	switch c.mode {
	case "zlib-stream":
		if c.z == nil {
			in := &feeder{c: c}
			in.ReadByte() // the zlib header
			in.ReadByte()
			c.z = flate.NewReader(in)
		}
		return whole(c.z)
	case "zstd-stream":
		if c.zs == nil {
			zs, err := zstd.NewReader(&feeder{c: c}, zstd.WithDecoderConcurrency(1))
			if err != nil {
				return nil, err
			}
			c.zs = zs
		}
		return whole(c.zs)
	}
	kind, b, err := c.ws.ReadMessage()
	if err != nil || kind == websocket.TextMessage {
		return b, err
	}
	r, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// whole reads one JSON document.
func whole(r io.Reader) ([]byte, error) {
	var out []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		out = append(out, buf[:n]...)
		if n > 0 && out[len(out)-1] == '}' && json.Valid(out) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// await returns the next packet of an op and, for dispatches, of a type.
func (c *client) await(op int, t string) packet {
	c.t.Helper()
	for {
		p, err := c.next()
		if err != nil {
			c.t.Fatalf("waiting for op %d %s: %v", op, t, err)
		}
		if p.Op == op && (t == "" || p.T == t) {
			return p
		}
	}
}

// closed reads until the connection ends and returns the code.
func (c *client) closed() int {
	c.t.Helper()
	for {
		_, err := c.next()
		var ce *websocket.CloseError
		if errors.As(err, &ce) {
			return ce.Code
		}
		if err != nil {
			return websocket.CloseAbnormalClosure
		}
	}
}

const allIntents = 53608447 // every documented bit

// identify logs in and waits for READY and all guilds.
func (c *client) identify(shard, count int) *client {
	c.t.Helper()
	c.await(opHello, "")
	c.ask("bot-token", shard, count, allIntents)
	c.await(opDispatch, "READY")
	for range c.ready.Guilds {
		c.await(opDispatch, "GUILD_CREATE")
	}
	return c
}

func (c *client) ask(token string, shard, count int, intents uint64) {
	c.send(fmt.Sprintf(`{"op":2,"d":{"token":%q,"properties":{"$os":"linux"},"compress":%t,"shard":[%d,%d],"intents":%d,"presence":{"activities":null}}}`,
		token, c.mode == "payload", shard, count, intents))
}

func (c *client) resume(old *client) {
	c.t.Helper()
	c.await(opHello, "")
	c.ready, c.seq = old.ready, old.seq
	c.send(fmt.Sprintf(`{"op":6,"d":{"token":"Bot bot-token","session_id":%q,"seq":%d}}`, old.ready.Session, old.seq))
}

// beat sends a heartbeat and waits for its ACK: everything said before is here.
func (c *client) beat() {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"op":1,"d":%d}`, c.seq))
	c.await(opACK, "")
}

func (c *client) close(code int) {
	c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
	c.drop()
}

func now() time.Time { return time.Now() }

// inflateAll inflates n bytes of a stream.
func inflateAll(t *testing.T, name string, wire []byte, n int) []byte {
	t.Helper()
	var r io.Reader
	var err error
	if name == "zstd-stream" {
		var d *zstd.Decoder
		d, err = zstd.NewReader(bytes.NewReader(wire), zstd.WithDecoderMaxWindow(256<<10))
		if err == nil {
			defer d.Close()
			r = d
		}
	} else {
		r, err = zlib.NewReader(bytes.NewReader(wire))
	}
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, n)
	if _, err := io.ReadFull(r, out); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}
