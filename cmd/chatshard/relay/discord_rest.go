package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	disgo "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/rest"
	"github.com/disgoorg/snowflake/v2"

	"github.com/chatshard/chatshard/discord"
)

// DiscordConfig is how a [DiscordSender] reaches Discord. Nil and the zero
// value work.
type DiscordConfig struct {
	API        string       // default "https://discord.com/api/v10"
	HTTPClient *http.Client // its Timeout is not used: each answer may take 5 s; default: one as net/http has it
	UserAgent  string       // default names chatshard
	// Mentions says whom messages may notify: "users", "roles", "everyone".
	// Default: nobody, whatever stands in the text.
	Mentions []string
}

const (
	discordAPI    = "https://discord.com/api/v10"
	discordAgent  = "DiscordBot (https://github.com/chatshard/chatshard, devel)"
	discordChars  = 2000
	discordAnswer = 5 * time.Second // for an answer
	restAnswer    = 1 << 20         // bytes of an answer that are read
)

// DiscordSender sends messages as a bot, by disgo's REST client. Each message
// has a nonce that Discord enforces, so that a request without an answer can be
// made again without saying anything twice.
type DiscordSender struct {
	token    discord.TokenFunc
	rest     rest.Client
	limits   *discordLimits
	mentions []disgo.AllowedMentionType

	mu   sync.Mutex // guards what follows
	dead string     // the token that Discord turned down
}

// NewDiscordSender returns a Sender for a bot. The token is asked for at each message.
func NewDiscordSender(token discord.TokenFunc, cfg *DiscordConfig) *DiscordSender {
	c := DiscordConfig{}
	if cfg != nil {
		c = *cfg
	}
	if c.API == "" {
		c.API = discordAPI
	}
	if c.UserAgent == "" {
		c.UserAgent = discordAgent
	}
	client := http.Client{}
	if c.HTTPClient != nil {
		client = *c.HTTPClient
	}
	if client.Transport == nil {
		client.Transport = http.DefaultTransport
	}
	client.Transport, client.Timeout = whole{client.Transport}, 0
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s := &DiscordSender{token: token, limits: newDiscordLimits(), mentions: []disgo.AllowedMentionType{}}
	for _, m := range c.Mentions {
		s.mentions = append(s.mentions, disgo.AllowedMentionType(m))
	}
	s.rest = rest.NewClient("",
		rest.WithURL(strings.TrimSuffix(c.API, "/")), rest.WithHTTPClient(&client), rest.WithUserAgent(c.UserAgent),
		rest.WithRateLimiter(s.limits), rest.WithLogger(slog.New(slog.DiscardHandler)))
	return s
}

// Left returns how many requests may be made now without waiting, whatever single
// channels allow, and how many more answers of 401, 403 or 429 may come before
// nothing is sent for a while: with 10,000 in 10 minutes Discord bans an
// address (topics/rate-limits, "Invalid Request Limit").
func (s *DiscordSender) Left() (requests, invalid int) { return s.limits.left(time.Now()) }

// whole takes in an answer at once, within a time and a size, and closes it:
// disgo reads all of a body and closes none.
type whole struct{ next http.RoundTripper }

func (w whole) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), discordAnswer)
	defer cancel()
	res, err := w.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, restAnswer))
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// Split implements [Sender]: 2,000 characters.
func (s *DiscordSender) Split(_, text string) []string { return splitText(text, 0, discordChars) }

// Pace implements [Pacer].
func (s *DiscordSender) Pace(channel string) time.Duration {
	id, err := snowflake.Parse(channel)
	if err != nil {
		return 0
	}
	return s.limits.pace(rest.CreateMessage.Compile(nil, id))
}

// Send implements [Sender]. What Discord does not take is not sent again; where
// it does not say, the message is sent again with the same nonce while there is
// time.
func (s *DiscordSender) Send(ctx context.Context, m Message) SendResult {
	channel, err := snowflake.Parse(m.Channel.Channel)
	if err != nil {
		return refused(CodeBadChannel, "not the id of a Discord channel")
	}
	body := disgo.MessageCreate{
		Content: m.Text, Nonce: m.Nonce, EnforceNonce: m.Nonce != "",
		AllowedMentions: &disgo.AllowedMentions{Parse: s.mentions, Roles: []snowflake.ID{}, Users: []snowflake.ID{}},
	}
	if m.ReplyTo != "" {
		n, err := strconv.ParseUint(m.ReplyTo, 10, 64)
		if err != nil {
			return refused(CodeBadReply, "reply_to is not the id of a Discord message")
		}
		id := snowflake.ID(n)
		// A message that is gone is a reason to refuse: fail_if_not_exists is
		// true by default.
		body.MessageReference = &disgo.MessageReference{MessageID: &id}
	}
	backoff := 250 * time.Millisecond
	maybe := false // an attempt may have been taken
	for {
		res := s.once(ctx, channel, body)
		again := res.Status == StatusUnknown && m.Nonce != "" || res.Code == CodeNotReady
		if again && pause(ctx, backoff/2+rand.N(backoff)) {
			maybe = maybe || res.Status == StatusUnknown
			backoff = min(2*backoff, 4*time.Second)
			continue
		}
		if maybe && res.Status == StatusRefused && (res.RetryAfter > 0 || res.Code == CodeCancelled) {
			return unknown(CodeServerError, "an attempt had no clear answer, and then: "+res.Reason)
		}
		return res
	}
}

