package relay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/chatshard/chatshard/irc"
)

// A token has the budgets that it was given, and hears when there is more.
func TestTokenLimits(t *testing.T) {
	s := serve(t, newTestHub(t, nil), &ServerConfig{Tokens: []Token{
		{Name: "sender", Hash: HashToken("s-token"), Roles: []Role{RoleSend}, Rate: 1000, Sends: irc.Rate{N: 2, Per: time.Hour}},
		{Name: "other", Hash: HashToken("o-token"), Roles: []Role{RoleSend}, Rate: 1000, Sends: irc.Rate{N: 2, Per: time.Hour}},
		{Name: "free", Hash: HashToken("f-token"), Roles: []Role{RoleAdmin}, Rate: 1000, Sends: irc.Rate{N: -1}},
		{Name: "reader", Hash: HashToken("r-token"), Roles: []Role{RoleRead}, Rate: 0.001},
	}})
	sent := 0
	s.Handle("POST /v1/send", RoleSend, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sent++ }))
	send := func(token string) (status, wait int, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.addr+"/v1/send", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		wait, _ = strconv.Atoi(resp.Header.Get("Retry-After"))
		return resp.StatusCode, wait, string(text)
	}
	for i, c := range []struct {
		token  string
		status int
		waits  bool
		says   string
	}{
		{"s-token", 200, false, ""},
		{"s-token", 200, false, ""},
		{"s-token", 429, true, `"detail":"more messages than this token may send"`},
		{"o-token", 200, false, ""}, // each has its own
		{"f-token", 200, false, ""}, {"f-token", 200, false, ""}, {"f-token", 200, false, ""},
		{"r-token", 403, false, `"detail":"this token has not the role send"`},
	} {
		status, wait, body := send(c.token)
		if status != c.status || !strings.Contains(body, c.says) || c.waits != (wait > 0) || wait > 3600 {
			t.Errorf("request %d of %s: %d, Retry-After %d, %s, want %d and %s", i+1, c.token, status, wait, body, c.status, c.says)
		}
	}
	if sent != 6 {
		t.Errorf("%d were let in, want 6", sent)
	}
	// A burst of requests, whatever they are for, is twice the rate, one at least.
	status, wait, _ := send("r-token")
	if status != 429 || wait < 1 || wait > 1000 {
		t.Errorf("a request beyond the rate: %d, Retry-After %d", status, wait)
	}
	for _, bad := range []irc.Rate{{N: 5}, {N: maxSends + 1, Per: time.Second}} {
		c := ServerConfig{Tokens: []Token{{Name: "a", Hash: HashToken("x"), Roles: []Role{RoleSend}, Sends: bad}}}
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), `token "a": a limit`) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// Tokens are replaced while streams are open: those of a token that stays go on.
func TestTokensChange(t *testing.T) {
	h := newTestHub(t, nil)
	token := func(name string, roles ...Role) Token {
		return Token{Name: name, Hash: HashToken(name + "-token"), Roles: roles, Rate: 1000}
	}
	s := serve(t, h, &ServerConfig{Tokens: []Token{token("stays", RoleRead), token("goes", RoleRead), token("changes", RoleAdmin)}})
	status := func(name string) int {
		return s.get(t, "/v1/poll?wait=0s", "Authorization", "Bearer "+name+"-token").StatusCode
	}
	stream := func(name, path string) *lineConsumer {
		resp := s.get(t, path, "Authorization", "Bearer "+name+"-token")
		if resp.StatusCode != 200 {
			t.Fatalf("%s gets %d", name, resp.StatusCode)
		}
		return &lineConsumer{resp: resp, r: bufio.NewReader(resp.Body), sse: strings.Contains(path, "sse")}
	}
	stays, sse, lines := stream("stays", "/v1/stream?from=e1:0"), stream("goes", "/v1/sse?from=e1:0"), stream("changes", "/v1/stream?from=e1:0")
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+s.addr+"/v1/ws", http.Header{"Authorization": {"Bearer goes-token"}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.addr+"/v1/poll?from=e1:0&wait=30s&kind=nothing", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer goes-token")
	polled := make(chan int, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			polled <- 0
			return
		}
		resp.Body.Close()
		polled <- resp.StatusCode
	}()
	h.say(t, 1, "x")
	for _, c := range []consumer{stays, sse, lines, &wsConsumer{ws}} {
		if _, err := c.next(); err != nil {
			t.Fatal(err)
		}
	}

	bad := token("new", RoleRead)
	bad.Hash = "new-token"
	if err := s.SetTokens([]Token{bad}); !errors.Is(err, ErrServer) || strings.Contains(err.Error(), "new-token") {
		t.Errorf("a bad token: %v", err)
	}
	if n := status("goes"); n != 200 {
		t.Errorf("after a bad list: %d", n)
	}
	kept := token("stays", RoleRead, RoleRead)
	kept.Connections = 100 // the default
	next := []Token{token("new", RoleRead), token("changes", RoleRead), kept}
	if err := s.SetTokens(next); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"stays": 200, "goes": 401, "changes": 200, "new": 200} {
		if n := status(name); n != want {
			t.Errorf("%s gets %d, want %d", name, n, want)
		}
	}
	if rest, err := io.ReadAll(sse.r); err != nil || !strings.Contains(string(rest), `event: end`+"\n"+`data: {"reason":"revoked","cursor":"e1:1"}`) {
		t.Errorf("SSE ended with %q, %v", rest, err)
	}
	if _, err := lines.next(); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a stream of a token with other roles: %v, want its end", err)
	}
	if _, err := (&wsConsumer{ws}).next(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) || !strings.Contains(err.Error(), "revoked e1:1") {
		t.Errorf("a WebSocket: %v", err)
	}
	if n := <-polled; n != 401 {
		t.Errorf("a poll that waits: %d, want 401", n)
	}
	h.say(t, 1, "y")
	if line, err := stays.next(); err != nil || !strings.Contains(string(line), "y") {
		t.Errorf("the stream of a token that stays: %q, %v", line, err)
	}
	if err := s.SetTokens(nil); err != nil {
		t.Fatal(err)
	}
	if n := status("stays"); n != 401 {
		t.Errorf("with no token: %d, want 401", n)
	}
	if err := serve(t, newTestHub(t, nil), nil).SetTokens(next); !errors.Is(err, ErrServer) {
		t.Errorf("of a server for everybody: %v", err)
	}
}

