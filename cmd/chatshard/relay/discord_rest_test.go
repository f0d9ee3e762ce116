package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/channels"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

// discordChat is a Router with one bot against a discordtest.Server.
type discordChat struct {
	*Router
	t       *testing.T
	srv     *discordtest.Server
	channel string // discord:ID
	path    string // of its messages
}

func playDiscord(t *testing.T, wire func(http.RoundTripper) http.RoundTripper, story func(t *testing.T, c *discordChat)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := discordtest.New(nil)
		defer s.Close()
		h := s.HTTPClient()
		defer h.CloseIdleConnections()
		if wire != nil {
			h.Transport = wire(h.Transport)
		}
		id := discordtest.Channel(s.Guilds("")[0], 0)
		c := &discordChat{t: t, srv: s, channel: fmt.Sprint("discord:", id), path: fmt.Sprintf("/channels/%d/messages", id)}
		c.Router = NewRouter(Route{
			Platform: channels.Discord, Account: "bot",
			Sender: NewDiscordSender(discord.FixedToken("bot-token"), &DiscordConfig{API: "http://discord.test/api/v10", HTTPClient: h}),
		})
		story(t, c)
	})
}

func (c *discordChat) send(text string) SendResult {
	return c.Send(context.Background(), SendRequest{To: c.channel, Text: text})
}

func (c *discordChat) want(r SendResult, status, code string) {
	c.t.Helper()
	if r.Status != status || r.Code != code || (r.Reason == "") != (status == StatusSent) {
		c.t.Errorf("%+v, want %s %q", r, status, code)
	}
}

func TestSendDiscord(t *testing.T) {
	playDiscord(t, nil, func(t *testing.T, c *discordChat) {
		r := c.send("hello @everyone\n<@1>")
		c.want(r, StatusSent, "")
		posts := c.srv.Posts()
		if len(posts) != 1 || posts[0].ID.String() != r.IDs[0] || posts[0].Content != "hello @everyone\n<@1>" {
			t.Fatalf("%+v, posted %+v", r, posts)
		}
		var body struct {
			Nonce    string
			Enforce  bool                       `json:"enforce_nonce"`
			Mentions map[string]json.RawMessage `json:"allowed_mentions"`
		}
		if err := json.Unmarshal(posts[0].Body, &body); err != nil || len(body.Nonce) != 24 || !body.Enforce || string(body.Mentions["parse"]) != "[]" {
			t.Errorf("sent %s, %v", posts[0].Body, err)
		}
		c.want(c.Send(t.Context(), SendRequest{To: c.channel, Text: "to you", ReplyTo: r.IDs[0]}), StatusSent, "")
		if b := c.srv.Posts()[1].Body; !strings.Contains(string(b), `"message_reference":{"message_id":"`+r.IDs[0]+`"}`) {
			t.Errorf("sent %s", b)
		}
		c.want(c.Send(t.Context(), SendRequest{To: c.channel, Text: "x", ReplyTo: "null"}), StatusRefused, CodeBadReply)
		c.want(c.Send(t.Context(), SendRequest{To: "discord:1", Text: "x"}), StatusRefused, "10003")
		r = c.send(strings.Repeat("ü", 2000) + "\n" + strings.Repeat("x", 1999) + " y")
		if c.want(r, StatusSent, ""); r.Parts != 3 || len(r.IDs) != 3 {
			t.Errorf("%+v", r)
		}
		if n := c.srv.ViolationCount(discordtest.RESTLimit); n != 0 {
			t.Errorf("%d limits were broken", n)
		}
	})
}

