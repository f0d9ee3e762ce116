package discord

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const aToken = "MTA0MDEyMzQ1Njc4OTAxMjM0NQ.GtOkEn.of-nobody"

// answers is an http.RoundTripper that gives one answer after the other, the
// last one again and again. It needs no socket, and so time can be virtual.
type answers struct {
	list []answer
	got  []*http.Request
	at   []time.Time
}

type answer struct {
	status int
	body   string
	header http.Header
	err    error
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	next := a.list[min(len(a.got), len(a.list)-1)]
	a.got, a.at = append(a.got, r), append(a.at, time.Now())
	if next.err != nil {
		return nil, next.err
	}
	if next.header == nil {
		next.header = http.Header{}
	}
	return &http.Response{StatusCode: next.status, Header: next.header, Body: io.NopCloser(strings.NewReader(next.body)), Request: r}, nil
}

func (a *answers) rest() *rest {
	return &rest{token: FixedToken("Bot " + aToken), client: &http.Client{Transport: a}}
}

const gatewayBot = `{"url":"wss://gateway.discord.gg","shards":16,"session_start_limit":{"total":1000,"remaining":990,"reset_after":14400000,"max_concurrency":16},"new":[{}]}`

const application = `{"id":"1040123456789012345","name":"bot","flags":557056,"approximate_guild_count":14000,"bot":{"id":"1"}}`

func TestRESTOverTheWire(t *testing.T) {
	var seen []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		if ua := r.Header.Get("User-Agent"); !strings.HasPrefix(ua, "DiscordBot (https://github.com/chatshard/chatshard, ") {
			t.Errorf("User-Agent %q", ua)
		}
		io.WriteString(w, map[string]string{"/api/v10/gateway/bot": gatewayBot, "/api/v10/applications/@me": application}[r.URL.Path])
	}))
	defer s.Close()
	cfg := &Config{API: s.URL + "/api/v10/", Intents: IntentsChat | IntentGuildMembers | IntentGuildPresences, HTTPClient: s.Client()}
	before := time.Now()
	rec, err := Recommend(t.Context(), FixedToken(aToken), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if want := "GET /api/v10/gateway/bot Bot " + aToken + "|GET /api/v10/applications/@me Bot " + aToken; strings.Join(seen, "|") != want {
		t.Errorf("asked %q", seen)
	}
	if rec.Gateway.URL != "wss://gateway.discord.gg" || rec.Shards != 16 || rec.Guilds != 14000 || rec.Multiple != 1 ||
		rec.Start != per || rec.Restarts != (990-50)/16 || rec.Gateway.At.Before(before) || !rec.Resets.Equal(rec.Gateway.At.Add(4*time.Hour)) {
		t.Errorf("Recommend = %+v", rec)
	}
	// 1<<15 (members) and 1<<19 (content) of a bot that is not verified.
	if rec.Enabled != IntentGuildMembers|IntentMessageContent || rec.Missing != IntentGuildPresences {
		t.Errorf("enabled %v, missing %v", rec.Enabled, rec.Missing)
	}
}

func TestRESTTriesAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		list  []answer
		tries int
		took  [2]time.Duration // at least, at most
		err   string
	}{
		{"well", []answer{{status: 200, body: gatewayBot}}, 1, [2]time.Duration{}, ""},
		{"5xx, then well", []answer{{status: 502}, {status: 503}, {status: 200, body: gatewayBot}}, 3, [2]time.Duration{750e6, 1500e6}, ""},
		{"5xx", []answer{{status: 500}}, 5, [2]time.Duration{3750e6, 7500e6}, "HTTP 500"},
		{"network", []answer{{err: errors.New("reset by peer, Bot " + aToken)}, {status: 200, body: gatewayBot}}, 2, [2]time.Duration{250e6, 500e6}, ""},
		{"network down", []answer{{err: errors.New("no route, Bot " + aToken)}}, 5, [2]time.Duration{3750e6, 7500e6}, "no route, Bot ***"},
		{"429 header", []answer{{status: 429, header: http.Header{"Retry-After": {"7"}}}, {status: 200, body: gatewayBot}}, 2, [2]time.Duration{7e9, 7e9}, ""},
		{"429 body", []answer{{status: 429, body: `{"retry_after":1.337,"global":true}`}, {status: 200, body: gatewayBot}}, 2, [2]time.Duration{1337e6, 1337e6}, ""},
		{"429 without a time", []answer{{status: 429, header: http.Header{"Retry-After": {"soon"}}}, {status: 200, body: gatewayBot}}, 2, [2]time.Duration{1e9, 1e9}, ""},
		{"429 for ever", []answer{{status: 429, header: http.Header{"Retry-After": {"1e300"}}}}, 1, [2]time.Duration{}, "rate limited (429) for 24h"},
		{"401", []answer{{status: 401, body: `{"message":"401: Unauthorized"}`}}, 1, [2]time.Duration{}, "token is not valid"},
		{"403", []answer{{status: 403, body: "no access for " + aToken}}, 1, [2]time.Duration{}, `HTTP 403: "no access for ***"`},
		{"not JSON", []answer{{status: 200, body: "<html>"}}, 1, [2]time.Duration{}, "invalid character"},
		{"nothing", []answer{{status: 200, body: "{}"}}, 1, [2]time.Duration{}, "no address"},
		{"another scheme", []answer{{status: 200, body: `{"url":"http://x","shards":1}`}}, 1, [2]time.Duration{}, "no address"},
		{"endless", []answer{{status: 200, body: strings.Repeat(" ", restMost+1)}}, 1, [2]time.Duration{}, "over"},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, began := &answers{list: c.list}, time.Now()
			g, err := a.rest().gateway(t.Context())
			took := time.Since(began)
			switch {
			case c.err == "" && (err != nil || g.Shards != 16 || g.Limit != (StartLimit{1000, 990, 4 * time.Hour, 16}) || !g.At.Equal(time.Now())):
				t.Errorf("%s: %+v, %v", c.name, g, err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("%s: %v, want %q", c.name, err, c.err)
			case err != nil && strings.Contains(err.Error(), aToken):
				t.Errorf("%s: %v", c.name, err)
			case len(a.got) != c.tries || took < c.took[0] || took > c.took[1]:
				t.Errorf("%s: %d tries in %v, want %d in %v", c.name, len(a.got), took, c.tries, c.took)
			case (c.name == "401") != errors.Is(err, ErrToken):
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
}

func TestRESTWithinItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{list: []answer{{status: 429, header: http.Header{"Retry-After": {"30"}}}}}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		began := time.Now()
		_, err := a.rest().gateway(ctx)
		if err == nil || !strings.Contains(err.Error(), "no time") || time.Since(began) != 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		ctx, stop = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		if _, err := a.rest().gateway(ctx); !errors.Is(err, context.Canceled) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestRESTToken(t *testing.T) {
	for _, token := range []string{"", "a b", "a\r\nX: y", "töken"} {
		a := &answers{list: []answer{{status: 200, body: gatewayBot}}}
		r := a.rest()
		r.token = FixedToken(token)
		_, err := r.gateway(t.Context())
		if !errors.Is(err, ErrToken) || len(a.got) != 0 || token != "" && strings.Contains(err.Error(), token) {
			t.Errorf("%q: %v, asked %d times", token, err, len(a.got))
		}
	}
	r := (&answers{}).rest()
	r.token = func(context.Context) (Secret, error) { return Secret{}, errors.New("vault is sealed") }
	if _, err := r.gateway(t.Context()); err == nil || !strings.Contains(err.Error(), "vault is sealed") {
		t.Errorf("%v", err)
	}
	r = (&answers{}).rest()
	r.base = "http://%zz"
	if _, err := r.gateway(t.Context()); !errors.Is(err, ErrConfig) {
		t.Errorf("%v", err)
	}
}

func TestApplication(t *testing.T) {
	for flags, want := range map[uint64]Intents{
		0: 0, 1 << 12: IntentGuildPresences, 1 << 13: IntentGuildPresences, 1 << 14: IntentGuildMembers,
		1 << 15: IntentGuildMembers, 1 << 18: IntentMessageContent, 1 << 19: IntentMessageContent,
		1<<13 | 1<<15 | 1<<19 | 1<<23: IntentsPrivileged,
	} {
		if got := (Application{Flags: flags}).Privileged(); got != want {
			t.Errorf("flags %#x: %v, want %v", flags, got, want)
		}
	}
	for _, body := range []string{"{}", `{"id":"me"}`, `{"id":1}`, "[]"} {
		a := &answers{list: []answer{{status: 200, body: body}}}
		if app, err := a.rest().application(t.Context()); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %+v, %v", body, app, err)
		}
	}
}

func ExampleRecommend() {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/gateway/bot") {
			io.WriteString(w, gatewayBot)
			return
		}
		io.WriteString(w, application)
	}))
	defer s.Close()
	r, err := Recommend(context.Background(), FixedToken("TOKEN"), &Config{API: s.URL}) // in a bot: nil
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d guilds on %d shards, up in %v; %d more starts today; missing: %v\n",
		r.Guilds, r.Shards, r.Start, r.Restarts, r.Missing)
	// Output: 14000 guilds on 16 shards, up in 5.3s; 58 more starts today; missing: none
}
