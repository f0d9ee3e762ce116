package discord

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	defaultAPI = "https://discord.com/api/v10"

	restMost  = 4 << 20          // bytes of an answer
	restTries = 5                // requests until an answer that counts
	restWait  = 60 * time.Second // longest Retry-After that is waited out
)

// GatewayInfo is what GET /gateway/bot says (events/gateway, "Get Gateway Bot").
type GatewayInfo struct {
	URL    string // of the gateway
	Shards int    // as many as Discord advises
	Limit  StartLimit
	At     time.Time // when it was said
}

// StartLimit is the session start limit of a bot.
type StartLimit struct {
	Total, Remaining int
	ResetAfter       time.Duration // from GatewayInfo.At; 0 where nothing has been spent
	MaxConcurrency   int           // IDENTIFYs per 5 s, one per shard_id % MaxConcurrency
}

// Application is what GET /applications/@me says of the bot.
type Application struct {
	ID, Name string
	Flags    uint64
	Guilds   int // approximate
}

// Flags of an application that stand for intents (resources/application): each
// intent has one for verified bots and one for the others.
var applicationFlags = map[Intents]uint64{
	IntentGuildPresences: 1<<12 | 1<<13,
	IntentGuildMembers:   1<<14 | 1<<15,
	IntentMessageContent: 1<<18 | 1<<19,
}

// Privileged returns the privileged intents that are enabled for the bot.
func (a Application) Privileged() Intents {
	var i Intents
	for intent, flags := range applicationFlags {
		if a.Flags&flags != 0 {
			i |= intent
		}
	}
	return i
}

