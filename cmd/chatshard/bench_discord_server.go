package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// gateLoad is a gateway that knows just enough of Discord's to be identified
// to, and then sends what was made up beforehand. All connections are sent the
// same bytes, so that they are compressed once.
type gateLoad struct {
	task         *benchTask
	hello, ready []byte      // frames
	load         [][]byte    // frames, in pieces to be written at once
	sent         benchSent   // what load is
	corpus       *dispatches // of load, if it is sent over and over

	mu    sync.Mutex // guards conns
	conns []net.Conn // that have identified
}

// gateKeys is how many shards may identify at a time, as with a large bot.
const gateKeys = 16

// gateIdle is how many dispatches an idle connection is sent before it is left
// alone; one is a GUILD_CREATE of 117 KB.
const gateIdle = 20

// Frames that precede the load. No heartbeat is due before a row has ended.
const (
	gateHello = `{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":86400000,"_trace":["[\"gateway-prd\",{\"micros\":0.0}]"]}}`
	gateReady = `{"t":"READY","s":1,"op":0,"d":{"v":10,"user_settings":{},"user":{"verified":true,"username":"bench","mfa_enabled":true,"id":"100000000000000001","global_name":null,` +
		`"flags":0,"email":null,"discriminator":"0","clan":null,"bot":true,"avatar":null},"session_type":"normal","session_id":"0123456789abcdef0123456789abcdef","resume_gateway_url":"wss://127.0.0.1",` +
		`"relationships":[],"private_channels":[],"presences":[],"guilds":[],"guild_join_requests":[],"geo_ordered_rtc_regions":["milan"],"auth":{},"application":{"id":"100000000000000002","flags":565248}}}`
)

// gateCompression returns how a row is compressed, as the query of the URL has it.
func gateCompression(row string) string {
	switch {
	case strings.HasSuffix(row, "-zlib"):
		return "zlib-stream"
	case strings.HasSuffix(row, "-zstd"):
		return "zstd-stream"
	}
	return ""
}

// deflater makes payloads into frames.
type deflater struct {
	buf   bytes.Buffer
	write io.Writer
	flush func() error
}

func newDeflater(compression string) (*deflater, error) {
	d := new(deflater)
	switch compression {
	case "zlib-stream":
		w, err := zlib.NewWriterLevel(&d.buf, 6)
		if err != nil {
			return nil, err
		}
		d.write, d.flush = w, w.Flush
	case "zstd-stream":
		w, err := zstd.NewWriter(&d.buf, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithEncoderCRC(false))
		if err != nil {
			return nil, err
		}
		d.write, d.flush = w, w.Flush
	}
	return d, nil
}

// frame appends the frame of a payload.
func (d *deflater) frame(to, payload []byte) ([]byte, error) {
	if d.write == nil {
		return append(appendFrameHead(to, opText, len(payload)), payload...), nil
	}
	d.buf.Reset()
	if _, err := d.write.Write(payload); err != nil {
		return nil, err
	}
	if err := d.flush(); err != nil {
		return nil, err
	}
	return append(appendFrameHead(to, opBinary, d.buf.Len()), d.buf.Bytes()...), nil
}

func newGateLoad(task *benchTask) (*gateLoad, error) {
	g := &gateLoad{task: task}
	d, err := newDeflater(gateCompression(task.Row))
	if err != nil {
		return nil, err
	}
	if g.hello, err = d.frame(nil, []byte(gateHello)); err != nil {
		return nil, err
	}
	if g.ready, err = d.frame(nil, []byte(gateReady)); err != nil {
		return nil, err
	}
	c := newDispatches()
	count := func(at *dispatchAt) {
		g.sent.Messages++
		g.sent.Text += at.end - at.payload
		if task.Row != "discord-type" {
			g.sent.Text += at.keys
		}
	}
	stamp := newDispatchStamp()
	idle := strings.HasPrefix(task.Row, "discord-idle")
	if d.write == nil && !idle {
		g.corpus = c
		for i := range task.Warm + task.Messages {
			count(&c.all[i%len(c.all)])
		}
		return g, nil
	}
	piece := make([]byte, 0, blastWrite+guildBytes)
	next := func(at *dispatchAt) error {
		stamp.dispatch(c, at)
		count(at)
		if piece, err = d.frame(piece, c.text[at.payload:at.end]); err != nil {
			return err
		}
		if len(piece) >= blastWrite {
			g.load = append(g.load, piece)
			piece = make([]byte, 0, blastWrite+guildBytes)
		}
		return nil
	}
	if idle {
		for i := range gateIdle {
			at := &c.all[i]
			if i == gateIdle/2 {
				at = &c.all[c.large]
			}
			if err := next(at); err != nil {
				return nil, err
			}
		}
		g.sent.Messages *= task.Conns
		g.sent.Text *= task.Conns
	} else {
		for i := range task.Warm + task.Messages {
			if err := next(&c.all[i%len(c.all)]); err != nil {
				return nil, err
			}
		}
	}
	g.load = append(g.load, piece)
	g.sent.Lines = g.sent.Messages
	return g, nil
}

