package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/channels"
	"github.com/chatshard/chatshard/irc"
	"github.com/chatshard/chatshard/irc/irctest"
)

// chatter is a Router with one account against an irctest.Server.
type chatter struct {
	*Router
	t   *testing.T
	srv *irctest.Server

	mu    sync.Mutex
	texts []string // that the server's channels heard
}

func (c *chatter) send(to, text string) SendResult {
	return c.Send(context.Background(), SendRequest{To: to, Text: text})
}

// heard returns what was said so far.
func (c *chatter) heard() []string {
	time.Sleep(100 * time.Millisecond) // in the bubble: what is on its way arrives
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.texts)
}

// playSend runs story in a bubble, as the account "mybot" on Twitch, or as
// "mybot" in #go and #rust of the network "test".
func playSend(t *testing.T, srv irctest.Config, cfg irc.ClientConfig, story func(t *testing.T, c *chatter)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &chatter{t: t}
		account := irc.NewAccount("mybot", irc.FixedToken("abc"), nil)
		route := Route{Platform: channels.Twitch, Account: "mybot"}
		listen := irc.Config{Address: "irc.test:6667", Plain: true}
		names := []string{"forsen", "slow"}
		if cfg.Transport.Profile == irc.Generic {
			c.srv, listen.Profile = irctest.NewIRC(&srv), irc.Generic
			account = irc.NewIRCAccount("", nil, nil)
			route.Platform, route.Network = channels.IRC, "test"
			cfg.Transport.Nick = "mybot"
			names = []string{"#go", "#rust"}
		} else {
			c.srv = irctest.NewTwitch(&srv)
		}
		defer c.srv.Close()
		cfg.Transport.Address, cfg.Transport.Plain, cfg.Transport.DialContext = listen.Address, true, c.srv.DialContext
		client := irc.NewClient(account, &cfg)
		listen.DialContext = c.srv.DialContext
		reader := irc.NewClient(irc.NewAccount("", nil, &irc.AccountConfig{Verified: true}), &irc.ClientConfig{Transport: listen}) // with budgets of its own
		if cfg.Transport.Profile == irc.Generic {
			listen.Nick = "reader"
			reader = irc.NewClient(irc.NewIRCAccount("", nil, nil), &irc.ClientConfig{Transport: listen})
		}
		route.Sender = NewIRCSender(client, &cfg)
		c.Router = NewRouter(route)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() { client.Run(ctx, func(context.Context, balancer.Event) {}) })
		wg.Go(func() {
			reader.Run(ctx, func(_ context.Context, e balancer.Event) {
				if m, ok := e.Data.(*irc.Message); ok && m.Command() == "PRIVMSG" {
					c.mu.Lock()
					defer c.mu.Unlock()
					c.texts = append(c.texts, m.Text())
				}
			})
		})
		if err := errors.Join(reader.Join(names...), client.Join(names...)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second) // in the bubble: all have joined
		story(t, c)
	})
}

func (c *chatter) want(r SendResult, status, code string) {
	c.t.Helper()
	if r.Status != status || r.Code != code || (r.Reason == "") != (status == StatusSent) {
		c.t.Errorf("%+v, want %s %q", r, status, code)
	}
}

func TestSendTwitch(t *testing.T) {
	playSend(t, irctest.Config{Channels: []string{"forsen", "slow"}}, irc.ClientConfig{}, func(t *testing.T, c *chatter) {
		r := c.send("twitch:#Forsen", "hello")
		c.want(r, StatusSent, "")
		if len(r.IDs) != 1 || r.IDs[0] == "" || r.Parts != 1 || r.SentParts != 1 || r.Altered {
			t.Errorf("%+v", r)
		}
		c.want(c.send("twitch:forsen", "hello"), StatusRefused, "msg_duplicate")
		id := r.IDs[0]
		c.want(c.Send(t.Context(), SendRequest{To: "twitch:forsen", Text: "to you", ReplyTo: id}), StatusSent, "")
		c.srv.SetRoom("slow", func(r *irctest.Room) { r.SubsOnly = true })
		if r := c.send("twitch:slow", "hello"); r.Status != StatusRefused || r.Code != "msg_subsonly" || !strings.Contains(r.Reason, "subscri") || r.RetryAfter != 0 {
			t.Errorf("%+v, want the service's reason", r)
		}
		c.want(c.send("twitch:nosuchchannel", "hello"), StatusUnknown, CodeSilence)
		for _, q := range []struct {
			q    SendRequest
			code string
		}{
			{SendRequest{To: "forsen", Text: "x"}, CodeBadChannel},
			{SendRequest{To: "mixer:forsen", Text: "x"}, CodeBadChannel},
			{SendRequest{To: "twitch:a b", Text: "x"}, CodeBadChannel},
			{SendRequest{To: "irc:libera/#go", Text: "x"}, CodeNoRoute},
			{SendRequest{To: "discord:1", Text: "x"}, CodeNoRoute},
			{SendRequest{To: "twitch:forsen", Text: "x", Account: "other"}, CodeNoRoute},
			{SendRequest{To: "twitch:forsen"}, CodeBadText},
			{SendRequest{To: "twitch:forsen", Text: "x\r\nQUIT"}, CodeBadText},
			{SendRequest{To: "twitch:forsen", Text: "x\x00"}, CodeBadText},
			{SendRequest{To: "twitch:forsen", Text: "\xff"}, CodeBadText},
			{SendRequest{To: "twitch:forsen", Text: strings.Repeat("x", 1<<20)}, CodeTooLong},
			{SendRequest{To: "twitch:forsen", Text: strings.Repeat("x", 5001)}, CodeTooLong},
			{SendRequest{To: "twitch:forsen", Text: "x", ReplyTo: "a b"}, CodeBadReply},
			{SendRequest{To: "twitch:forsen", Text: "x", Key: "a\n"}, CodeBadKey},
		} {
			began := time.Now()
			c.want(c.Send(t.Context(), q.q), StatusRefused, q.code)
			if time.Since(began) > 0 {
				t.Errorf("%.40v took %v", q.q, time.Since(began))
			}
		}
		if got := c.heard(); !slices.Equal(got, []string{"hello", "to you"}) {
			t.Errorf("heard %q", got)
		}
	})
}