// A stream that ends because its token is taken away says up to where it has
// sent, though it was filling the next batch.
func TestRevokedStreamSaysWhatWasSent(t *testing.T) {
	h := newTestHub(t, nil)
	h.say(t, 30_000, "hay")
	of := Token{Name: "a", Hash: HashToken("a-token"), Roles: []Role{RoleRead}, Rate: 1e6}
	s := serve(t, h, &ServerConfig{Tokens: []Token{of}})
	ends := 0
	for round := range 40 {
		resp := s.get(t, "/v1/sse?from=e1:0&text=ay", "Authorization", "Bearer a-token")
		if resp.StatusCode != 200 {
			t.Fatal(resp.StatusCode)
		}
		timer := time.AfterFunc(time.Duration(round)*300*time.Microsecond, func() { _ = s.SetTokens(nil) })
		body, err := io.ReadAll(resp.Body)
		timer.Stop()
		if err != nil {
			t.Fatal(err)
		}
		text, end, ended := strings.Cut(string(body), "event: end\n")
		ids := strings.Split(text, "id: ")
		last, _, _ := strings.Cut(ids[len(ids)-1], "\n")
		if ended {
			ends++
			if want := fmt.Sprintf(`"cursor":%q`, last); !strings.Contains(end, want) {
				t.Fatalf("round %d: %q after the event %s", round, end, last)
			}
		}
		if err := s.SetTokens([]Token{of}); err != nil {
			t.Fatal(err)
		}
	}
	if ends == 0 {
		t.Error("no stream was told why it ended")
	}
}

// A token is taken away whose stream waits for a consumer that does not read.
func TestRevokedStreamThatIsStuck(t *testing.T) {
	h := newTestHub(t, nil)
	s := serve(t, h, &ServerConfig{Tokens: []Token{{Name: "a", Hash: HashToken("a-token"), Roles: []Role{RoleRead}}}})
	bearer := http.Header{"Authorization": {"Bearer a-token"}}
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+s.addr+"/v1/ws?policy=disconnect&grace=10m", bearer)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	sse := s.get(t, "/v1/sse?policy=disconnect&grace=10m", "Authorization", "Bearer a-token")
	defer sse.Body.Close()
	for range 40 { // more than sockets hold
		h.say(t, 500, strings.Repeat("x", 1000))
		time.Sleep(5 * time.Millisecond)
	}
	begin := time.Now()
	if err := s.SetTokens(nil); err != nil {
		t.Fatal(err)
	}
	for len(s.streams) > 0 {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("%d streams are still open", len(s.streams))
		}
		time.Sleep(10 * time.Millisecond)
	}
}