// once makes one request.
func (s *DiscordSender) once(ctx context.Context, channel snowflake.ID, body disgo.MessageCreate) SendResult {
	secret, err := s.token(ctx)
	if err != nil {
		return later(CodeNotReady, "asking for the token: "+clipped(err.Error()), 5*time.Second)
	}
	token := secret.Reveal()
	token = strings.TrimPrefix(strings.TrimSpace(token), "Bot ")
	if token == "" || !isToken(token, 1<<10) || s.turnedDown(token) {
		return refused(CodeUnauthorized, "Discord does not accept the bot's token")
	}
	var made struct {
		ID string `json:"id"`
	}
	err = s.rest.Do(rest.CreateMessage.Compile(nil, channel), body, &made, boundBy(ctx), rest.WithToken(disgo.TokenTypeBot, token))
	var limit *limitError
	var answer rest.Error
	var dial *net.OpError
	var request *url.Error
	switch {
	case err == nil:
		return SendResult{Status: StatusSent, IDs: []string{made.ID}}
	case errors.As(err, &limit) && ctx.Err() != nil:
		return interrupted(ctx, "Discord's rate limit left no room", limit.after)
	case errors.As(err, &limit):
		return later(CodeRateLimited, limit.Error(), limit.after)
	case errors.As(err, &answer):
		res := s.answered(&answer)
		if answer.Response.StatusCode == http.StatusUnauthorized {
			s.turnDown(token)
		}
		return res
	case errors.As(err, &dial) && dial.Op == "dial":
		return later(CodeNotReady, "no connection to Discord: "+hideToken(dial.Error(), token), 5*time.Second)
	case ctx.Err() != nil || errors.As(err, &request) && request.Timeout():
		return unknown(CodeSilence, "Discord did not answer in time")
	}
	return unknown(CodeLost, "the connection was lost before Discord answered: "+hideToken(err.Error(), token))
}

// boundBy bounds a request by ctx. With [rest.WithCtx] alone, disgo 0.18 waits
// for limits within ctx but makes the request without it.
func boundBy(ctx context.Context) rest.RequestOpt {
	return func(c *rest.RequestConfig) { c.Ctx, c.Request = ctx, c.Request.WithContext(ctx) }
}

// answered is what an answer other than success means.
func (s *DiscordSender) answered(e *rest.Error) SendResult {
	status := e.Response.StatusCode
	code, reason := strconv.Itoa(status), e.Message
	if e.Code != 0 {
		code = strconv.Itoa(int(e.Code))
	}
	if reason == "" {
		reason = fmt.Sprintf("HTTP %d %s", status, http.StatusText(status))
	}
	if detail := formErrors(e.Errors); detail != "" {
		reason += ": " + detail
	}
	switch {
	case status == http.StatusTooManyRequests:
		return later(CodeRateLimited, reason, s.limits.retryAfter(e.Response))
	case status == http.StatusUnauthorized:
		return refused(CodeUnauthorized, reason)
	case status >= 500:
		return unknown(CodeServerError, reason)
	}
	return refused(code, reason)
}

// formErrors returns the messages in the errors of a form, which are nested by
// the names of its fields (reference, "Error Messages").
func formErrors(raw []byte) string {
	var form any
	if len(raw) > 16<<10 || json.Unmarshal(raw, &form) != nil {
		return ""
	}
	var all []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			if text, ok := v["message"].(string); ok && len(all) < 5 {
				all = append(all, text)
			}
			for name, x := range v {
				if name != "message" {
					walk(x)
				}
			}
		}
	}
	walk(form)
	return strings.Join(all, "; ")
}

func (s *DiscordSender) turnedDown(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead == token
}

func (s *DiscordSender) turnDown(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = token
}

// hideToken takes a token out of an error.
func hideToken(text, token string) string { return strings.ReplaceAll(text, token, "***") }

// pause waits, and reports whether ctx let it: it does not begin where ctx ends
// sooner.
func pause(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < d || ctx.Err() != nil {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