func TestSendTwitchParts(t *testing.T) {
	playSend(t, irctest.Config{}, irc.ClientConfig{}, func(t *testing.T, c *chatter) {
		word := strings.Repeat("ü", 249)
		text := strings.Join([]string{word, word, word, word + "1", word}, " ") // 1,250 characters
		r := c.send("twitch:forsen", text)
		c.want(r, StatusSent, "")
		heard := c.heard()
		if r.Parts != 3 || r.SentParts != 3 || len(r.IDs) != 3 || strings.Join(heard, " ") != text {
			t.Errorf("%+v, heard %d parts", r, len(heard))
		}
		// Texts that are sent at once do not mix.
		time.Sleep(time.Minute)
		var wg sync.WaitGroup
		for _, letter := range []string{"a", "b", "c"} {
			wg.Go(func() {
				word := strings.Repeat(letter, 400)
				c.want(c.send("twitch:forsen", word+" "+word+letter), StatusSent, "")
			})
		}
		wg.Wait()
		for i, heard := 0, c.heard()[3:]; i < 6; i += 2 {
			if len(heard) != 6 || heard[i][0] != heard[i+1][0] || len(heard[i]) != 400 {
				t.Fatalf("heard %q", heard)
			}
		}
		// In the middle of the next text a rule of the room changes.
		time.Sleep(time.Minute)
		time.AfterFunc(500*time.Millisecond, func() { c.srv.SetRoom("forsen", func(r *irctest.Room) { r.EmoteOnly = true }) })
		r = c.send("twitch:forsen", text)
		c.want(r, StatusRefused, "msg_emoteonly")
		if r.Parts != 3 || r.SentParts != 1 || len(r.IDs) != 1 || !strings.HasPrefix(r.Reason, "part 2 of 3: ") || len(c.heard()) != 10 {
			t.Errorf("%+v", r)
		}
	})
}

func TestSendTwitchDistinct(t *testing.T) {
	playSend(t, irctest.Config{}, irc.ClientConfig{Distinct: true}, func(t *testing.T, c *chatter) {
		for i, altered := range []bool{false, true, false, true} {
			r := c.send("twitch:forsen", "again")
			c.want(r, StatusSent, "")
			heard := c.heard()
			if r.Altered != altered || (heard[i] != "again") != altered {
				t.Errorf("message %d: %+v, heard %q", i, r, heard[i])
			}
		}
	})
}

func TestSendWhenTheConnectionBreaks(t *testing.T) {
	for _, profile := range []irc.Profile{irc.Twitch, irc.Generic} {
		cfg := irc.ClientConfig{Transport: irc.Config{Profile: profile}}
		playSend(t, irctest.Config{}, cfg, func(t *testing.T, c *chatter) {
			to := "twitch:forsen"
			if profile == irc.Generic {
				to = "irc:test/#go"
			}
			// Written, and then lost.
			c.srv.Apply(irctest.Fault{Kind: irctest.Mute}, irctest.Target{})
			time.AfterFunc(time.Second, func() {
				c.srv.Refuse(-1)
				c.srv.Apply(irctest.Fault{Kind: irctest.Drop}, irctest.Target{})
			})
			q := SendRequest{To: to, Text: "into the void", Key: "k1"}
			c.want(c.Send(t.Context(), q), StatusUnknown, CodeLost)
			if r := c.Send(t.Context(), q); r.Status != StatusUnknown || !r.Duplicate {
				t.Errorf("%+v of the same key, want the same answer", r)
			}
			// No connection.
			q = SendRequest{To: to, Text: "hello", Key: "k2"}
			r := c.Send(t.Context(), q)
			c.want(r, StatusRefused, CodeNotReady)
			if r.RetryAfter <= 0 {
				t.Errorf("%+v, want it to be tried again", r)
			}
			c.srv.Refuse(0)
			time.Sleep(time.Minute)
			if r := c.Send(t.Context(), q); r.Status != StatusSent || r.Duplicate {
				t.Errorf("%+v of the key of what could not be sent, want sent", r)
			}
		})
	}
}