func TestSendDiscordLimits(t *testing.T) {
	playDiscord(t, nil, func(t *testing.T, c *discordChat) {
		began := time.Now()
		for i := range 12 { // five in 5 s
			c.want(c.send(fmt.Sprint("message ", i)), StatusSent, "")
		}
		if d := time.Since(began); d < 10*time.Second || d > 11*time.Second {
			t.Errorf("took %v", d)
		}
		for i := range 3 {
			c.send(fmt.Sprint("more ", i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		r := c.Send(ctx, SendRequest{To: c.channel, Text: "no time"})
		c.want(r, StatusRefused, CodeRateLimited)
		if r.RetryAfter < 4*time.Second || r.RetryAfter > 5*time.Second || time.Since(began) > 0 {
			t.Errorf("%+v after %v, want it to be said at once", r, time.Since(began))
		}
		time.Sleep(r.RetryAfter)
		c.want(c.send("in time"), StatusSent, "")
		if n := c.srv.ViolationCount(discordtest.RESTLimit); n != 0 {
			t.Errorf("%d limits were broken", n)
		}
	})
}

// faulty does things to answers and requests.
type faulty struct {
	next http.RoundTripper
	f    func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error)
	mu   sync.Mutex
	n    int
}

func (f *faulty) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.n++
	n := f.n
	f.mu.Unlock()
	return f.f(n, r, func() (*http.Response, error) { return f.next.RoundTrip(r) })
}

func restReply(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func TestSendDiscordFaults(t *testing.T) {
	const form = `{"message":"Invalid Form Body","code":50035,"errors":{"message_reference":{"_errors":[{"code":"REPLIES_UNKNOWN_MESSAGE","message":"Unknown message"}]}}}`
	posted := func(send func() (*http.Response, error), err error) (*http.Response, error) {
		r, e := send()
		if e == nil {
			r.Body.Close()
			e = err
		}
		return nil, e
	}
	for _, c := range []struct {
		name         string
		f            func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error)
		status, code string
		reason       string
		requests     int // 0: several
		posts        int
		took         time.Duration // at least
	}{
		{"lost after the write, then well", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			if n <= 2 {
				return posted(send, io.ErrUnexpectedEOF)
			}
			return send()
		}, StatusSent, "", "", 3, 1, 0},
		{"lost after the write, always", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			return posted(send, io.ErrUnexpectedEOF)
		}, StatusUnknown, CodeLost, "lost before Discord answered", 0, 1, 8 * time.Second},
		{"no dial", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Err: errors.New("no route, Bot bot-token")}
		}, StatusRefused, CodeNotReady, "no route, Bot ***", 0, 0, 8 * time.Second},
		{"no dial the second time", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			if n == 1 {
				return posted(send, io.ErrUnexpectedEOF)
			}
			return nil, &net.OpError{Op: "dial", Err: errors.New("no route")}
		}, StatusUnknown, CodeServerError, "no clear answer", 0, 1, 8 * time.Second},
		{"503, then well", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			if n == 1 {
				return restReply(503, "upstream"), nil
			}
			return send()
		}, StatusSent, "", "", 2, 1, 125 * time.Millisecond},
		{"500", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			return restReply(500, "<html>"), nil
		}, StatusUnknown, CodeServerError, "HTTP 500", 0, 0, 8 * time.Second},
		{"401", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			return restReply(401, `{"message":"401: Unauthorized","code":0}`), nil
		}, StatusRefused, CodeUnauthorized, "401: Unauthorized", 1, 0, 0},
		{"403", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			return restReply(403, `{"message":"Missing Permissions","code":50013}`), nil
		}, StatusRefused, "50013", "Missing Permissions", 1, 0, 0},
		{"form", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			return restReply(400, form), nil
		}, StatusRefused, "50035", "Invalid Form Body: Unknown message", 1, 0, 0},
		{"302 of a proxy", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			return restReply(302, "", "Location", "http://elsewhere.test/"), nil
		}, StatusRefused, "302", "HTTP 302", 1, 0, 0},
		{"413 of a proxy", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			return restReply(413, "<html>"), nil
		}, StatusRefused, "413", "HTTP 413", 1, 0, 0},
		{"429 of the bucket", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			if n == 1 {
				return restReply(429, `{}`, "Retry-After", "3", "X-RateLimit-Bucket", "x", "X-RateLimit-Scope", "shared"), nil
			}
			return send()
		}, StatusSent, "", "", 2, 1, 3 * time.Second},
		{"429 of Cloudflare", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			if n == 1 {
				return restReply(429, `error code: 1015`, "Retry-After", "2.5"), nil
			}
			return send()
		}, StatusSent, "", "", 2, 1, 2500 * time.Millisecond},
		{"429 for an hour", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			return restReply(429, `{}`, "Retry-After", "3600", "X-RateLimit-Global", "true"), nil
		}, StatusRefused, CodeRateLimited, "1h0m0s", 1, 0, 0},
		{"429 without a time", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			return restReply(429, `{}`), nil
		}, StatusRefused, CodeRateLimited, "", restTries, 0, 4 * time.Second},
		{"an endless answer", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			if n == 1 {
				res := restReply(403, "")
				res.Body = io.NopCloser(endless{})
				return res, nil
			}
			return send()
		}, StatusRefused, "403", "HTTP 403", 1, 0, 0},
		{"200 without JSON", func(n int, r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			if n == 1 {
				posted(send, nil)
				return restReply(200, "<html>"), nil
			}
			return send()
		}, StatusSent, "", "", 2, 1, 0},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			var wire *faulty
			playDiscord(t, func(next http.RoundTripper) http.RoundTripper {
				wire = &faulty{next: next, f: c.f}
				return wire
			}, func(t *testing.T, d *discordChat) {
				began := time.Now()
				r := d.Send(t.Context(), SendRequest{To: d.channel, Text: "hello", Key: "k"})
				took := time.Since(began)
				d.want(r, c.status, c.code)
				if !strings.Contains(r.Reason, c.reason) || took < c.took || took > sendTimeout {
					t.Errorf("%+v after %v", r, took)
				}
				if n := len(d.srv.Posts()); n != c.posts || c.requests != 0 && wire.n != c.requests || c.requests == 0 && wire.n < 3 {
					t.Errorf("%d requests made %d posts, want %d and %d", wire.n, n, c.requests, c.posts)
				}
				if c.code == CodeUnauthorized {
					if d.want(d.send("again"), StatusRefused, CodeUnauthorized); wire.n != 1 {
						t.Errorf("a token that was turned down was tried again")
					}
				}
			})
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestSendDiscordHost(t *testing.T) {
	playDiscord(t, nil, func(t *testing.T, c *discordChat) {
		c.srv.Inject(discordtest.Fault{Kind: discordtest.BlackHole, Times: 1}, discordtest.Target{Host: discordtest.REST})
		c.want(c.send("after the black hole"), StatusSent, "")
		c.srv.Inject(discordtest.Fault{Kind: discordtest.BlackHole}, discordtest.Target{Host: discordtest.REST})
		began := time.Now()
		c.want(c.send("into it"), StatusUnknown, CodeSilence)
		if d := time.Since(began); d > sendTimeout {
			t.Errorf("the answer took %v", d)
		}
		c.srv.Heal()
		c.srv.SetToken("", "another-token")
		time.Sleep(time.Minute)
		c.want(c.send("as nobody"), StatusRefused, CodeUnauthorized)
		if n := len(c.srv.Posts()); n != 1 {
			t.Errorf("%d posts", n)
		}
	})
}

// TestSendDiscordOnAPort is the same with real sockets.
func TestSendDiscordOnAPort(t *testing.T) {
	s := discordtest.New(nil)
	defer s.Close()
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Client{Transport: &http.Transport{}}
	defer h.CloseIdleConnections()
	sender := NewDiscordSender(discord.FixedToken("Bot bot-token"), &DiscordConfig{API: "http://" + addr.String() + "/api/v10/", HTTPClient: h})
	r := NewRouter(Route{Platform: channels.Discord, Sender: sender})
	var wg sync.WaitGroup
	for i := range 10 { // channels at once
		wg.Go(func() {
			to := fmt.Sprint("discord:", discordtest.Channel(s.Guilds("")[i], 0))
			for range 2 {
				if res := r.Send(t.Context(), SendRequest{To: to, Text: "hello", Key: to}); res.Status != StatusSent || res.IDs[0] == "" {
					t.Errorf("%+v", res)
				}
			}
		})
	}
	wg.Wait()
	if n := len(s.Posts()); n != 10 {
		t.Errorf("%d posts, want 10", n)
	}
}