// serveGate runs until ctx ends. At the word "go" it sends the row's load and
// says what that was.
func serveGate(ctx context.Context, task *benchTask, words <-chan string, out *json.Encoder) error {
	g, err := newGateLoad(task)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	hello := benchHello{Addr: ln.Addr().String()}
	ws := "ws://" + hello.Addr
	if task.TLS {
		cert, ca, err := benchCert()
		if err != nil {
			return err
		}
		hello.CA, ws = ca, "wss://"+hello.Addr
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v10/gateway/bot", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"url":%q,"shards":1,"session_start_limit":{"total":100000,"remaining":100000,"reset_after":86400000,"max_concurrency":%d}}`, ws, gateKeys)
	})
	mux.HandleFunc("/", g.upgrade)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 30 * time.Second}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer g.close()
	defer server.Close()
	wg.Go(func() { _ = server.Serve(ln) }) // ends with Close
	if err := out.Encode(hello); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-words:
		}
		if err := g.send(ctx); err != nil {
			return err
		}
		if err := out.Encode(g.sent); err != nil {
			return err
		}
	}
}

// upgrade serves one client until it goes. After its first frame, which is
// IDENTIFY, nothing that it sends is looked at.
func (g *gateLoad) upgrade(w http.ResponseWriter, r *http.Request) {
	u := websocket.Upgrader{ReadBufferSize: 512, WriteBufferSize: 512}
	ws, err := u.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	nc := ws.NetConn()
	defer nc.Close()
	if _, err := nc.Write(g.hello); err != nil {
		return
	}
	if _, _, err := ws.ReadMessage(); err != nil {
		return
	}
	// Known before the client may say that it is ready.
	g.mu.Lock()
	g.conns = append(g.conns, nc)
	g.mu.Unlock()
	if _, err := nc.Write(g.ready); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, bufio.NewReaderSize(nc, 512)) // until it goes
}

func (g *gateLoad) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, nc := range g.conns {
		nc.Close()
	}
}

// send sends the load to every connection.
func (g *gateLoad) send(ctx context.Context) error {
	g.mu.Lock()
	conns := g.conns
	g.mu.Unlock()
	if len(conns) != g.task.Conns {
		return fmt.Errorf("bench: %d connections have identified, want %d", len(conns), g.task.Conns)
	}
	if g.corpus != nil {
		return g.over(ctx, conns[0])
	}
	for _, piece := range g.load {
		for _, nc := range conns {
			if _, err := nc.Write(piece); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// over writes the corpus over and over to one connection.
func (g *gateLoad) over(ctx context.Context, to net.Conn) error {
	c, stamp, total := g.corpus, newDispatchStamp(), g.task.Warm+g.task.Messages
	for sent, next := 0, 0; sent < total && ctx.Err() == nil; {
		start, end := c.all[next].start, 0
		for ; next < len(c.all) && sent < total; next++ {
			at := &c.all[next]
			if at.end-start > blastWrite && end > 0 {
				break
			}
			stamp.dispatch(c, at)
			sent++
			end = at.end
		}
		if _, err := to.Write(c.text[start:end]); err != nil {
			return err
		}
		if next == len(c.all) {
			next = 0
		}
	}
	return ctx.Err()
}
