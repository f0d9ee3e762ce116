package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	consumerRead = 256 << 10
	consumerLate = time.Minute // without an envelope: those that are missing do not come
	relayFilter  = "platform=twitch&kind=message&channel=channel*"
)

// benchTaken is what consumers say at "await N", when each has that many.
type benchTaken struct {
	P50 float64 `json:"p50"` // seconds from the load server's write to our read
	P99 float64 `json:"p99"`
	N   int     `json:"n"` // of which these are, since the last time

	Lost string `json:"lost,omitempty"` // a gap that came instead of envelopes
}

// benchConsumers are what the relay serves, in a process of their own.
type benchConsumers struct {
	task  *benchTask
	fresh chan struct{} // something came

	mu     sync.Mutex // guards all below
	seen   []int      // envelopes, by consumer
	delays []uint32   // µs
	lost   string
	err    error
}

// consume connects consumers, and says so, until ctx ends. At "await N" it
// waits until each of them has that many envelopes since it connected.
func consume(ctx context.Context, task *benchTask, words <-chan string, out *json.Encoder) error {
	c := &benchConsumers{task: task, fresh: make(chan struct{}, 1), seen: make([]int, task.Consumers)}
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	outputs := strings.Split(task.Output, ",")
	for i := range task.Consumers {
		run, err := c.connect(ctx, outputs[i%len(outputs)], i)
		if err != nil {
			return fmt.Errorf("bench: consumer %d: %w", i, err)
		}
		if run != nil {
			reading.Go(func() { c.fail(run()) })
		}
	}
	if err := out.Encode(struct{}{}); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case word := <-words:
			n, err := strconv.Atoi(strings.TrimPrefix(word, "await "))
			if err == nil {
				err = c.await(ctx, n)
			}
			if err != nil {
				return err
			}
			if err := out.Encode(c.taken()); err != nil {
				return err
			}
		}
	}
}

func (c *benchConsumers) await(ctx context.Context, n int) error {
	late := time.NewTimer(consumerLate)
	defer late.Stop()
	for {
		c.mu.Lock()
		least, most, lost, err := slices.Min(c.seen[c.task.Stuck:]), slices.Max(c.seen), c.lost, c.err
		c.mu.Unlock()
		switch {
		case err != nil:
			return err
		case lost != "":
			return nil
		case most > n:
			return fmt.Errorf("bench: %s: %d envelopes were to come, and %d came", c.task.Row, n, most)
		case least == n:
			return nil
		}
		select {
		case <-c.fresh:
			late.Reset(consumerLate)
		case <-late.C:
			return fmt.Errorf("bench: %s: %d of %d envelopes came, and no more", c.task.Row, least, n)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *benchConsumers) taken() (t benchTaken) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.Lost = c.lost
	if t.N = len(c.delays); t.N > 0 {
		slices.Sort(c.delays)
		t.P50, t.P99 = float64(c.delays[t.N/2])/micro, float64(c.delays[t.N*99/100])/micro
	}
	c.delays = c.delays[:0]
	return t
}

func (c *benchConsumers) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = cmp.Or(c.err, err)
	c.wake()
}

// wake tells await.
func (c *benchConsumers) wake() {
	select {
	case c.fresh <- struct{}{}:
	default:
	}
}

// connect returns what reads, nil for a consumer that never does.
func (c *benchConsumers) connect(ctx context.Context, output string, i int) (func() error, error) {
	switch output {
	case "nats":
		return c.subscribe(ctx, i)
	case "raw", "ws":
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.task.Addr)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { conn.Close() })
		in := bufio.NewReaderSize(conn, 1024)
		split := splitLines
		if output == "ws" {
			split = splitFrames
			if err := upgrade(conn, in, c.task.Addr); err != nil {
				return nil, err
			}
		}
		if i < c.task.Stuck {
			return nil, nil
		}
		return func() error { return c.read(ctx, i, in, split) }, nil
	}
	path := "/v1/stream?"
	if output == "sse" {
		path = "/v1/sse?"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.task.Addr+path+relayFilter, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Transport{ReadBufferSize: 1024, DisableCompression: true}).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("the relay answered %s", resp.Status)
	}
	return func() error {
		defer resp.Body.Close()
		return c.read(ctx, i, resp.Body, splitLines)
	}, nil
}

