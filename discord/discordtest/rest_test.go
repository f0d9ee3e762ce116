package discordtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type reply struct {
	status int
	header http.Header
	body   string
}

func get(t testing.TB, s *Server, path, token string) reply {
	t.Helper()
	return call(t, s, "GET", path, token, "")
}

func call(t testing.TB, s *Server, method, path, token, body string) reply {
	t.Helper()
	r, err := http.NewRequest(method, "http://discord.test"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	r.Header.Set("Content-Type", "application/json")
	h := s.HTTPClient()
	defer h.CloseIdleConnections()
	resp, err := h.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// field returns a field of a JSON object as a string.
func field(t testing.TB, d []byte, name string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(d, &m); err != nil {
		t.Fatalf("%v: %s", err, d)
	}
	return fmt.Sprint(m[name])
}

func TestGatewayBot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(&Config{Bots: []Bot{{GuildCount: 2001, MaxConcurrency: 16, IdentifyRemaining: 7, ShardMultiple: 2}}})
		defer s.Close()
		time.Sleep(time.Hour)
		r := get(t, s, "/api/v10/gateway/bot", "Bot bot-token")
		want := `{"url":"ws://gateway.discord.test","shards":4,"session_start_limit":{"total":1000,"remaining":7,"reset_after":82800000,"max_concurrency":16}}`
		if r.status != 200 || r.body != want {
			t.Errorf("got %d %s\nwant %s", r.status, r.body, want)
		}
		for _, token := range []string{"", "Bot wrong"} {
			if r := get(t, s, "/api/gateway/bot", token); r.status != 401 {
				t.Errorf("token %q: %d, want 401", token, r.status)
			}
		}
		for _, path := range []string{"/gateway", "/api/v9/gateway"} {
			if r := get(t, s, path, ""); r.body != `{"url":"ws://gateway.discord.test"}` {
				t.Errorf("%s: %s", path, r.body)
			}
		}
		for _, path := range []string{"/api/oauth2/applications/@me", "/api/v10/applications/@me", "/api/users/@me", "/api/users/@me/guilds?limit=3"} {
			if r := get(t, s, path, "bot-token"); r.status != 200 || !json.Valid([]byte(r.body)) {
				t.Errorf("%s: %d %s", path, r.status, r.body)
			}
		}
		if r := get(t, s, "/api/nothing", ""); r.status != 404 {
			t.Errorf("unknown path: %d", r.status)
		}
	})
}

func TestMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guild := guildID(1, 0, 0)
		s := New(&Config{Bots: []Bot{{Guilds: []uint64{guild}}, {Guilds: []uint64{guild}}}})
		defer s.Close()
		c := dial(t, s, "").identify(0, 1)
		path := fmt.Sprintf("/api/v10/channels/%d/messages", Channel(guild, 0))
		r := call(t, s, "POST", path, "Bot bot-token-2", `{"content":"hi","nonce":"n1","enforce_nonce":true}`)
		if r.status != 200 || r.header.Get("X-RateLimit-Remaining") != "4" {
			t.Fatalf("%d %s %v", r.status, r.body, r.header)
		}
		id := field(t, []byte(r.body), "id")
		if p := c.await(opDispatch, "MESSAGE_CREATE"); field(t, p.D, "id") != id || field(t, p.D, "content") != "hi" {
			t.Errorf("dispatched %s", p.D)
		}
		again := call(t, s, "POST", path, "Bot bot-token-2", `{"content":"hi","nonce":"n1","enforce_nonce":true}`)
		if field(t, []byte(again.body), "id") != id {
			t.Errorf("same nonce, other message: %s", again.body)
		}
		if r := call(t, s, "PATCH", path+"/"+id, "Bot bot-token", `{"content":"x"}`); r.status != 403 {
			t.Errorf("editing another's: %d, want 403", r.status)
		}
		if r := call(t, s, "PATCH", path+"/"+id, "Bot bot-token-2", `{"content":"ho"}`); r.status != 200 {
			t.Errorf("editing: %d %s", r.status, r.body)
		}
		if p := c.await(opDispatch, "MESSAGE_UPDATE"); field(t, p.D, "content") != "ho" {
			t.Errorf("dispatched %s", p.D)
		}
		for _, tt := range []struct {
			body   string
			status int
		}{
			{`{"content":""}`, 400}, {`{`, 400}, {`{"content":"` + strings.Repeat("x", 2001) + `"}`, 400},
		} {
			if r := call(t, s, "POST", path, "Bot bot-token", tt.body); r.status != tt.status {
				t.Errorf("%.20s: %d, want %d", tt.body, r.status, tt.status)
			}
		}
		if r := call(t, s, "DELETE", path+"/"+id, "Bot bot-token", ""); r.status != 204 {
			t.Errorf("deleting: %d %s", r.status, r.body)
		}
		c.await(opDispatch, "MESSAGE_DELETE")
		if r := call(t, s, "DELETE", path+"/"+id, "Bot bot-token", ""); r.status != 404 {
			t.Errorf("deleting again: %d, want 404", r.status)
		}
		time.Sleep(5 * time.Second)
		for i := range 6 {
			r = call(t, s, "POST", path, "Bot bot-token", `{"content":"spam"}`)
			if want := 200; i < 5 && r.status != want {
				t.Errorf("message %d: %d, want %d", i, r.status, want)
			}
		}
		if r.status != 429 || r.header.Get("Retry-After") != "5" || s.ViolationCount(RESTLimit) != 1 {
			t.Errorf("sixth in 5 s: %d %s %v", r.status, r.body, r.header)
		}
		p := s.Posts()
		if len(p) != 6 || p[0].Content != "ho" || p[0].Edits != 1 || !p[0].Deleted {
			t.Errorf("posts: %+v", p)
		}
	})
}

func TestWebhooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		guild := s.Guilds("")[0]
		c := dial(t, s, "").identify(0, 1)
		r := call(t, s, "POST", fmt.Sprintf("/api/v10/channels/%d/webhooks", Channel(guild, 1)), "Bot bot-token", `{"name":"bridge"}`)
		var h struct{ ID, Token string }
		if json.Unmarshal([]byte(r.body), &h); r.status != 200 || h.Token == "" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		path := "/api/v10/webhooks/" + h.ID + "/" + h.Token
		r = call(t, s, "POST", path+"?wait=true", "", `{"content":"hi","username":"ann [irc]"}`)
		if p := c.await(opDispatch, "MESSAGE_CREATE"); field(t, p.D, "webhook_id") != h.ID || field(t, p.D, "member") != "<nil>" {
			t.Errorf("dispatched %s", p.D)
		}
		id := field(t, []byte(r.body), "id")
		if r = call(t, s, "PATCH", path+"/messages/"+id, "", `{"content":"ho"}`); r.status != 200 {
			t.Errorf("edit: %d %s", r.status, r.body)
		}
		if r = call(t, s, "DELETE", path+"/messages/"+id, "", ""); r.status != 204 {
			t.Errorf("delete: %d %s", r.status, r.body)
		}
		if r = call(t, s, "POST", path, "", `{"content":"hi"}`); r.status != 204 || r.body != "" {
			t.Errorf("without wait: %d %s", r.status, r.body)
		}
		if r = call(t, s, "POST", "/api/v10/webhooks/1/x", "", `{"content":"hi"}`); r.status != 404 {
			t.Errorf("unknown webhook: %d", r.status)
		}
	})
}

func TestInteractions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		c := dial(t, s, "").identify(0, 1)
		for i, wait := range []time.Duration{2 * time.Second, 4 * time.Second} {
			s.Publish("", s.Guilds("")[0], Interaction(0, "ann", "ping"))
			p := c.await(opDispatch, "INTERACTION_CREATE")
			time.Sleep(wait)
			path := "/api/v10/interactions/" + field(t, p.D, "id") + "/" + field(t, p.D, "token") + "/callback"
			if r := call(t, s, "POST", path, "", `{"type":5}`); r.status != []int{204, 404}[i] {
				t.Errorf("after %v: %d %s", wait, r.status, r.body)
			}
			if got := s.Interactions()[i]; got.Delay != wait || got.Answered != (i == 0) {
				t.Errorf("after %v: %+v", wait, got)
			}
			if i == 0 {
				if r := call(t, s, "POST", path, "", `{"type":5}`); r.status != 400 {
					t.Errorf("second answer: %d", r.status)
				}
			}
		}
	})
}
