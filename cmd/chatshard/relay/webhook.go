package relay

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Webhook posts envelopes to a URL, in batches, one after the other: so each
// channel's order is kept. A batch that is not taken is sent again until it is,
// or until GiveUp, when it goes to the dead letters and the next one follows.
//
// A batch is a POST of NDJSON, or of a JSON array, with
//
//	Chatshard-Delivery:  EPOCH:FIRST-LAST   the same when it is sent again
//	Chatshard-Signature: t=UNIX,v1=HEX      HMAC-SHA256 of "UNIX.BODY" with the secret
//
// Any 2xx acknowledges it. 429 and 503 may say Retry-After. 410 ends the
// webhook; other 4xx but 408, 409, 425 and 429 are final for the batch.
type Webhook struct {
	Name        string // in logs, and of its durable cursor, that of the consumer "webhook." and the name
	URL         string
	Secret      string // default: no signature
	Filter      Filter
	Policy      Policy            // when it falls behind; Block or DropOldest
	Array       bool              // a JSON array; default: NDJSON
	Batch       int               // envelopes at most; default 100
	Bytes       int               // of a body, about; default 256 KiB
	Header      map[string]string // more of them; values may be secret
	Timeout     time.Duration     // of a request; default 10 s
	GiveUp      time.Duration     // on a batch; default 1 h
	DeadLetters string            // a file; default: only logged
	DeadBytes   int64             // of it; then it becomes FILE.1, and that is gone; default 64 MiB
	Client      *http.Client      // default: one that follows no redirects
	Logger      zerolog.Logger

	delivered, retried, dead atomic.Uint64
}

// ErrGone says that a webhook's URL does not want any more.
var ErrGone = errors.New("relay: webhook: 410 Gone")

const (
	retryFirst = 500 * time.Millisecond
	retryMost  = 2 * time.Minute
)

// Check says what is wrong with the configuration.
func (w *Webhook) Check() error {
	if !WebhookURL(w.URL) {
		// Not printed: such URLs are secrets.
		return fmt.Errorf("%w: webhook %q: url: want http://… or https://…", ErrServer, w.Name)
	}
	if !WebhookName(w.Name) {
		return fmt.Errorf("%w: webhook: name %q: want 1 to 56 letters, digits, _ . or -", ErrServer, w.Name)
	}
	if w.Policy != Block && w.Policy != DropOldest {
		return fmt.Errorf("%w: webhook %q: policy %v: want block or drop_oldest", ErrServer, w.Name, w.Policy)
	}
	if w.Batch < 0 || w.Bytes < 0 || w.Timeout < 0 || w.GiveUp < 0 || w.DeadBytes < 0 {
		return fmt.Errorf("%w: webhook %q: a negative limit", ErrServer, w.Name)
	}
	return w.Filter.Check()
}

// webhookConsumer keeps the names of webhooks apart from those that readers
// choose.
const webhookConsumer = "webhook."

// WebhookName reports whether a webhook can have a name.
func WebhookName(name string) bool {
	return name != "" && consumerName.MatchString(webhookConsumer+name)
}

// WebhookURL reports whether a webhook can post to a URL.
func WebhookURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// Counts returns how many envelopes were taken, how often a batch was sent
// again, and how many envelopes went to the dead letters.
func (w *Webhook) Counts() (delivered, retried, dead uint64) {
	return w.delivered.Load(), w.retried.Load(), w.dead.Load()
}

// Run delivers until ctx ends, from where it was the last time.
func (w *Webhook) Run(ctx context.Context, all *Consumers) error {
	if err := w.Check(); err != nil {
		return err
	}
	for {
		if err := w.read(ctx, all); !errors.Is(err, errRenewed) {
			return err
		}
	}
}

