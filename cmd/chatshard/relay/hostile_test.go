package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestCheck(t *testing.T) {
	good := []Token{{Name: "a", Hash: HashToken("x"), Roles: []Role{RoleRead}}}
	for _, c := range []struct {
		cfg ServerConfig
		say string
	}{
		{ServerConfig{}, ""},
		{ServerConfig{Addr: "[::1]:1"}, ""},
		{ServerConfig{Addr: "localhost:1"}, ""},
		{ServerConfig{Addr: "0.0.0.0:8787"}, "tokens"},
		{ServerConfig{Addr: ":8787"}, "tokens"},
		{ServerConfig{Addr: "relay.example.org:80"}, "tokens"},
		{ServerConfig{Addr: ":8787", Tokens: good}, ""},
		{ServerConfig{Addr: "x"}, "HOST:PORT"},
		{ServerConfig{CertFile: "x"}, "key"},
		{ServerConfig{Tokens: append(good, good...)}, "name"},
		{ServerConfig{Tokens: []Token{{Name: "a", Hash: "hunter2", Roles: []Role{RoleRead}}}}, "sha256:"},
		{ServerConfig{Tokens: []Token{{Name: "a", Hash: HashToken("x")}}}, "role"},
		{ServerConfig{Tokens: []Token{{Name: "a", Hash: HashToken("x"), Roles: []Role{"root"}}}}, "role"},
		{ServerConfig{Origins: []string{"example.org"}}, "origin"},
	} {
		err := c.cfg.Check()
		if c.say == "" && err != nil || c.say != "" && (err == nil || !strings.Contains(err.Error(), c.say) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%+v: %v, want %q", c.cfg, err, c.say)
		}
	}
}

func TestTokens(t *testing.T) {
	h := newTestHub(t, nil)
	h.say(t, 3, "x")
	s := serve(t, h, &ServerConfig{Tokens: []Token{
		{Name: "reader", Hash: HashToken("r-token"), Roles: []Role{RoleRead}, Connections: 2, Rate: 1000},
		{Name: "sender", Hash: HashToken("s-token"), Roles: []Role{RoleSend}, Rate: 0.001},
	}})
	status := func(header ...string) int {
		resp := s.get(t, "/v1/poll?from=e1:0&wait=0s", header...)
		body, _ := io.ReadAll(resp.Body)
		if strings.Contains(string(body), "-token") {
			t.Errorf("a token is printed: %s", body)
		}
		return resp.StatusCode
	}
	if n := status("Authorization", "Bearer r-token"); n != 200 {
		t.Errorf("a reader gets %d", n)
	}
	if n := status("Authorization", "Bearer s-token"); n != 403 {
		t.Errorf("a sender gets %d, want 403", n)
	}
	if n := status("Authorization", "Bearer s-token"); n != 429 {
		t.Errorf("a second request gets %d, want 429", n)
	}
	if n := status(); n != 401 {
		t.Errorf("no token gets %d, want 401", n)
	}
	limited := 0
	for i := range 50 {
		switch n := status("Authorization", fmt.Sprint("Bearer guess-", i)); n {
		case 401:
		case 429:
			limited++
		default:
			t.Fatalf("a guess gets %d", n)
		}
	}
	if limited < 35 {
		t.Errorf("%d of 50 guesses are refused for being many", limited)
	}
	if n := status("Authorization", "Bearer r-token"); n != 200 {
		t.Errorf("a reader gets %d among guesses", n)
	}
	if resp := s.get(t, "/livez"); resp.StatusCode != 200 {
		t.Errorf("livez gets %d", resp.StatusCode)
	}
	// A browser's WebSocket can set no header but this.
	d := websocket.Dialer{Subprotocols: []string{"chatshard", "bearer.r-token"}}
	for i := range 3 {
		conn, resp, err := d.Dial("ws://"+s.addr+"/v1/ws", nil)
		if i == 2 {
			if err == nil || resp.StatusCode != 429 {
				t.Errorf("a third connection: %v", err)
			}
			continue
		}
		if err != nil || conn.Subprotocol() != "chatshard" {
			t.Fatal(err, resp)
		}
		t.Cleanup(func() { conn.Close() })
	}
}

