package relay

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

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