// read delivers until the epoch or ctx ends.
func (w *Webhook) read(ctx context.Context, all *Consumers) error {
	m, err := all.Join(ctx, webhookConsumer+w.Name, SubscribeOptions{Filter: w.Filter, Policy: w.Policy, Idle: 15 * time.Second, output: "webhook"}, true)
	if err != nil {
		return err
	}
	defer m.Leave(ctx)
	most, size := or(w.Batch, 100), or(w.Bytes, 256<<10)
	var body []byte
	for {
		body = body[:0]
		n, first, last := 0, uint64(0), uint64(0)
		err := m.Next(ctx, func(it *Item) bool {
			if n == 0 {
				first = it.Seq
			}
			last = it.Seq
			switch {
			case w.Array && n == 0:
				body = append(body, '[')
			case w.Array:
				body = append(body, ',')
			}
			body = append(body, it.Line...)
			if !w.Array {
				body = append(body, '\n')
			}
			n++
			return n < most && len(body) < size
		})
		if n > 0 {
			if w.Array {
				body = append(body, ']')
			}
			err = w.deliver(ctx, body, n, fmt.Sprintf("%s:%d-%d", m.of, first, last))
			if err == nil {
				m.auto = true
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && (n > 0 || errors.Is(err, ErrClosed) || errors.Is(err, errRebalance) || errors.Is(err, errRenewed)) {
			return err // what could be neither delivered nor buried stays unacknowledged
		}
		m.Done(ctx)
		m.auto = false
		if err != nil && !errors.Is(err, ErrIdle) { // the log cannot be read: it will be
			w.Logger.Warn().Str("webhook", w.Name).Err(err).Msg("webhook cannot read the log")
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
}

// deliver sends a batch until it is taken, dead, or ctx ends.
func (w *Webhook) deliver(ctx context.Context, body []byte, n int, id string) error {
	giveUp := time.Now().Add(or(w.GiveUp, time.Hour))
	wait := retryFirst
	for try := 1; ; try++ {
		after, final, err := w.post(ctx, body, id)
		if err == nil {
			w.delivered.Add(uint64(n))
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, ErrGone) {
			return err
		}
		// Full jitter on the upper half, so that many do not come back at once.
		pause := max(wait/2+rand.N(wait/2+1), after)
		if final || time.Now().Add(pause).After(giveUp) {
			if err := w.bury(body, id, try, err); err != nil {
				return err
			}
			w.dead.Add(uint64(n))
			w.Logger.Warn().Str("webhook", w.Name).Str("delivery", id).Int("tries", try).Int("envelopes", n).Err(err).Msg("webhook gave a batch up")
			return nil
		}
		w.retried.Add(1)
		w.Logger.Debug().Str("webhook", w.Name).Str("delivery", id).Err(err).Dur("wait", pause).Msg("webhook tries again")
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
		wait = min(2*wait, retryMost)
	}
}

var webhookClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
	return http.ErrUseLastResponse // the signature is for the one that was configured
}}

// post sends a batch once.
func (w *Webhook) post(ctx context.Context, body []byte, id string) (after time.Duration, final bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, or(w.Timeout, 10*time.Second))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return 0, true, fmt.Errorf("relay: webhook %s: bad url", w.Name)
	}
	for k, v := range w.Header {
		req.Header.Set(k, v)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	if w.Array {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "chatshard")
	req.Header.Set("Chatshard-Delivery", id)
	if w.Secret != "" {
		req.Header.Set("Chatshard-Signature", Sign(w.Secret, time.Now(), body))
	}
	client := w.Client
	if client == nil {
		client = webhookClient
	}
	resp, err := client.Do(req)
	if err != nil {
		if e := (*url.Error)(nil); errors.As(err, &e) { // it prints the URL
			err = e.Err
		}
		return 0, false, fmt.Errorf("relay: webhook %s: %w", w.Name, err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	resp.Body.Close()
	code := resp.StatusCode
	if code/100 == 2 {
		return 0, false, nil
	}
	err = fmt.Errorf("relay: webhook %s: answered %s", w.Name, resp.Status)
	switch {
	case code == http.StatusGone:
		return 0, true, fmt.Errorf("%w: %s: remove it from the configuration", ErrGone, w.Name)
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		return min(retryAfter(resp.Header.Get("Retry-After"), time.Now()), 10*time.Minute), false, err
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusConflict, code == http.StatusTooEarly:
		return 0, false, err
	}
	return 0, true, err
}

// Sign returns the value of Chatshard-Signature.
func Sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, t+".") // never fails
	_, _ = mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3).
func retryAfter(v string, now time.Time) time.Duration {
	if n, err := strconv.ParseInt(v, 10, 32); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}

// bury appends a batch to the dead letters: a line that says why, then the
// envelopes, a line each, or the array.
func (w *Webhook) bury(body []byte, id string, tries int, why error) error {
	if w.DeadLetters == "" {
		return nil
	}
	if st, err := os.Stat(w.DeadLetters); err == nil && st.Size()+int64(len(body)) > or(w.DeadBytes, 64<<20) {
		if err := os.Rename(w.DeadLetters, w.DeadLetters+".1"); err != nil {
			return fmt.Errorf("relay: webhook %s: dead letters: %w", w.Name, err)
		}
	}
	head, _ := json.Marshal(map[string]any{"dead": id, "time": time.Now().UTC().Format(timeFormat), "tries": tries, "error": why.Error()})
	text := append(append(head, '\n'), body...)
	if w.Array {
		text = append(text, '\n')
	}
	f, err := os.OpenFile(w.DeadLetters, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.Write(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil { // it stays unacknowledged, and comes again
		return fmt.Errorf("relay: webhook %s: dead letters: %w", w.Name, err)
	}
	return nil
}

func or[T int | int64 | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}
