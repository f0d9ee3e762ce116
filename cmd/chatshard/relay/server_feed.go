package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"
)

// feed is what one stream reads: a reader of its own or one of a name.
type feed struct {
	*Reader
	member *Member
	who    *guest
	server *Server
	out    *outputMetrics
	output string
	handed Cursor // up to where all has been written
}

// buffers are batches on their way. A stream has one while it has something to
// write, none while it waits.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, batchBytes+8<<10); return &b }}

// batchFull ends a batch, so that most are not above batchBytes: on the way to
// this machine itself that is one segment, and a byte more would make it two.
const batchFull = batchBytes - 4<<10

// options reads what a request asks for.
func (s *Server) options(r *http.Request, q url.Values) (o SubscribeOptions, err error) {
	if o.Filter, err = ParseFilter(q); err != nil {
		return o, err
	}
	if o.Policy, err = ParsePolicy(q.Get("policy")); err != nil {
		return o, err
	}
	from := q.Get("from")
	if id := r.Header.Get("Last-Event-ID"); id != "" { // it is newer: the reader came back
		from = id
		q.Del("since")
		q.Del("last")
	}
	if from != "" {
		if o.From, err = ParseCursor(from); err != nil {
			return o, err
		}
	}
	if since := q.Get("since"); since != "" {
		if d, err := time.ParseDuration(since); err == nil && d > 0 {
			o.Since = s.hub.now().Add(-d)
		} else if n, err := strconv.ParseInt(since, 10, 64); err == nil && n > 0 {
			o.Since = time.Unix(n, 0)
		} else if o.Since, err = time.Parse(time.RFC3339, since); err != nil {
			return o, fmt.Errorf("%w: since=%.40q: want a duration as 10m, seconds since 1970, or a time as 2026-01-02T15:04:05Z", ErrOptions, since)
		}
	}
	if last := q.Get("last"); last != "" {
		if n, err := strconv.Atoi(last); err == nil && n > 0 {
			o.Last = n
		} else if d, err := time.ParseDuration(last); err == nil && d > 0 {
			o.LastFor = d
		} else {
			return o, fmt.Errorf("%w: last=%.40q: want a number as 50, or a duration as 10m", ErrOptions, last)
		}
	}
	if queue := q.Get("queue"); queue != "" {
		if o.Queue, err = strconv.Atoi(queue); err != nil || o.Queue <= 0 {
			return o, fmt.Errorf("%w: queue=%.40q: want a number of bytes", ErrOptions, queue)
		}
	}
	if grace := q.Get("grace"); grace != "" {
		if o.Grace, err = time.ParseDuration(grace); err != nil || o.Grace <= 0 || o.Grace > 10*time.Minute {
			return o, fmt.Errorf("%w: grace=%.40q: want a duration up to 10m", ErrOptions, grace)
		}
	}
	return o, nil
}

// open begins a feed, which close must end.
func (s *Server) open(r *http.Request, output string) (*feed, *problem) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &problem{http.StatusBadRequest, 0, "query: " + cut(err.Error(), 200)}
	}
	o, err := s.options(r, q)
	if err != nil {
		return nil, asProblem(err)
	}
	who := r.Context().Value(guestKey{}).(*guest)
	if !who.enter() {
		return nil, &problem{http.StatusTooManyRequests, 5 * time.Second, "more streams at a time than this token may have"}
	}
	select {
	case s.streams <- struct{}{}:
	default:
		who.leave()
		return nil, &problem{http.StatusServiceUnavailable, 5 * time.Second, "no more streams at a time are served"}
	}
	f := &feed{who: who, server: s, output: output, out: s.metrics.output(output)}
	o.output, o.Idle, o.Name = output, s.cfg.KeepAlive, who.name
	name := q.Get("consumer")
	switch {
	case name != "" && s.consumers == nil:
		err = fmt.Errorf("%w: consumer: this relay keeps no cursors", ErrOptions)
	case name != "":
		if f.member, err = s.consumers.Join(r.Context(), name, o, output == "poll"); err == nil {
			f.Reader, f.member.auto = f.member.Reader, q.Get("ack") == "sent"
		}
	default:
		f.Reader, err = s.hub.Subscribe(r.Context(), o)
	}
	if err != nil {
		<-s.streams
		who.leave()
		return nil, asProblem(err)
	}
	f.handed = f.Cursor()
	return f, nil
}