// upgrade makes a WebSocket of a connection, and reads the relay's hello.
func upgrade(conn net.Conn, in *bufio.Reader, addr string) error {
	_, err := fmt.Fprintf(conn, "GET /v1/ws?%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", relayFilter, addr)
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the relay answered %s", resp.Status)
	}
	return nil
}

// read counts what comes until the relay or ctx ends.
func (c *benchConsumers) read(ctx context.Context, i int, in io.Reader, split func(b []byte) (msg []byte, n int)) error {
	size := consumerRead
	if c.task.Consumers > 100 {
		size = 16 << 10
	}
	buf, have := make([]byte, size), 0
	var delays []uint32
	for {
		n, err := in.Read(buf[have:])
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("consumer %d: %w", i, err)
		}
		have += n
		at, got, lost := 0, 0, ""
		now := time.Now().UnixMicro()
		delays = delays[:0]
		for {
			msg, n := split(buf[at:have])
			if n == 0 {
				break
			}
			at += n
			if !bytes.HasPrefix(msg, []byte(`{"v":1,`)) {
				continue
			}
			got++
			id := envelopeID(msg)
			if bytes.HasPrefix(id, []byte("gap:")) {
				lost = fmt.Sprintf("consumer %d: %.400s", i, msg)
			}
			if c.task.Stamp {
				if us, err := strconv.ParseInt(string(id[max(0, len(id)-stampDigits):]), 10, 64); err == nil {
					delays = append(delays, uint32(min(max(0, now%stampTurn-us), 1<<31)))
				}
			}
		}
		have = copy(buf, buf[at:have])
		if have == len(buf) {
			return fmt.Errorf("consumer %d: an envelope of more than %d bytes", i, len(buf))
		}
		c.mu.Lock()
		c.seen[i] += got
		c.delays = append(c.delays, delays...)
		c.lost = cmp.Or(c.lost, lost)
		c.mu.Unlock()
		c.wake()
	}
}

// envelopeID returns the id, which comes first after the cursor.
func envelopeID(msg []byte) []byte {
	const key = `"id":"`
	head := msg[:min(len(msg), 200)]
	if at := bytes.Index(head, []byte(key)); at >= 0 {
		id := head[at+len(key):]
		if end := bytes.IndexByte(id, '"'); end >= 0 {
			return id[:end]
		}
	}
	return nil
}

// splitLines returns the data of the first line, and how many bytes that is;
// none if it is not all there. It reads SSE too.
func splitLines(b []byte) (msg []byte, n int) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return nil, 0
	}
	return bytes.TrimPrefix(b[:end], []byte("data: ")), end + 1
}

// splitFrames is splitLines for the frames of a WebSocket's server.
func splitFrames(b []byte) (msg []byte, n int) {
	if len(b) < 10 && (len(b) < 2 || b[1] >= 126 || len(b) < 2+int(b[1])) {
		return nil, 0
	}
	size, at := int(b[1]), 2
	switch size {
	case 126:
		size, at = int(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		size, at = int(binary.BigEndian.Uint64(b[2:])), 10
	}
	if len(b) < at+size {
		return nil, 0
	}
	return b[at : at+size], at + size
}

// subscribe reads as a durable consumer of the engine.
func (c *benchConsumers) subscribe(ctx context.Context, i int) (func() error, error) {
	nc, err := nats.Connect(c.task.NATS, nats.Token(benchToken))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	cons, err := js.CreateConsumer(ctx, benchStream, jetstream.ConsumerConfig{Durable: "bench" + strconv.Itoa(i), AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		return nil, err
	}
	using, err := cons.Consume(func(m jetstream.Msg) {
		if err := m.Ack(); err != nil {
			c.fail(err)
		}
		c.mu.Lock()
		c.seen[i]++
		c.mu.Unlock()
		c.wake()
	})
	if err != nil {
		return nil, err
	}
	return func() error {
		<-ctx.Done()
		using.Stop()
		nc.Close()
		return nil
	}, nil
}
