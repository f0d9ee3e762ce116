package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net"
	"net/url"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// The bare loops of the Discord rows check nothing, send no heartbeat, do not
// reconnect, and rely on the order in which keys stand.

var errGateway = errors.New("bench: not what the gateway sends")

// bareDispatch finds what tells dispatches apart, and where d begins.
func bareDispatch(p []byte) (typ []byte, seq uint64, d []byte) {
	const before, between, after = `{"t":"`, `,"s":`, `,"op":0,"d":`
	if len(p) < len(before) || string(p[:len(before)]) != before {
		return nil, 0, nil
	}
	p = p[len(before):]
	n := bytes.IndexByte(p, '"')
	typ, p = p[:n], p[n+1+len(between):]
	for p[0] != ',' {
		seq = seq*10 + uint64(p[0]-'0')
		p = p[1:]
	}
	return typ, seq, p[len(after):]
}

// bareKeys walks over the fields of d to its guild and channel.
func bareKeys(typ, d []byte) (guild, channel []byte) {
	isGuild := string(typ) == "GUILD_CREATE"
	for i := 1; d[i] == '"'; i++ {
		end := bareString(d, i)
		key, at := d[i+1:end-1], end+1
		i = bareSkip(d, at)
		switch string(key) {
		case "guild_id":
			guild = d[at+1 : i-1]
		case "channel_id":
			channel = d[at+1 : i-1]
		case "id":
			if isGuild {
				return d[at+1 : i-1], nil
			}
		}
		if guild != nil && channel != nil || d[i] == '}' {
			break
		}
	}
	return guild, channel
}

