package relay

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chatshard/chatshard/irc"
	"github.com/chatshard/chatshard/irc/irctest"
)

// postSend asks the handler.
func postSend(h http.Handler, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest("POST", "/v1/send", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

func TestSendHandler(t *testing.T) {
	playSend(t, irctest.Config{}, irc.ClientConfig{}, func(t *testing.T, c *chatter) {
		h := SendHandler(c.Router, func(r *http.Request) string { return r.Header.Get("X-From") })
		w := postSend(h, `{"to":"twitch:forsen","text":"hello","key":"k"}`)
		var res SendResult
		if err := json.Unmarshal(w.Body.Bytes(), &res); err != nil || w.Code != 200 || res.Status != StatusSent || len(res.IDs) != 1 {
			t.Errorf("%d %s %v", w.Code, w.Body, err)
		}
		for _, c := range []struct {
			body   string
			header []string
			status int
			want   string // in the body
		}{
			{`{"to":"twitch:forsen","text":"hello"}`, []string{"Idempotency-Key", `"k"`}, 200, `"duplicate":true`},
			{`{"to":"twitch:forsen","text":"hello"}`, []string{"Idempotency-Key", `k`, "Content-Type", "application/json; charset=UTF-8"}, 200, `"duplicate":true`},
			{`{"to":"twitch:forsen","text":"hello","key":"j"}`, []string{"Idempotency-Key", `k`}, 400, "one idempotency key"},
			{`{"to":"twitch:forsen","text":"other","key":"k"}`, nil, 422, `"code":"key_reused"`},
			{`{"to":"twitch:forsen","text":"other","key":"k"}`, []string{"X-From", "me"}, 200, `"status":"sent"`},
			{`{"to":"twitch:forsen","text":"a\nb"}`, nil, 422, `"code":"bad_text"`},
			{`{"to":"irc:libera/#go","text":"x"}`, nil, 422, `"code":"no_route"`},
			{`{"to":"twitch:nosuch","text":"x"`, nil, 400, `"detail":"the body is no request: unexpected EOF"`},
			{`{"to":"twitch:forsen","text":"x","colour":"red"}`, nil, 400, `colour`},
			{`{"to":"twitch:forsen","text":1}`, nil, 400, `number`},
			{`{"to":"twitch:forsen","text":"x","From":"you"}`, nil, 400, `From`},
			{`{"to":"twitch:forsen","text":"x"}{}`, nil, 400, `goes on`},
			{"{\"to\":\"twitch:forsen\",\"text\":\"\xff\"}", nil, 400, `not UTF-8`},
			{``, nil, 400, `EOF`},
			{`null`, nil, 422, `"code":"bad_channel"`},
			{`{"text":"` + strings.Repeat("x", maxSendBody) + `"}`, nil, 413, `65536`},
			{`{}`, []string{"Content-Type", "text/plain"}, 415, `application/json`},
			{`{}`, []string{"Content-Type", ""}, 415, `application/json`},
			{`{}`, []string{"Content-Type", "application/json; charset=latin1"}, 415, `application/json`},
		} {
			w := postSend(h, c.body, c.header...)
			kind := "application/problem+json"
			if c.status == 200 {
				kind = "application/json"
			}
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) || w.Header().Get("Content-Type") != kind || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%.60s %v: %d %s %v, want %d %s", c.body, c.header, w.Code, w.Body, w.Header(), c.status, c.want)
			}
			if time.Sleep(2 * time.Second); c.status == 400 && strings.Contains(w.Body.String(), `"result"`) {
				t.Errorf("%s", w.Body)
			}
		}
		get := httptest.NewRecorder()
		if h.ServeHTTP(get, httptest.NewRequest("GET", "/v1/send", nil)); get.Code != 405 || get.Header().Get("Allow") != "POST" {
			t.Errorf("GET: %d %v", get.Code, get.Header())
		}
		// Who goes away takes his request with him, unless it has a key.
		for _, key := range []string{"", `,"key":"gone"`} {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			text := "kept"
			if key == "" {
				text = "gone"
			}
			req := httptest.NewRequest("POST", "/v1/send", strings.NewReader(`{"to":"twitch:forsen","text":"`+text+`"`+key+`}`))
			req.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req.WithContext(ctx))
			if want := map[bool]int{true: 422, false: 200}[key == ""]; w.Code != want {
				t.Errorf("key %q: %d %s, want %d", key, w.Code, w.Body, want)
			}
		}
		if heard := c.heard(); heard[len(heard)-1] != "kept" {
			t.Errorf("heard %q", heard)
		}
		c.srv.Apply(irctest.Fault{Kind: irctest.Mute}, irctest.Target{})
		if w := postSend(h, `{"to":"twitch:forsen","text":"into the void"}`); w.Code != 504 || !strings.Contains(w.Body.String(), `"status":"unknown"`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		c.srv.Refuse(-1)
		c.srv.Apply(irctest.Fault{Kind: irctest.Drop}, irctest.Target{})
		time.Sleep(time.Second)
		if w := postSend(h, `{"to":"twitch:forsen","text":"x"}`); w.Code != 503 || w.Header().Get("Retry-After") != "2" || !strings.Contains(w.Body.String(), `"retry_after":2`) {
			t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
		}
	})
}

func TestSendHandlerBusy(t *testing.T) {
	playSend(t, irctest.Config{}, irc.ClientConfig{}, func(t *testing.T, c *chatter) {
		h := SendHandler(c.Router, nil)
		codes := make(chan int, 2*maxInLane)
		for range cap(codes) {
			go func() { codes <- postSend(h, `{"to":"twitch:forsen","text":"x"}`).Code }()
		}
		got := map[int]int{}
		for range cap(codes) {
			got[<-codes]++
		}
		if got[200] != 1 || got[429] < maxInLane || got[200]+got[422]+got[429] != cap(codes) {
			t.Errorf("%v", got)
		}
	})
}

// TestSendHandlerOnAPort has a client that sends its body slowly.
func TestSendHandlerOnAPort(t *testing.T) {
	s := httptest.NewServer(SendHandler(NewRouter(), nil))
	defer s.Close()
	nc, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "POST /v1/send HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 65537\r\n\r\n{")
	nc.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(nc)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("%q, %v", answer, err)
	}
}

func FuzzParseSend(f *testing.F) {
	f.Add([]byte(`{"to":"twitch:forsen","text":"hello","reply_to":"1","key":"k","account":"a"}`))
	f.Add([]byte(`{"text":"\ud800"}`))
	f.Add([]byte(`null`))
	r := NewRouter()
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := parseSend(body)
		if err != nil {
			if q != (SendRequest{}) && q.From != "" {
				t.Errorf("%q: %+v, %v", body, q, err)
			}
			return
		}
		res := r.Send(t.Context(), q) // there are no routes
		b, err := json.Marshal(res)
		if res.Status != StatusRefused || res.Code == "" || res.Reason == "" || err != nil || len(b) > 8<<10 {
			t.Errorf("%q: %s, %v", body, b, err)
		}
	})
}
