package relay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// keptCursors is a Cursors in memory.
type keptCursors struct {
	mu sync.Mutex
	at map[string]Cursor
}

func (k *keptCursors) Load(_ context.Context, name string) (Cursor, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.at[name], nil
}

func (k *keptCursors) Save(_ context.Context, name string, c Cursor) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.at == nil {
		k.at = map[string]Cursor{}
	}
	k.at[name] = c
	return nil
}

type testServer struct {
	*Server
	hub  *testHub
	addr string
}

func serve(t testing.TB, h *testHub, cfg *ServerConfig) *testServer {
	t.Helper()
	if cfg == nil {
		cfg = &ServerConfig{}
	}
	if cfg.Cursors == nil {
		cfg.Cursors = new(keptCursors)
	}
	s, err := NewServer(h.Hub, cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return &testServer{s, h, l.Addr().String()}
}

func (s *testServer) get(t testing.TB, path string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// consumer reads envelopes from one connection of an output.
type consumer interface {
	next() ([]byte, error) // an envelope
	kill()
}

type lineConsumer struct {
	resp *http.Response
	r    *bufio.Reader
	sse  bool
}

func (c *lineConsumer) next() ([]byte, error) {
	for {
		line, err := c.r.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		if !c.sse {
			return line[:len(line)-1], nil
		}
		if data, ok := strings.CutPrefix(string(line), "data: "); ok {
			return []byte(data[:len(data)-1]), nil
		}
	}
}

func (c *lineConsumer) kill() { c.resp.Body.Close() }

type wsConsumer struct{ conn *websocket.Conn }

func (c *wsConsumer) next() ([]byte, error) {
	for {
		_, msg, err := c.conn.ReadMessage()
		if err != nil || strings.HasPrefix(string(msg), `{"v":1,`) {
			return msg, err
		}
	}
}

func (c *wsConsumer) kill() { c.conn.NetConn().Close() }

func (s *testServer) dial(t testing.TB, query string) *wsConsumer {
	t.Helper()
	d := websocket.Dialer{EnableCompression: s.cfg.Compress, HandshakeTimeout: time.Minute}
	conn, _, err := d.Dial("ws://"+s.addr+"/v1/ws?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &wsConsumer{conn}
}

// pollConsumer has what one poll gave; the next one goes on after it.
type pollConsumer struct {
	s     *testServer
	t     testing.TB
	query string
	lines []string
	after string
}

func (c *pollConsumer) next() ([]byte, error) {
	for len(c.lines) == 0 {
		q := c.query
		if c.after != "" {
			q = "after=" + c.after
		}
		resp := c.s.get(c.t, "/v1/poll?wait=10s&max=50&"+q)
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			return nil, fmt.Errorf("%v %s", err, body)
		}
		if len(body) > 0 {
			c.lines = strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
		}
		c.after = resp.Header.Get("Chatshard-Cursor")
	}
	line := c.lines[0]
	c.lines = c.lines[1:]
	return []byte(line), nil
}

func (c *pollConsumer) kill() {}

func (s *testServer) consume(t testing.TB, output, query string) consumer {
	t.Helper()
	switch output {
	case "ws":
		return s.dial(t, query)
	case "poll":
		return &pollConsumer{s: s, t: t, query: query}
	}
	path := "/v1/stream?"
	if output == "sse" {
		path = "/v1/sse?"
	}
	resp := s.get(t, path+query)
	if resp.StatusCode != 200 {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %s", resp.Status, body)
	}
	return &lineConsumer{resp, bufio.NewReaderSize(resp.Body, 64<<10), output == "sse"}
}

// speak appends entries until the test ends.
func (h *testHub) speak(t testing.TB, pause time.Duration) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(pause):
				h.say(t, 20, "hello")
			}
		}
	}()
	return sync.OnceFunc(func() { close(done); <-ended })
}