func (f *feed) close() {
	if f.member != nil {
		f.member.Leave(context.WithoutCancel(f.server.stop)) // the request is over; it is bounded
	} else {
		f.Close()
	}
	<-f.server.streams
	f.who.leave()
}

// next fills a batch: at least one envelope, or nil for nothing.
func (f *feed) next(ctx context.Context, most int, format func(dst []byte, it *Item) []byte) (batch *[]byte, err error) {
	var buf *[]byte
	take := func(it *Item) bool {
		if buf == nil {
			buf = buffers.Get().(*[]byte)
			*buf = (*buf)[:0]
		}
		*buf = format(*buf, it)
		most--
		return len(*buf) < batchFull && most > 0
	}
	if f.member != nil {
		err = f.member.Next(ctx, take)
	} else {
		err = f.Next(ctx, take)
	}
	if err != nil && buf != nil && !errors.Is(err, context.Canceled) {
		err = nil // it comes again
	}
	return buf, err
}

// done says that a batch is written.
func (f *feed) done(ctx context.Context, batch *[]byte) {
	if batch != nil {
		f.out.bytes.Add(float64(len(*batch)))
		f.out.writes.Inc()
		if cap(*batch) <= 4*batchBytes { // one long line must not stay
			buffers.Put(batch)
		}
	}
	if f.member != nil {
		f.member.Done(ctx)
	}
	f.handed = f.Cursor()
}

// patience is for how long a write may take.
func (f *feed) patience() time.Duration {
	if f.opts.Policy == Disconnect {
		return f.opts.Grace
	}
	return f.server.cfg.WriteTimeout
}

// ended logs and counts why a feed ended, and returns what to tell the consumer.
func (f *feed) ended(err error) (reason string) {
	slow := (*SlowError)(nil)
	switch {
	case errors.As(err, &slow):
		reason = "slow"
	case f.server.stop.Err() != nil || errors.Is(err, ErrClosed):
		reason = "stopped"
	case f.who.gone.Err() != nil:
		reason = "revoked"
	case errors.Is(err, os.ErrDeadlineExceeded):
		reason, err = "stuck", fmt.Errorf("nothing was read for %v: %w", f.patience(), err)
	case errors.Is(err, errRebalance):
		reason = "unacknowledged"
	case errors.Is(err, errRenewed):
		reason = "epoch"
	case errors.Is(err, context.Canceled):
		reason = "left"
	default:
		reason = "error"
	}
	f.server.metrics.ended.WithLabelValues(f.output, reason).Inc()
	f.server.log.Debug().Str("output", f.output).Str("consumer", f.opts.Name).Str("reason", reason).Err(err).Msg("stream ended")
	return reason
}

// while returns a context that ends with ctx, with the token or with the server.
// A write that waits for its consumer ends soon after the latter two.
func (f *feed) while(ctx context.Context, deadline func(time.Time) error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	hurried := make(chan struct{})
	stop := context.AfterFunc(f.who.gone, func() {
		defer close(hurried)
		cancel()
		_ = deadline(time.Now().Add(goodbye))
	})
	return ctx, sync.OnceFunc(func() { // called a second time, stop would say that it was too late
		if !stop() {
			<-hurried // or it would be the next request's deadline
		}
		cancel()
	})
}

// goodbye is how long the last write to a consumer may take.
const goodbye = time.Second

// within sets the deadline of a write.
func (f *feed) within(deadline func(time.Time) error) error {
	err := deadline(time.Now().Add(f.patience()))
	if f.who.gone.Err() != nil { // looked at after that: while sets it later, or did before
		err = deadline(time.Now().Add(goodbye))
	}
	return err
}