func TestOrigins(t *testing.T) {
	s := serve(t, newTestHub(t, nil), &ServerConfig{Origins: []string{"https://good.example"}})
	for _, c := range []struct {
		origin, host string
		want         int
	}{
		{"", "", 200}, {"http://" + s.addr, "", 200}, {"https://good.example", "", 200},
		{"https://evil.example", "", 403}, {"null", "", 403}, {"http://evil.example", "evil.example", 403}, {"", "evil.example", 403},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.addr+"/v1/poll?wait=0s", nil)
		req.Header.Set("Origin", c.origin)
		if c.origin == "" {
			req.Header.Del("Origin")
		}
		req.Host = c.host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("origin %q, host %q: %d, want %d", c.origin, c.host, resp.StatusCode, c.want)
		}
		if c.origin != "" {
			_, resp, err = websocket.DefaultDialer.Dial("ws://"+s.addr+"/v1/ws", http.Header{"Origin": {c.origin}})
			if ok := err == nil; ok != (c.want == 200 || c.host != "" && c.want == 200) {
				t.Errorf("WebSocket of origin %q: %v %v", c.origin, resp.StatusCode, err)
			}
		}
	}
}

func TestBadRequests(t *testing.T) {
	h := newTestHub(t, nil)
	s := serve(t, h, nil)
	for _, q := range []string{"from=x", "from=e1:x", "since=yesterday", "last=0", "last=99999999", "last=5&from=e1:1", "policy=x", "queue=-1", "grace=1h", "sample=7", "consumer=a/b", "%zz"} {
		resp := s.get(t, "/v1/stream?"+q)
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 400 || !strings.Contains(string(body), "detail") {
			t.Errorf("%s: %s %s", q, resp.Status, body)
		}
	}
	for _, q := range []string{"wait=2h", "max=0", "max=1000000"} {
		if resp := s.get(t, "/v1/poll?"+q); resp.StatusCode != 400 {
			t.Errorf("%s: %s", q, resp.Status)
		}
	}
	if resp := s.get(t, "/v1/ws"); resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("plain GET of ws: %s", resp.Status)
	}
	if err := post(t, "http://"+s.addr+"/v1/ack?consumer=nobody&cursor=e1:1"); err == nil {
		t.Error("an acknowledgement for nobody is taken")
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.addr+"/livez", nil)
	req.Header.Set("X-Big", strings.Repeat("x", 64<<10))
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a header of 64 KiB: %s", resp.Status)
		}
	}
	c := s.dial(t, "")
	if err := c.conn.WriteMessage(websocket.TextMessage, make([]byte, wsReadLimit+1)); err != nil {
		t.Fatal(err)
	}
	for err = nil; err == nil; {
		_, _, err = c.conn.ReadMessage()
	}
	c = s.dial(t, "") // asks and never reads
	for err = nil; err == nil; {
		err = c.conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"x"}`))
	}
	s.gone(t)
}

// TestInflated: what is small on the wire and large when inflated ends the
// connection as what is large on the wire does.
func TestInflated(t *testing.T) {
	s := serve(t, newTestHub(t, nil), &ServerConfig{Compress: true})
	c := s.dial(t, "")
	c.conn.EnableWriteCompression(true)
	_ = c.conn.WriteMessage(websocket.TextMessage, make([]byte, 32<<20)) // may be cut off
	for {
		_, msg, err := c.conn.ReadMessage()
		if err != nil {
			break
		}
		if !strings.HasPrefix(string(msg), `{"type":"hello"`) {
			t.Fatalf("it is answered %s", msg)
		}
	}
	s.gone(t)
}

// TestSlowLoris: who sends his request a byte at a time is cut off, in its head
// and in its body, and at once if he may not ask at all. It waits for the server's
// real time-outs.
func TestSlowLoris(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 15 seconds")
	}
	for name, begin := range map[string]string{
		"stranger": "POST /v1/send HTTP/1.1\r\nHost: stranger\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		"head":     "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n",
		"body":     "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, newTestHub(t, nil), nil)
			s.Handle("POST /v1/send", RoleSend, SendHandler(NewRouter(), Caller))
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, begin); err != nil {
				t.Fatal(err)
			}
			patience := time.Minute
			if name == "stranger" {
				patience = 4 * time.Second
			}
			_ = c.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("it may go on")
			}
		})
	}
}

func TestHostileText(t *testing.T) {
	texts := []string{"\x00\x01\x1f\x7f\u2028\u2029", "data: x\n\nevent: end\n\n", "\r\n\"}\\", "\ufffd\U0001f408", strings.Repeat("long \"quoted\" \U0001f408 line\n", 40_000)}
	for _, output := range []string{"ndjson", "sse", "ws", "ws-deflate", "poll"} {
		for _, back := range []string{"from=e1:0", "last=10"} {
			h := newTestHub(t, &HubConfig{RingEntries: 1})
			s := serve(t, h, &ServerConfig{Compress: output == "ws-deflate"})
			for _, text := range texts {
				h.say(t, 1, text)
			}
			name, _, _ := strings.Cut(output, "-")
			c := s.consume(t, name, back)
			for i, text := range texts {
				line, err := c.next()
				if err != nil {
					t.Fatal(err)
				}
				l := checkLine(t, line, "e1", uint64(i+1))
				if l.Text != text {
					t.Errorf("%s: text %d is %.40q, want %.40q", output, i, l.Text, text)
				}
				if (back == "last=10") != (len(l.Flags) == 1) {
					t.Errorf("%s: flags %v", output, l.Flags)
				}
			}
			c.kill()
		}
	}
}

func TestWebSocketInBand(t *testing.T) {
	h := newTestHub(t, nil)
	h.say(t, 3, "x")
	s := serve(t, h, nil)
	c := s.dial(t, "kind=nothing")
	var m map[string]any
	if err := c.conn.ReadJSON(&m); err != nil || m["type"] != "hello" || m["cursor"] != "e1:3" || m["epoch"] != "e1" {
		t.Fatalf("%v, %v; want a hello", m, err)
	}
	h.say(t, 1, "not seen")
	for _, step := range []struct{ ask, answer string }{
		{`{"type":"filter","channel":["chan5"]}`, "filtered"}, {`{"type":"filter","channel":"x"}`, "error"}, {`{"type":"ack","cursor":"e1:1"}`, "error"}, {`nonsense`, "error"},
	} {
		if err := c.conn.WriteMessage(websocket.TextMessage, []byte(step.ask)); err != nil {
			t.Fatal(err)
		}
		m = nil
		if err := c.conn.ReadJSON(&m); err != nil || m["type"] != step.answer {
			t.Errorf("%s is answered %v, %v", step.ask, m, err)
		}
	}
	pong := make(chan string, 1)
	c.conn.SetPongHandler(func(text string) error { pong <- text; return nil })
	if err := c.conn.WriteControl(websocket.PingMessage, []byte("you?"), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	h.say(t, 7, "x")
	line, err := c.next()
	if err != nil || checkLine(t, line, "e1", 5).Channel.Name != "chan5" {
		t.Errorf("got %s, %v", line, err)
	}
	h.say(t, 7, "x")
	if _, err := c.next(); err != nil { // the pong is in front of it, or soon
		t.Fatal(err)
	}
	if text := <-pong; text != "you?" {
		t.Errorf("pong %q", text)
	}
	if err := c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.conn.ReadMessage(); !websocket.IsCloseError(err, 1000) {
		t.Errorf("close is answered %v", err)
	}
}

func TestSSE(t *testing.T) {
	h := newTestHub(t, nil)
	h.say(t, 5, "x")
	s := serve(t, h, &ServerConfig{KeepAlive: 20 * time.Millisecond})
	resp := s.get(t, "/v1/stream?from=e1:1&last=3", "Accept", "text/event-stream", "Last-Event-ID", "e1:4")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(resp.Status)
	}
	want := "retry: 1000\nid: e1:4\n\nid: e1:5\ndata: {"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
		t.Errorf("begins with %q, want %q", got, want)
	}
	rest := make([]byte, 4096)
	n := 0
	for !strings.Contains(string(rest[:n]), "\n: alive\n") {
		k, err := resp.Body.Read(rest[n:])
		if n += k; err != nil {
			t.Fatal(err)
		}
	}
}

func TestHealthAndMetrics(t *testing.T) {
	h := newTestHub(t, nil)
	h.say(t, 3, "x")
	var notYet error
	s := serve(t, h, &ServerConfig{Ready: map[string]func() error{"channels": func() error { return notYet }}})
	ready := func() (int, string) {
		resp := s.get(t, "/readyz")
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if n, body := ready(); n != 200 {
		t.Errorf("readyz: %d %s", n, body)
	}
	notYet = errors.New("3 of 5 joined")
	h.log.mu.Lock()
	h.log.sick = errors.New("disk full")
	h.log.mu.Unlock()
	if n, body := ready(); n != 503 || !strings.Contains(body, "3 of 5 joined") || !strings.Contains(body, "disk full") {
		t.Errorf("readyz: %d %s", n, body)
	}
	c := s.consume(t, "ndjson", "consumer=one&from=e1:0")
	if _, err := c.next(); err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(s.get(t, "/metrics").Body)
	for _, want := range []string{
		`chatshard_events_total{kind="message",platform="twitch"} 3`, `chatshard_cursor 3`, `chatshard_log_healthy 0`, `chatshard_log_lag_entries 0`,
		`chatshard_readers{output="ndjson",policy="block"} 1`, `chatshard_consumer_lag_entries{consumer="one"} 0`, `chatshard_output_writes_total{output="ndjson"}`,
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("metrics have no %s:\n%s", want, body)
		}
	}
}
