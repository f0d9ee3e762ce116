package relay

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// TestIdleConsumers: a thousand of each output are there, and then one that is
// slow does not matter to the others.
func TestIdleConsumers(t *testing.T) {
	for _, output := range []string{"ndjson", "sse", "ws"} {
		h := newTestHub(t, nil)
		s := serve(t, h, nil)
		h.say(t, 100, "x")
		const n = 1000
		dial := func() net.Conn {
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			path, more := "/v1/stream", ""
			switch output {
			case "sse":
				path = "/v1/sse"
			case "ws":
				path, more = "/v1/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
			}
			fmt.Fprintf(c, "GET %s?channel=chan1 HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, more)
			buf := make([]byte, 12)
			if _, err := io.ReadFull(c, buf); err != nil || string(buf[:10]) != "HTTP/1.1 2" && string(buf) != "HTTP/1.1 101" {
				t.Fatalf("%q, %v", buf, err)
			}
			return c
		}
		before := heap()
		var conns []net.Conn
		for range n {
			conns = append(conns, dial())
		}
		h.say(t, 700, "x")
		for _, c := range conns { // what it was told came
			buf, got := make([]byte, 64<<10), 0
			for got < 100*400 {
				k, err := c.Read(buf)
				if got += k; err != nil {
					t.Fatal(err)
				}
			}
		}
		each := (heap() - before) / n
		t.Logf("%s: %d bytes each, with the test's end", output, each)
		if each > 50<<10 {
			t.Errorf("%s: a consumer costs %d bytes, want less than 50 KiB", output, each)
		}
		for _, c := range conns {
			c.Close()
		}
		s.gone(t)
	}
}

// TestNeverReads: a consumer that takes nothing costs its buffers, whatever is
// said meanwhile, and the others nothing.
func TestNeverReads(t *testing.T) {
	for _, policy := range []string{"block", "drop_oldest", "disconnect"} {
		h, err := NewHub(t.Context(), nil, &HubConfig{RingBytes: 2 << 20, Epoch: "e1"})
		if err != nil {
			t.Fatal(err)
		}
		th := &testHub{Hub: h, log: newStoredLog()}
		s := serve(t, th, &ServerConfig{WriteTimeout: time.Minute})
		stuck := s.consume(t, "ndjson", "policy="+policy+"&grace=50ms&queue=100000")
		good := s.consume(t, "ndjson", "")
		text := strings.Repeat("x", 1000)
		say := func(n int) {
			for range n {
				th.n++
				if err := h.Append(uint64(th.n), testBody(th.n, text), nil); err != nil {
					t.Fatal(err)
				}
				if th.n%500 == 0 { // as fast as the good one reads
					for i := range 500 {
						line, err := good.next()
						if err != nil {
							t.Fatal(err)
						}
						var l testLine
						if json.Unmarshal(line, &l) != nil || l.Cursor.Seq != uint64(th.n-500+i+1) {
							t.Fatalf("%s: got %s", policy, line)
						}
					}
				}
			}
		}
		say(10_000)
		before := heap()
		say(20_000)
		if grown := heap() - before; grown > 4<<20 {
			t.Errorf("%s: %d bytes more after 30 MB", policy, grown)
		}
		if policy == "disconnect" {
			n := 0
			for end := time.Now().Add(time.Minute); n != 1 && time.Now().Before(end); time.Sleep(time.Millisecond) {
				h.mu.Lock()
				n = len(h.readers)
				h.mu.Unlock()
			}
			if n != 1 {
				t.Error("it is still connected")
			}
		} else { // it wakes up
			first, gap := uint64(0), false
			for {
				line, err := stuck.next()
				if err != nil {
					t.Fatal(err)
				}
				var l testLine
				if err := json.Unmarshal(line, &l); err != nil {
					t.Fatal(err)
				}
				gap = gap || l.Kind == "gap"
				if !gap && l.Cursor.Seq != first+1 {
					t.Fatalf("%s: %d after %d and no gap", policy, l.Cursor.Seq, first)
				}
				if first = l.Cursor.Seq; first == 30_000 {
					break
				}
			}
			if !gap {
				t.Errorf("%s: no gap, though there is no log", policy)
			}
		}
		stuck.kill()
		good.kill()
		s.gone(t)
		h.Close()
	}
}

func TestSlowIsToldOverSSE(t *testing.T) {
	h := newTestHub(t, nil)
	f := &feed{Reader: subscribe(t, h, SubscribeOptions{}), server: serve(t, h, nil).Server, output: "sse"}
	if got := f.ended(&SlowError{Name: "x"}); got != "slow" {
		t.Errorf("reason %q", got)
	}
}