func TestSendWithinItsTime(t *testing.T) {
	playSend(t, irctest.Config{}, irc.ClientConfig{}, func(t *testing.T, c *chatter) {
		// 20 in 32 s, one in 1.1 s per channel.
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[string]int{}
		began := time.Now()
		for i := range 20 + maxInLane {
			wg.Go(func() {
				r := c.send("twitch:forsen", fmt.Sprint("message ", i))
				mu.Lock()
				defer mu.Unlock()
				got[r.Status+" "+r.Code]++
				if r.Status != StatusSent && r.RetryAfter <= 0 {
					t.Errorf("%+v, want a time to try again", r)
				}
			})
		}
		wg.Wait()
		if d := time.Since(began); d > sendTimeout {
			t.Errorf("the last answer took %v", d)
		}
		// The first may have been sent before the last one came.
		if busy := got["refused busy"]; got["sent "] != 14 || busy < 19 || busy > 20 || got["refused rate_limited"] != 38-busy {
			t.Errorf("%v", got)
		}
		if n := len(c.heard()); n != got["sent "] {
			t.Errorf("heard %d of %v", n, got)
		}
		if n := c.srv.ViolationCount(irctest.TooFast); n != 0 {
			t.Errorf("%d messages too fast", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r := c.Send(ctx, SendRequest{To: "twitch:forsen", Text: "soon"}); r.Status != StatusSent {
			time.Sleep(time.Second)
		}
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		c.want(c.Send(ctx, SendRequest{To: "twitch:forsen", Text: "never"}), StatusRefused, CodeCancelled)
		if len(c.Router.lanes) != 0 || c.sending.Load() != 0 {
			t.Errorf("%d lanes and %d requests are left", len(c.Router.lanes), c.sending.Load())
		}
	})
}

func TestSendKeys(t *testing.T) {
	playSend(t, irctest.Config{}, irc.ClientConfig{}, func(t *testing.T, c *chatter) {
		// Many at once: one is sent, all get its answer.
		q := SendRequest{To: "twitch:forsen", Text: "once", Key: "k", From: "app"}
		var wg sync.WaitGroup
		results := make([]SendResult, 50)
		for i := range results {
			wg.Go(func() { results[i] = c.Send(t.Context(), q) })
		}
		wg.Wait()
		first := 0
		for _, r := range results {
			if !r.Duplicate {
				first++
			}
			if r.Status != StatusSent || r.IDs[0] != results[0].IDs[0] {
				t.Errorf("%+v", r)
			}
		}
		if first != 1 || len(c.heard()) != 1 {
			t.Errorf("%d were first, heard %q", first, c.heard())
		}
		for name, change := range map[string]func(*SendRequest){
			"text": func(q *SendRequest) { q.Text = "twice" }, "to": func(q *SendRequest) { q.To = "twitch:slow" },
			"reply": func(q *SendRequest) { q.ReplyTo = "1" }, "account": func(q *SendRequest) { q.Account = "mybot" },
		} {
			other := q
			change(&other)
			if r := c.Send(t.Context(), other); r.Code != CodeKeyReused || r.Status != StatusRefused {
				t.Errorf("another %s: %+v", name, r)
			}
		}
		time.Sleep(time.Minute)
		other := q
		other.From = "another app"
		if r := c.Send(t.Context(), other); r.Status != StatusSent || r.Duplicate {
			t.Errorf("the same key of somebody else: %+v", r)
		}
		// What was refused for good is not sent later either.
		c.srv.SetRoom("slow", func(r *irctest.Room) { r.SubsOnly = true })
		q = SendRequest{To: "twitch:slow", Text: "hello", Key: "k3", From: "app"}
		c.want(c.Send(t.Context(), q), StatusRefused, "msg_subsonly")
		c.srv.SetRoom("slow", func(r *irctest.Room) { r.SubsOnly = false })
		if r := c.Send(t.Context(), q); r.Code != "msg_subsonly" || !r.Duplicate {
			t.Errorf("%+v", r)
		}
		// Who waits for the first request does so within its own time.
		c.srv.Apply(irctest.Fault{Kind: irctest.Mute}, irctest.Target{Account: "mybot"})
		q = SendRequest{To: "twitch:forsen", Text: "slowly", Key: "k4"}
		wg.Go(func() { c.want(c.Send(t.Context(), q), StatusUnknown, CodeSilence) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.want(c.Send(ctx, q), StatusUnknown, CodeInProgress)
		wg.Wait()
		// After ten minutes a key is free.
		time.Sleep(keyLife)
		q = SendRequest{To: "twitch:forsen", Text: "anew", Key: "k", From: "app"}
		c.want(c.Send(t.Context(), q), StatusSent, "")
		if n := len(c.keys.entries); n != 1 || len(c.keys.answered) != 1 {
			t.Errorf("%d keys are kept, want 1", n)
		}
	})
}

func TestSendIRC(t *testing.T) {
	playSend(t, irctest.Config{}, irc.ClientConfig{Transport: irc.Config{Profile: irc.Generic}}, func(t *testing.T, c *chatter) {
		r := c.send("irc:test/#go", "\x02hello\x02")
		c.want(r, StatusSent, "")
		time.Sleep(time.Minute)
		text := strings.TrimSpace(strings.Repeat("wörter ", 150)) // 1,199 bytes
		r = c.send("irc:test/#go", text)
		c.want(r, StatusSent, "")
		heard := c.heard()[1:]
		if r.Parts != 4 || len(heard) != 4 || strings.Join(heard, " ") != text {
			t.Errorf("%+v, heard %q", r, heard)
		}
		time.Sleep(time.Minute)
		c.want(c.send("irc:test/#elsewhere", "hello"), StatusRefused, "403")
		c.want(c.send("irc:other/#go", "hello"), StatusRefused, CodeNoRoute)
		c.want(c.send("irc:test/#go", "a\tb"), StatusRefused, CodeBadText)
	})
}

func TestSendRoutes(t *testing.T) {
	anonymous := NewIRCSender(irc.NewClient(irc.Anonymous(), nil), &irc.ClientConfig{})
	r := NewRouter(
		Route{Platform: channels.Twitch, Account: "a", Sender: anonymous, Carries: func(n channels.Name) bool { return n.Channel == "forsen" }},
		Route{Platform: channels.Twitch, Account: "b", Sender: anonymous},
	)
	for _, c := range []struct{ to, account, code, reason string }{
		{"twitch:forsen", "", CodeReadOnly, "anonymous"},
		{"twitch:xqc", "", CodeReadOnly, "anonymous"}, // b
		{"twitch:xqc", "a", CodeNotCarried, "twitch:xqc"},
		{"twitch:xqc", "c", CodeNoRoute, `use one of "a", "b"`},
		{"irc:libera/#go", "", CodeNoRoute, "irc:libera"},
	} {
		got := r.Send(t.Context(), SendRequest{To: c.to, Account: c.account, Text: "x"})
		if got.Status != StatusRefused || got.Code != c.code || !strings.Contains(got.Reason, c.reason) {
			t.Errorf("%s as %q: %+v", c.to, c.account, got)
		}
	}
	r.Set()
	if got := r.Send(t.Context(), SendRequest{To: "twitch:forsen", Text: "x"}); got.Code != CodeNoRoute {
		t.Errorf("without routes: %+v", got)
	}
}

// An answer says when the account's budget has room again, by the budget itself.
func TestSendSaysWhenThereIsRoom(t *testing.T) {
	playSend(t, irctest.Config{}, irc.ClientConfig{}, func(t *testing.T, c *chatter) {
		began := time.Now()
		for i := range 20 {
			if r := c.send(fmt.Sprint("twitch:c", i), "hello"); r.Status != StatusSent {
				t.Fatalf("message %d: %+v", i+1, r)
			}
			time.Sleep(500 * time.Millisecond)
		}
		at := time.Now()
		r := c.send("twitch:c20", "hello")
		c.want(r, StatusRefused, CodeRateLimited)
		room := began.Add(32 * time.Second) // the first one leaves the window then
		if d := room.Sub(at); r.RetryAfter > d || r.RetryAfter < d-time.Second || time.Since(at) != 0 {
			t.Errorf("try again after %v, answered after %v, want %v at once", r.RetryAfter, time.Since(at), d)
		}
		time.Sleep(r.RetryAfter)
		if r := c.send("twitch:c20", "hello"); r.Status != StatusSent || time.Since(at)-room.Sub(at) > time.Second {
			t.Errorf("%+v after the time that was asked for", r)
		}
		// The channel's own pace: another may wait for its turn.
		q := SendRequest{To: "twitch:c20", Text: "again"}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if r := c.Send(ctx, q); r.Status != StatusRefused || r.RetryAfter < 500*time.Millisecond || r.RetryAfter > 1100*time.Millisecond {
			t.Errorf("%+v, want the rest of 1.1 s", r)
		}
	})
}