func TestKilledConsumersMissNothing(t *testing.T) {
	for _, output := range []string{"ndjson", "sse", "ws", "ws-deflate", "poll"} {
		t.Run(output, func(t *testing.T) {
			h := newTestHub(t, &HubConfig{RingEntries: 600})
			s := serve(t, h, &ServerConfig{Compress: output == "ws-deflate"})
			stop := h.speak(t, time.Millisecond)
			defer stop()
			output, _, _ := strings.Cut(output, "-")
			seen := uint64(0)
			query := "from=e1:0"
			for range 100 {
				c := s.consume(t, output, query)
				for range rand.IntN(200) {
					line, err := c.next()
					if err != nil {
						t.Fatal(err)
					}
					l := checkLine(t, line, "e1", seen+1)
					if l.ID != fmt.Sprint("id-", seen+1) {
						t.Fatalf("id %q at %d", l.ID, seen+1)
					}
					seen++
				}
				c.kill()
				query = fmt.Sprintf("from=e1:%d", seen)
			}
		})
	}
}

func TestKilledNamedConsumersMissNothing(t *testing.T) {
	for _, output := range []string{"ndjson", "sse", "ws", "poll"} {
		t.Run(output, func(t *testing.T) {
			h := newTestHub(t, &HubConfig{RingEntries: 600})
			s := serve(t, h, nil)
			h.say(t, 10, "x")
			stop := h.speak(t, time.Millisecond)
			defer stop()
			ids := map[string]int{}
			most, duplicates, last := uint64(0), 0, ""
			for range 100 {
				query := "consumer=one&from=e1:0"
				if output == "poll" && last != "" {
					query += "&ack=" + last
				}
				c := s.consume(t, output, query)
				n := 1 + rand.IntN(50)
				for i := range n {
					line, err := c.next()
					if err != nil {
						t.Fatal(err)
					}
					var l testLine
					if err := json.Unmarshal(line, &l); err != nil {
						t.Fatal(err)
					}
					if ids[l.ID]++; ids[l.ID] > 1 {
						duplicates++
					} else if l.Cursor.Seq != most+1 {
						t.Fatalf("%d after %d: something is missing", l.Cursor.Seq, most)
					}
					most = max(most, l.Cursor.Seq)
					if i != n/2 {
						continue
					}
					last = Cursor{"e1", l.Cursor.Seq}.String()
					switch c := c.(type) {
					case *wsConsumer:
						err = c.conn.WriteJSON(map[string]string{"type": "ack", "cursor": last})
					case *lineConsumer:
						err = post(t, "http://"+s.addr+"/v1/ack?consumer=one&cursor="+last+"&member="+c.resp.Header.Get("Chatshard-Member"))
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				c.kill()
				s.gone(t)
			}
			if most < 100 {
				t.Errorf("only %d entries: acknowledgements do not count", most)
			}
			t.Logf("%d entries, %d of them again", most, duplicates)
		})
	}
}

func post(t testing.TB, url string) error {
	req, _ := http.NewRequestWithContext(t.Context(), "POST", url, nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		body, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return nil
}

// gone waits until no reader is left.
func (s *testServer) gone(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		s.hub.mu.Lock()
		n := len(s.hub.readers)
		s.hub.mu.Unlock()
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d readers are left", n)
		}
		time.Sleep(100 * time.Microsecond) // the other side of a socket: nothing to wait on
	}
}

func TestSharedConsumer(t *testing.T) {
	h := newTestHub(t, &HubConfig{RingEntries: 600})
	store := new(keptCursors)
	all := NewConsumers(h.Hub, store)
	h.say(t, 1, "x")
	type copies struct {
		mu    sync.Mutex
		last  map[string]uint64 // of a channel
		times map[uint64]int
		order []string
	}
	got := copies{last: map[string]uint64{}, times: map[uint64]int{}}
	var workers sync.WaitGroup
	work := func(ctx context.Context, lives int) {
		m, err := all.Join(context.Background(), "team", SubscribeOptions{From: Cursor{"e1", 0}}, false)
		if err != nil {
			t.Error(err)
			return
		}
		defer m.Leave(context.Background())
		for ctx.Err() == nil && lives != 0 {
			var lines []testLine
			err := m.Next(ctx, func(it *Item) bool {
				lines = append(lines, checkLine(t, it.Line, "e1", it.Seq))
				lives--
				return len(lines) < 10 && lives != 0
			})
			if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			got.mu.Lock()
			for _, l := range lines {
				got.times[l.Cursor.Seq]++
				if got.times[l.Cursor.Seq] == 1 && got.last[l.Channel.ID] > l.Cursor.Seq {
					got.order = append(got.order, fmt.Sprintf("%d after %d in %s", l.Cursor.Seq, got.last[l.Channel.ID], l.Channel.ID))
				}
				got.last[l.Channel.ID] = max(got.last[l.Channel.ID], l.Cursor.Seq)
			}
			got.mu.Unlock()
			if len(lines) > 0 && lives != 0 { // one that is killed acknowledges not
				if err := m.Ack(context.Background(), lines[len(lines)-1].cursor()); err != nil {
					t.Error(err)
				}
			}
			m.Done(context.Background())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		workers.Go(func() { work(ctx, -1) })
	}
	stop := h.speak(t, time.Millisecond)
	var mortals sync.WaitGroup
	for range 2 {
		mortals.Go(func() {
			for range 30 {
				short, cancel := context.WithTimeout(ctx, 20*time.Millisecond) // it may have no channel
				work(short, 1+rand.IntN(50))
				cancel()
			}
		})
	}
	mortals.Wait()
	stop()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		got.mu.Lock()
		n := len(got.times)
		got.mu.Unlock()
		// What one that was killed had been handed comes again, and is acknowledged.
		if n == h.n && all.acked("team") == uint64(h.n) {
			break
		}
		if time.Now().After(end) {
			t.Errorf("%d of %d entries came", n, h.n)
			break
		}
	}
	cancel()
	workers.Wait()
	twice := 0
	for _, n := range got.times {
		if n > 1 {
			twice++
		}
	}
	if len(got.order) > 0 {
		t.Errorf("out of order: %q", got.order)
	}
	if c := store.at["team"]; c != (Cursor{"e1", uint64(h.n)}) {
		t.Errorf("the cursor is %v, want e1:%d", c, h.n)
	}
	t.Logf("%d entries, %d again", h.n, twice)
}

// acked returns the number up to which a name's readers have acknowledged all.
func (c *Consumers) acked(name string) uint64 {
	c.mu.Lock()
	g := c.groups[name]
	c.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	low := ^uint64(0)
	for _, m := range g.members {
		low = min(low, m.done())
	}
	for _, s := range g.left {
		low = min(low, s.done)
	}
	return low
}

func (l testLine) cursor() Cursor { return Cursor{l.Cursor.Epoch, l.Cursor.Seq} }

func unmarshal(text string, v any) error { return json.Unmarshal([]byte(text), v) }

// What a named consumer under drop_oldest was told is missing needs no
// acknowledgement: its cursor goes on.
func TestNamedConsumerSkips(t *testing.T) {
	h := newTestHub(t, &HubConfig{RingBytes: 1 << 20})
	store := new(keptCursors)
	m, err := NewConsumers(h.Hub, store).Join(t.Context(), "one", SubscribeOptions{Policy: DropOldest, Queue: 64 << 10}, false)
	if err != nil {
		t.Fatal(err)
	}
	last := Cursor{}
	next := func(most int) (gaps int) {
		err := m.Next(t.Context(), func(it *Item) bool {
			last = Cursor{"e1", it.Seq}
			if it.Gap {
				gaps++
			}
			most--
			return most > 0
		})
		if err == nil {
			err = m.Ack(t.Context(), last)
		}
		if err != nil {
			t.Fatal(err)
		}
		m.Done(t.Context())
		return gaps
	}
	h.say(t, 1, "x")
	next(10)
	h.say(t, 1000, "x")
	if gaps := next(1); gaps != 1 {
		t.Fatalf("%d gaps, want 1", gaps)
	}
	m.Leave(t.Context())
	if c := store.at["one"]; c != last || c.Seq < 500 {
		t.Errorf("the cursor is %v, want %v", c, last)
	}
}