// bareString returns the end of the string that begins at i.
func bareString(d []byte, i int) int {
	for i++; ; i++ {
		for i+8 <= len(d) {
			const ones, highs = 0x0101010101010101, 0x8080808080808080
			x := binary.LittleEndian.Uint64(d[i:]) ^ ones*'"'
			if m := (x - ones) &^ x & highs; m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		for d[i] != '"' {
			i++
		}
		k := i
		for d[k-1] == '\\' {
			k--
		}
		if (i-k)%2 == 0 {
			return i + 1
		}
	}
}

// bareSkip returns the end of the value that begins at i.
func bareSkip(d []byte, i int) int {
	depth := 0
	switch d[i] {
	case '"':
		return bareString(d, i)
	case '{', '[':
	default:
		for d[i] != ',' && d[i] != '}' {
			i++
		}
		return i
	}
	for {
		switch d[i] {
		case '"':
			i = bareString(d, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
}

// bareGateway dials, reads HELLO, which it returns, and identifies. Nothing is
// read ahead: the gateway goes on when it has the IDENTIFY.
func bareGateway(ctx context.Context, task *benchTask, cfg *tls.Config, buffer int) (*websocket.Conn, []byte, error) {
	u := url.URL{Scheme: "ws", Host: task.Addr, Path: "/", RawQuery: "v=10&encoding=json"}
	if cfg != nil {
		u.Scheme = "wss"
	}
	if c := gateCompression(task.Row); c != "" {
		u.RawQuery += "&compress=" + c
	}
	d := websocket.Dialer{TLSClientConfig: cfg, ReadBufferSize: buffer, WriteBufferSize: 512, WriteBufferPool: new(sync.Pool)}
	ws, resp, err := d.DialContext(ctx, u.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	resp.Body.Close()
	_, hello, err := ws.ReadMessage()
	if err == nil {
		err = ws.WriteMessage(websocket.TextMessage, []byte(`{"op":2,"d":{"token":"bench"}}`))
	}
	if err != nil {
		ws.Close()
		return nil, nil, err
	}
	return ws, hello, nil
}

// bareTake counts one payload. It reports false if one is missing.
type bareTake func(p []byte) bool

// bareTaker returns what counts payloads, and checks that none is missing. It
// calls up at READY.
func bareTaker(m *benchMeter, up func()) bareTake {
	kinds := new(gateKinds)
	last := uint64(0)
	deep := m.task.Row != "discord-type"
	return func(p []byte) bool {
		typ, seq, d := bareDispatch(p)
		if seq == 1 {
			up()
			return true
		}
		if last != 0 && seq != last+1 {
			m.fail(fmt.Errorf("bench: dispatch %d follows %d", seq, last))
			return false
		}
		last = seq
		kinds.count(string(typ))
		text := len(p)
		if deep {
			guild, channel := bareKeys(typ, d)
			text += len(guild) + len(channel)
		}
		m.add(text, 0)
		return true
	}
}

// startBareDiscord reads one connection: with gorilla's NextReader into a
// buffer that is used again where only the type matters, else with a frame
// reader of its own.
func startBareDiscord(ctx context.Context, m *benchMeter) (stop func() error, err error) {
	ws, hello, err := bareGateway(ctx, m.task, nil, bareBuffer)
	if err != nil {
		return nil, err
	}
	up := make(chan struct{})
	take := bareTaker(m, func() { close(up) })
	var read func() error
	if m.task.Row == "discord-type" {
		read = func() error { return readGorilla(ws, take) }
	} else {
		inflate, err := newBareInflater(gateCompression(m.task.Row))
		if err != nil {
			return nil, err
		}
		if inflate != nil {
			inflate.into(make([]byte, 4*bareBuffer))
			if _, err := inflate.inflate(hello); err != nil {
				return nil, err
			}
		}
		read = func() error { return readFrames(ws.NetConn(), inflate, take) }
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := read(); err != nil && ctx.Err() == nil {
			m.fail(err)
		}
	})
	stop = func() error {
		err := ws.Close()
		wg.Wait()
		return err
	}
	select {
	case <-up:
		return stop, nil
	case err := <-m.failed:
		_ = stop() // err says more
		return nil, err
	}
}

func readGorilla(ws *websocket.Conn, take bareTake) error {
	buf := make([]byte, bareBuffer)
	for {
		_, r, err := ws.NextReader()
		if err != nil {
			return err
		}
		n := 0
		for {
			if n == len(buf) {
				buf = append(buf, make([]byte, len(buf))...)
			}
			k, err := r.Read(buf[n:])
			n += k
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
		if !take(buf[:n]) {
			return errGateway
		}
	}
}

// readFrames reads frames where they were received.
func readFrames(nc net.Conn, inflate bareInflater, take bareTake) error {
	buf := make([]byte, bareBuffer)
	r, w := 0, 0
	for {
		head, size := 0, 0
		if w-r >= 2 {
			head, size = 2, int(buf[r+1])
			switch {
			case size == 126 && w-r >= 4:
				head, size = 4, int(binary.BigEndian.Uint16(buf[r+2:]))
			case size == 127 && w-r >= 10:
				head, size = 10, int(binary.BigEndian.Uint64(buf[r+2:]))
			case size >= 126:
				head = 0
			}
		}
		if head == 0 || w-r < head+size {
			if r > 0 {
				w = copy(buf, buf[r:w])
				r = 0
			}
			if head+size > len(buf) {
				buf = append(buf, make([]byte, head+size)...)
			}
			n, err := nc.Read(buf[w:])
			if err != nil {
				return err
			}
			w += n
			continue
		}
		p := buf[r+head : r+head+size]
		r += head + size
		if inflate != nil {
			var err error
			if p, err = inflate.inflate(p); err != nil {
				return err
			}
		}
		if !take(p) {
			return errGateway
		}
	}
}

// bareInflater inflates payloads, which lie one behind the other in memory that
// is used again.
type bareInflater interface {
	into(out []byte)
	inflate(p []byte) ([]byte, error)
}

func newBareInflater(compression string) (bareInflater, error) {
	switch compression {
	case "zlib-stream":
		return new(bareZlib), nil
	case "zstd-stream":
		z := new(bareZstd)
		var err error
		z.from, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		return z, err
	}
	return nil, nil
}

// zlibWindow is how far back a deflate stream may refer.
const zlibWindow = 32 << 10

type bareZlib struct {
	src  bytes.Reader
	from io.Reader
	out  []byte
	n    int
}

func (z *bareZlib) into(out []byte) { z.out, z.n = out, 0 }
func (z *bareZstd) into(out []byte) { z.out = out }

func (z *bareZlib) inflate(p []byte) ([]byte, error) {
	if z.from == nil {
		p = p[2:] // of zlib's
		z.from = flate.NewReader(&z.src)
	}
	z.src.Reset(p)
	if z.n > zlibWindow && len(z.out)-z.n < 2*bareBuffer {
		z.n = copy(z.out, z.out[z.n-zlibWindow:z.n])
	}
	start := z.n
	for z.src.Len() > 0 {
		if len(z.out) == z.n {
			z.out = append(z.out, make([]byte, len(z.out))...)
		}
		n, err := z.from.Read(z.out[z.n:])
		z.n += n
		if err == io.ErrUnexpectedEOF && z.src.Len() == 0 {
			// The window was full just where the payload ends.
			err = z.from.(flate.Resetter).Reset(&z.src, z.out[max(0, z.n-zlibWindow):z.n])
		}
		if err != nil {
			return nil, err
		}
	}
	return z.out[start:z.n], nil
}

type bareZstd struct {
	src  bytes.Reader
	from *zstd.Decoder
	open bool
	out  []byte
}

func (z *bareZstd) inflate(p []byte) ([]byte, error) {
	z.src.Reset(p)
	if !z.open {
		z.open = true
		// Not a bytes.Reader itself, which would be taken for the whole of the stream.
		if err := z.from.Reset(struct{ io.Reader }{&z.src}); err != nil {
			return nil, err
		}
	}
	n := 0
	for z.src.Len() > 0 {
		if n == len(z.out) {
			z.out = append(z.out, make([]byte, len(z.out))...)
		}
		k, err := z.from.Read(z.out[n:])
		n += k
		if err != nil {
			return nil, err
		}
	}
	return z.out[:n], nil
}

// startBareDiscordIdle keeps TLS connections open: gorilla's with small buffers,
// a goroutine each, and a decompressor if there is one. What is read goes
// to memory that is borrowed while there is something to read.
func startBareDiscordIdle(ctx context.Context, m *benchMeter, cfg *tls.Config) (stop func() error, err error) {
	conns, hellos := make([]*websocket.Conn, m.task.Conns), make([][]byte, m.task.Conns)
	err = dialAll(len(conns), func(i int) (err error) {
		conns[i], hellos[i], err = bareGateway(ctx, m.task, cfg, 512)
		return err
	})
	if err != nil {
		return nil, err
	}
	var up, wg sync.WaitGroup
	up.Add(len(conns))
	for i, ws := range conns {
		wg.Go(func() {
			err := readIdle(ws, hellos[i], m, up.Done)
			if ctx.Err() == nil {
				m.fail(err)
			}
		})
	}
	all := make(chan struct{})
	go func() { // ends when all are up, or with the process
		up.Wait()
		close(all)
	}()
	select {
	case <-all:
	case err := <-m.failed:
		return nil, err
	}
	return func() error {
		for _, ws := range conns {
			ws.Close()
		}
		wg.Wait()
		return nil
	}, nil
}

// idleBuffers hold a payload as it came and as it is inflated.
var idleBuffers = sync.Pool{New: func() any { return &[2][]byte{make([]byte, 4*bareBuffer), make([]byte, 4*bareBuffer)} }}

// readIdle counts dispatches until the connection ends. It calls up at READY.
func readIdle(ws *websocket.Conn, hello []byte, m *benchMeter, up func()) error {
	z, err := newBareInflater(gateCompression(m.task.Row))
	if err != nil {
		return err
	}
	if z != nil {
		z.into(make([]byte, 1<<10))
		if _, err := z.inflate(hello); err != nil {
			return err
		}
	}
	for {
		if z != nil {
			z.into(nil)
		}
		_, r, err := ws.NextReader()
		if err != nil {
			return err
		}
		bufs := idleBuffers.Get().(*[2][]byte)
		n := 0
		for err == nil {
			var k int
			k, err = r.Read(bufs[0][n:])
			n += k
		}
		if err != io.EOF {
			return err
		}
		p := bufs[0][:n]
		if z != nil {
			z.into(bufs[1])
			if p, err = z.inflate(p); err != nil {
				return err
			}
		}
		typ, seq, d := bareDispatch(p)
		if seq == 1 {
			up()
		} else if typ != nil {
			guild, channel := bareKeys(typ, d)
			m.addAtomic(len(p) + len(guild) + len(channel))
		}
		idleBuffers.Put(bufs)
	}
}
