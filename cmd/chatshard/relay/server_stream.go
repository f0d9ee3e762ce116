package relay

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func appendNDJSON(dst []byte, it *Item) []byte {
	return append(append(dst, it.Line...), '\n')
}

// sseFormat writes events whose id is the cursor, which a browser sends back as
// Last-Event-ID. JSON has no line break, so that data is one line.
func sseFormat(epoch string) func(dst []byte, it *Item) []byte {
	return func(dst []byte, it *Item) []byte {
		dst = append(dst, "id: "...)
		dst = append(dst, epoch...)
		dst = append(dst, ':')
		dst = strconv.AppendUint(dst, it.Seq, 10)
		dst = append(dst, "\ndata: "...)
		dst = append(dst, it.Line...)
		return append(dst, '\n', '\n')
	}
}

// told are the reasons for which a stream ends that its consumer hears of.
var told = []string{"slow", "unacknowledged", "epoch", "revoked"}

// stream is GET /v1/stream and /v1/sse.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	sse := r.URL.Path == "/v1/sse" || strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	output, format := "ndjson", appendNDJSON
	if sse {
		output = "sse"
	}
	f, problem := s.open(r, output)
	if problem != nil {
		problem.write(w)
		return
	}
	defer f.close()
	if sse {
		format = sseFormat(f.of)
	}
	c := http.NewResponseController(w)
	ctx, cancel := f.while(r.Context(), c.SetWriteDeadline)
	defer cancel()
	_ = c.SetReadDeadline(time.Time{}) // nothing is to be read: the server's would end the stream
	header := w.Header()
	header.Set("Content-Type", "application/x-ndjson")
	if sse {
		header.Set("Content-Type", "text/event-stream")
	}
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	if r.ProtoMajor == 1 {
		// It ends with the connection. A chunk takes net/http three writes, the
		// last of two bytes, and each may wake the consumer.
		header.Set("Transfer-Encoding", "identity")
	}
	header.Set("Chatshard-Cursor", f.Cursor().String())
	if f.member != nil {
		header.Set("Chatshard-Member", strconv.FormatUint(f.member.seed, 10))
	}
	write := func(b []byte) error {
		if err := f.within(c.SetWriteDeadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		return c.Flush()
	}
	start := []byte(nil)
	if sse {
		start = fmt.Appendf(nil, "retry: 1000\nid: %v\n\n", f.Cursor())
	}
	err := write(start) // the headers, at least
	for err == nil {
		batch, fail := f.next(ctx, 1<<30, format)
		err = fail
		switch {
		case batch != nil && err == nil:
			err = write(*batch)
		case errors.Is(err, ErrIdle) && sse:
			err = write([]byte(": alive\n\n"))
		case errors.Is(err, ErrIdle):
			err = nil
		}
		if err == nil {
			f.done(ctx, batch)
		}
	}
	if reason := f.ended(err); sse && slices.Contains(told, reason) {
		_ = write(fmt.Appendf(nil, "event: end\ndata: {\"reason\":%q,\"cursor\":%q}\n\n", reason, f.handed))
	}
}

// poll is GET /v1/poll: what there is after a cursor, up to max, as NDJSON. The
// header Chatshard-Cursor says where the next poll begins.
func (s *Server) poll(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	wait, most := 30*time.Second, 1000
	var err error
	if v := q.Get("wait"); v != "" {
		if wait, err = time.ParseDuration(v); err != nil || wait < 0 || wait > time.Minute {
			(&problem{http.StatusBadRequest, 0, "wait=" + strconv.Quote(cut(v, 40)) + ": want a duration up to 1m"}).write(w)
			return
		}
	}
	if v := q.Get("max"); v != "" {
		if most, err = strconv.Atoi(v); err != nil || most < 1 || most > 10_000 {
			(&problem{http.StatusBadRequest, 0, "max=" + strconv.Quote(cut(v, 40)) + ": want 1 to 10000"}).write(w)
			return
		}
	}
	if q.Has("after") {
		q.Set("from", q.Get("after"))
		r.URL.RawQuery = q.Encode()
	}
	f, problem := s.open(r, "poll")
	if problem != nil {
		problem.write(w)
		return
	}
	defer f.close()
	if at := q.Get("ack"); f.member != nil && at != "" && at != "sent" {
		c, err := ParseCursor(at)
		if err == nil {
			err = f.member.confirm(c)
		}
		if err != nil {
			asProblem(err).write(w)
			return
		}
	}
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	ctx, cancel := f.while(r.Context(), c.SetWriteDeadline)
	defer cancel()
	f.opts.Idle = max(wait, time.Millisecond)
	body := []byte{}
	for len(body) < 16*batchBytes && most > 0 {
		batch, err := f.next(ctx, most, func(dst []byte, it *Item) []byte { most--; return appendNDJSON(dst, it) })
		if batch != nil {
			body = append(body, *batch...)
			buffers.Put(batch)
			f.opts.Idle = time.Millisecond // no longer than what is there
			if f.hub.Cursor().Seq <= f.pos.Load() {
				break
			}
			continue
		}
		if errors.Is(err, ErrIdle) {
			break
		}
		if err != nil && len(body) == 0 {
			problem := asProblem(err)
			if s.stop.Err() == nil && f.who.gone.Err() != nil {
				problem.status, problem.wait, problem.text = http.StatusUnauthorized, 0, "the token was taken away"
			}
			problem.write(w)
			return
		}
		if err != nil {
			break
		}
	}
	_ = f.within(c.SetWriteDeadline)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Chatshard-Cursor", f.Cursor().String())
	if _, err = w.Write(body); err == nil {
		err = c.Flush()
	}
	if err == nil && f.member != nil && f.member.auto {
		f.member.Done(ctx)
	}
	f.out.bytes.Add(float64(len(body)))
	f.out.writes.Inc()
}

// ack is POST /v1/ack?consumer=NAME&cursor=EPOCH:SEQ[&member=ID].
func (s *Server) ack(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	at, err := ParseCursor(q.Get("cursor"))
	if err == nil && s.consumers == nil {
		err = fmt.Errorf("%w: consumer: this relay keeps no cursors", ErrOptions)
	}
	var member uint64
	if v := q.Get("member"); err == nil && v != "" {
		if member, err = strconv.ParseUint(v, 10, 64); err != nil {
			err = fmt.Errorf("%w: member=%.40q: want what Chatshard-Member said", ErrOptions, v)
		}
	}
	if err == nil {
		err = s.consumers.Ack(r.Context(), q.Get("consumer"), member, at)
	}
	if err != nil {
		asProblem(err).write(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
