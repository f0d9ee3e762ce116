package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	gojson "github.com/goccy/go-json"
)

const (
	ackEvery      = 250 * time.Millisecond
	consumerRetry = 100 * time.Millisecond // after an error, before the next try
	consumerLine  = 64 << 20               // bytes of one envelope, at most
)

// consumer is a program that reads from the relay of a demo: a named consumer
// over HTTP, with the policy block, that acknowledges what it has processed. A
// field that outlives a kill is what such a program would keep on disk, in one
// transaction with what it does to each message.
type consumer struct {
	name  string
	pause time.Duration // for which it stops whenever it has caught up; 0: it does not
	life  time.Duration // after which it is killed and started again; 0: it is not

	number int
	ledger *ledger
	calm   context.Context // when it ends, nobody pauses or is killed any more
	client *http.Client
	opened chan error // what came of the first try to read

	// What it has processed since the relay has confirmed an acknowledgement: the
	// relay may send that again. It survives a kill.
	unconfirmed []processed
	cursor      envelopeCursor
	gaps        int64
	repeats     int64 // that it told by their ids after a restart
	err         error // what ended its last connection, if it was not killed

	at       atomic.Uint64 // the cursor's number
	restarts atomic.Int64
}

// processed is a message or gap.
type processed struct {
	key string
	seq uint64
}

// errKilled ends a life.
var errKilled = errors.New("killed")

// consumerState is how far a consumer is.
type consumerState struct {
	name     string
	behind   uint64 // events
	most     uint64 // events that it was behind, as far as somebody looked
	restarts int64
}

// consumerDone is what came of a consumer.
type consumerDone struct {
	consumerState
	tally
	killed  bool // it was, from time to time
	gaps    int64
	repeats int64
	err     error
}

// begin gives it its connections.
func (c *consumer) begin(dial func(ctx context.Context, network, addr string) (net.Conn, error)) {
	c.opened = make(chan error, 1)
	c.client = &http.Client{Transport: &http.Transport{DialContext: dial, ReadBufferSize: 64 << 10}}
}

// done is called when run has returned.
func (c *consumer) done() consumerDone {
	return consumerDone{
		tally:  c.ledger.verdict(c.number),
		killed: c.life > 0, gaps: c.gaps, repeats: c.repeats, err: c.err,
	}
}

// run reads until ctx ends.
func (c *consumer) run(ctx context.Context) {
	for {
		err := c.live(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errKilled):
			c.restarts.Add(1)
			continue
		}
		c.err = err
		select {
		case <-ctx.Done():
			return
		case <-time.After(consumerRetry):
		}
	}
}

// live is its life from a start to a kill.
func (c *consumer) live(ctx context.Context) error {
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	res, err := c.open(ctx)
	select {
	case c.opened <- err:
	default: // it was not the first
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if c.life > 0 {
		due := time.AfterFunc(c.life, func() {
			if c.calm.Err() == nil {
				kill(errKilled)
			}
		})
		defer due.Stop()
	}
	member := res.Header.Get("Chatshard-Member")
	again := make(map[string]bool) // what may come again, and has not yet
	for _, p := range c.unconfirmed {
		again[p.key] = true
	}
	in := bufio.NewScanner(res.Body)
	in.Buffer(make([]byte, 64<<10), consumerLine)
	acked := time.Now()
	for in.Scan() && ctx.Err() == nil { // the dead process nothing, whatever they have read
		if len(in.Bytes()) == 0 {
			continue
		}
		received, err := c.process(in.Bytes(), again)
		if err == nil && time.Since(acked) >= ackEvery {
			acked = time.Now()
			err = c.ack(ctx, member)
		}
		if err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		if c.pause > 0 && c.calm.Err() == nil && received >= stamp(now().Add(-ackEvery)) { // it has caught up
			c.rest()
		}
	}
	return cmp.Or(context.Cause(ctx), in.Err(), io.ErrUnexpectedEOF)
}

// rest reads nothing for a while.
func (c *consumer) rest() {
	timer := time.NewTimer(c.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.calm.Done():
	}
}

// process takes an envelope and returns when the relay received it.
func (c *consumer) process(line []byte, again map[string]bool) (received string, err error) {
	var e struct {
		ID       string         `json:"id"`
		Cursor   envelopeCursor `json:"cursor"`
		Platform string         `json:"platform"`
		Shard    string         `json:"shard"`
		Kind     string         `json:"kind"`
		Received string         `json:"received"`
		Gap      *envelopeGap   `json:"gap"`
	}
	if err := gojson.Unmarshal(line, &e); err != nil {
		return "", fmt.Errorf("after %d: %w: %.80q", c.cursor.Seq, err, line)
	}
	c.cursor = e.Cursor
	if e.Cursor.Seq > c.at.Load() {
		c.at.Store(e.Cursor.Seq)
	}
	switch e.Kind {
	case "message", "whisper", "user_notice", "gap":
	default:
		return e.Received, nil
	}
	key := e.Platform + " " + e.ID
	if again[key] {
		delete(again, key) // a second copy would be one too many
		c.repeats++
		return e.Received, nil
	}
	c.unconfirmed = append(c.unconfirmed, processed{key, e.Cursor.Seq})
	if e.Kind != "gap" {
		c.ledger.saw(c.number, e.Platform, e.ID)
		return e.Received, nil
	}
	c.gaps++
	if e.Shard == "" && e.Gap != nil { // the relay's own
		from, _ := time.Parse(time.RFC3339, e.Gap.From)
		to, err := time.Parse(time.RFC3339, e.Gap.To)
		if err == nil {
			c.ledger.excuse(c.number, from, to)
		}
	}
	return e.Received, nil
}

// open begins a stream.
func (c *consumer) open(ctx context.Context) (*http.Response, error) {
	return c.ask(ctx, http.MethodGet, "stream?policy=block&consumer="+c.name, http.StatusOK)
}

// ack acknowledges what was processed.
func (c *consumer) ack(ctx context.Context, member string) error {
	at := url.QueryEscape(fmt.Sprintf("%s:%d", c.cursor.Epoch, c.cursor.Seq))
	res, err := c.ask(ctx, http.MethodPost, "ack?consumer="+c.name+"&member="+member+"&cursor="+at, http.StatusNoContent)
	if err != nil {
		return err
	}
	// After a restart it may be at what it processed before.
	c.unconfirmed = slices.DeleteFunc(c.unconfirmed, func(p processed) bool { return p.seq <= c.cursor.Seq })
	return res.Body.Close()
}

// ask makes a request; an answer with another status is an error.
func (c *consumer) ask(ctx context.Context, method, what string, want int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost/v1/"+what, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.client.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, err
	}
	if res.StatusCode != want {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 200))
		_ = res.Body.Close()
		return nil, fmt.Errorf("%s: %s", res.Status, text)
	}
	return res, nil
}