// userAgent is what Discord demands of REST clients (reference, "User Agent").
var userAgent = sync.OnceValue(func() string {
	version := "devel"
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(b.Deps, &b.Main) {
			if m.Path == "github.com/chatshard/chatshard" && m.Version != "" && m.Version != "(devel)" {
				version = strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	return "DiscordBot (https://github.com/chatshard/chatshard, " + version + ")"
})

// rest reads the little of the REST API that a gateway client needs.
type rest struct {
	base   string // default defaultAPI
	token  TokenFunc
	client *http.Client // default: one with a timeout of 15 s
}

var defaultClient = &http.Client{Timeout: 15 * time.Second}

func (r *rest) gateway(ctx context.Context) (GatewayInfo, error) {
	var a struct {
		URL    string `json:"url"`
		Shards int    `json:"shards"`
		Limit  struct {
			Total          int   `json:"total"`
			Remaining      int   `json:"remaining"`
			ResetAfter     int64 `json:"reset_after"`
			MaxConcurrency int   `json:"max_concurrency"`
		} `json:"session_start_limit"`
	}
	if err := r.read(ctx, "/gateway/bot", &a); err != nil {
		return GatewayInfo{}, err
	}
	u, err := url.Parse(a.URL)
	if err != nil || u.Host == "" || u.Scheme != "wss" && u.Scheme != "ws" || a.Shards < 1 || a.Limit.Remaining < 0 {
		return GatewayInfo{}, fmt.Errorf("%w: /gateway/bot: no address or no number of shards in the answer", ErrProtocol)
	}
	l := StartLimit{
		Total: a.Limit.Total, Remaining: a.Limit.Remaining, MaxConcurrency: max(a.Limit.MaxConcurrency, 1),
		ResetAfter: time.Duration(min(max(a.Limit.ResetAfter, 0), int64(7*24*time.Hour/time.Millisecond))) * time.Millisecond,
	}
	return GatewayInfo{URL: a.URL, Shards: a.Shards, Limit: l, At: time.Now()}, nil
}

func (r *rest) application(ctx context.Context) (Application, error) {
	var a struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Flags  uint64 `json:"flags"`
		Guilds int    `json:"approximate_guild_count"`
	}
	if err := r.read(ctx, "/applications/@me", &a); err != nil {
		return Application{}, err
	}
	if !isID(a.ID) {
		return Application{}, fmt.Errorf("%w: /applications/@me: no id in the answer", ErrProtocol)
	}
	return Application{ID: a.ID, Name: a.Name, Flags: a.Flags, Guilds: max(a.Guilds, 0)}, nil
}

// errRest is an answer after which another try may help.
type errRest struct {
	err  error
	wait time.Duration // as the service asks; 0: back off
}

func (e *errRest) Error() string { return e.err.Error() }
func (e *errRest) Unwrap() error { return e.err }

// read GETs a path into a struct. Answers that say "later" are asked again, a
// few times, within ctx.
func (r *rest) read(ctx context.Context, path string, into any) error {
	backoff := 500 * time.Millisecond
	for try := 1; ; try++ {
		err := r.once(ctx, path, into)
		var again *errRest
		if err == nil || !errors.As(err, &again) || ctx.Err() != nil {
			return err
		}
		if try == restTries || again.wait > restWait {
			return again.err
		}
		wait := again.wait
		if wait == 0 {
			wait = backoff/2 + rand.N(backoff/2+1)
			backoff *= 2
		}
		if until, ok := ctx.Deadline(); ok && time.Until(until) < wait {
			return fmt.Errorf("%w; asked to wait %v, for which there is no time", again.err, wait)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%w: %w", again.err, ctx.Err())
		case <-t.C:
		}
	}
}

func (r *rest) once(ctx context.Context, path string, into any) error {
	token, err := r.token(ctx)
	if err != nil {
		return fmt.Errorf("discord: asking for the token: %w", err)
	}
	token = NewSecret(bare(token.Reveal()))
	base, client := r.base, r.client
	if base == "" {
		base = defaultAPI
	}
	if client == nil {
		client = defaultClient
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+path, nil)
	if err != nil {
		return fmt.Errorf("%w: API: %s", ErrConfig, hide(err.Error(), token))
	}
	if !headerSafe(token.Reveal()) {
		return fmt.Errorf("%w (it is empty or has characters that no token has)", ErrToken)
	}
	req.Header.Set("User-Agent", userAgent())
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bot "+token.Reveal())
	res, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("discord: GET %s: %w", path, ctx.Err())
		}
		return &errRest{err: fmt.Errorf("discord: GET %s: %s", path, hide(err.Error(), token))}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, restMost+1))
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return ErrToken
	case res.StatusCode == http.StatusTooManyRequests:
		wait := retryAfter(res.Header.Get("Retry-After"), body)
		return &errRest{err: fmt.Errorf("discord: GET %s: rate limited (429) for %v", path, wait), wait: wait}
	case res.StatusCode >= 500:
		return &errRest{err: fmt.Errorf("discord: GET %s: HTTP %d", path, res.StatusCode)}
	case res.StatusCode != http.StatusOK:
		text := strings.ToValidUTF8(string(body[:min(len(body), 200)]), "?")
		return fmt.Errorf("discord: GET %s: HTTP %d: %q", path, res.StatusCode, hide(text, token))
	case err != nil:
		return &errRest{err: fmt.Errorf("discord: GET %s: %s", path, hide(err.Error(), token))}
	case len(body) > restMost:
		return fmt.Errorf("%w: GET %s: an answer of over %d bytes", ErrProtocol, path, restMost)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: GET %s: %s", ErrProtocol, path, hide(err.Error(), token))
	}
	return nil
}

// retryAfter returns for how long a 429 asks to wait: the header has seconds,
// the body may have them more exactly (topics/rate-limits).
func retryAfter(header string, body []byte) time.Duration {
	s, err := strconv.ParseFloat(header, 64)
	var b struct {
		After float64 `json:"retry_after"`
	}
	if json.Unmarshal(body, &b) == nil && b.After > 0 {
		s, err = b.After, nil
	}
	if err != nil || !(s > 0) {
		return time.Second
	}
	return time.Duration(min(s, 24*3600)*1000) * time.Millisecond
}

// headerSafe reports whether a token can stand in a header.
func headerSafe(token string) bool {
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return false
		}
	}
	return token != ""
}

// isID reports whether s can be a snowflake.
func isID(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil && s[0] != '+'
}
