package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	readMessages = 1000
	// readBytes bounds what the engine sends on one request: more than 64 MB on
	// the way to one connection ends it.
	readBytes    = 16 << 20
	readerIdle   = 30 * time.Second
	maxReaders   = 32
	readerPrefix = "chatshard-read-"
)

// Read implements Log. A body belongs to f. A read that goes on where one ended
// lately costs less than one elsewhere.
func (l *NATSLog) Read(ctx context.Context, after, to uint64, f func(seq uint64, body []byte) bool) (uint64, error) {
	var a assembly
	at := after
	var bad error
	err := l.scan(ctx, after, to, func(m *stored) bool {
		body, err := a.add(m, l.cfg.MaxBody)
		if err != nil {
			bad = err
			return false
		}
		at = m.seq
		return body == nil || f(m.seq, body)
	})
	if bad != nil {
		return at, bad
	}
	return at, err
}

// scan calls f for each message in (after, to].
func (l *NATSLog) scan(ctx context.Context, after, to uint64, f func(*stored) bool) error {
	if after >= to {
		return nil
	}
	r, err := l.readers.take(after)
	if r == nil && err == nil {
		r, err = l.newReader(ctx, after)
	}
	if err != nil {
		return err
	}
	for retried := false; ; {
		next, more, err := r.pull(ctx, to, f)
		switch {
		case errors.Is(err, nats.ErrNoResponders) && !retried:
			// The consumer has been forgotten meanwhile.
			retried = true
			r.drop()
			if r, err = l.newReader(ctx, r.at); err != nil {
				return err
			}
			continue
		case err != nil:
			r.drop()
			return l.readError(err)
		case !more, r.at >= to:
			l.readers.put(r)
			return nil
		case next:
			continue
		}
		// Nothing came.
		at := r.at
		r.drop()
		info, err := l.info(ctx)
		if err != nil {
			return err
		}
		if first := info.State.FirstSeq; first > at+1 && at < to {
			return &PrunedError{After: at, First: first}
		}
		return nil
	}
}

func (l *NATSLog) readError(err error) error {
	if errors.As(err, new(*PrunedError)) || errors.Is(err, context.Canceled) {
		return err
	}
	return l.streamError(err)
}

// reader is a consumer of the stream that stands at a number. One goroutine
// uses it at a time.
type reader struct {
	log  *NATSLog
	name string
	sub  *nats.Subscription
	at   uint64
	idle time.Time
	ask  string
	n    int
	left int // messages that were asked for and did not come yet: f had enough
}

func (l *NATSLog) newReader(ctx context.Context, after uint64) (*reader, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*askWithin)
	defer cancel()
	name := readerPrefix + newEpoch()
	_, err := l.js.CreateConsumer(ctx, l.cfg.Stream, jetstream.ConsumerConfig{
		Name: name, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1,
		InactiveThreshold: readerIdle, MaxWaiting: 8,
	})
	if err != nil {
		return nil, l.readError(err)
	}
	r := &reader{log: l, name: name, at: after, ask: "$JS.API.CONSUMER.MSG.NEXT." + l.cfg.Stream + "." + name}
	if r.sub, err = l.read.SubscribeSync(nats.NewInbox() + ".*"); err != nil {
		return nil, l.readError(err)
	}
	r.sub.SetPendingLimits(-1, -1) // bounded by what is asked for
	return r, nil
}

// drop forgets a reader, here and in the engine.
func (r *reader) drop() {
	r.sub.Unsubscribe()
	r.log.read.Publish("$JS.API.CONSUMER.DELETE."+r.log.cfg.Stream+"."+r.name, nil)
}

// pull asks for messages up to a number once, unless some are still on their
// way, and hands them to f. It reports whether any came, and whether f wants more.
func (r *reader) pull(ctx context.Context, to uint64, f func(*stored) bool) (came, more bool, err error) {
	inbox := func() string { return strings.TrimSuffix(r.sub.Subject, "*") + strconv.Itoa(r.n) }
	resumed := r.left > 0
	if !resumed {
		r.n++
		r.left = int(min(readMessages, to-r.at))
		ask, _ := json.Marshal(map[string]any{"batch": r.left, "max_bytes": readBytes, "no_wait": true})
		if err := r.log.read.PublishRequest(r.ask, inbox(), ask); err != nil {
			return false, true, err
		}
	}
	wait, cancel := context.WithTimeout(ctx, 3*askWithin)
	defer cancel()
	for r.left > 0 && r.at < to {
		m, err := r.sub.NextMsgWithContext(wait)
		switch {
		case err != nil && resumed && ctx.Err() == nil:
			return came, true, nats.ErrNoResponders // they went with a connection
		case err != nil:
			return came, true, err
		}
		if len(m.Data) == 0 && m.Header != nil {
			s := m.Header.Get("Status")
			if s != "" && m.Subject != inbox() {
				continue // of the request before, which was fulfilled
			}
			switch s {
			case "":
			case "503":
				return came, true, nats.ErrNoResponders
			case "404", "408", "409": // no more, or no more that fit
				if s == "409" && strings.Contains(m.Header.Get("Description"), "Consumer") {
					return came, true, nats.ErrNoResponders // deleted
				}
				r.left = 0
				return came, true, nil
			default:
				return came, true, fmt.Errorf("status %s %s", s, m.Header.Get("Description"))
			}
		}
		seq, err := sequence(m.Reply)
		if err != nil {
			return came, true, err
		}
		r.left--
		if seq > r.at+1 {
			return came, true, &PrunedError{After: r.at, First: seq}
		}
		r.at, came = seq, true
		if !f(&stored{seq, m.Subject, m.Header, m.Data}) {
			return true, false, nil
		}
	}
	return came, true, nil
}

// sequence reads the stream's number out of $JS.ACK.….
func sequence(reply string) (uint64, error) {
	t := strings.Split(reply, ".")
	if len(t) >= 11 { // with domain and account in front
		t = t[2:]
	}
	if len(t) < 9 || t[0] == "" {
		return 0, fmt.Errorf("a message without a number: %.100q", reply)
	}
	return strconv.ParseUint(t[5], 10, 64)
}

// readers keeps those that may be gone on with. Safe for concurrent use.
type readers struct {
	mu   sync.Mutex // guards all
	all  []*reader
	shut bool
}

func (rs *readers) take(at uint64) (*reader, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.shut {
		return nil, ErrClosed
	}
	for i, r := range rs.all {
		if r.at == at {
			rs.all = append(rs.all[:i], rs.all[i+1:]...)
			return r, nil
		}
	}
	return nil, nil
}

func (rs *readers) put(r *reader) {
	r.idle = time.Now()
	rs.mu.Lock()
	var old *reader
	rs.all = append(rs.all, r)
	if len(rs.all) > maxReaders || time.Since(rs.all[0].idle) > readerIdle {
		old, rs.all = rs.all[0], rs.all[1:]
	}
	rs.mu.Unlock()
	if old != nil {
		old.drop()
	}
}

// clear forgets all.
func (rs *readers) clear() {
	rs.mu.Lock()
	all := rs.all
	rs.all = nil
	rs.mu.Unlock()
	for _, r := range all {
		r.drop()
	}
}

func (rs *readers) close() {
	rs.mu.Lock()
	rs.shut = true
	rs.mu.Unlock()
	rs.clear()
}

// Bounds implements Log.
func (l *NATSLog) Bounds(ctx context.Context) (epoch string, first, last uint64, err error) {
	info, err := l.info(ctx)
	if err != nil {
		return "", 0, 0, err
	}
	first, last = info.State.FirstSeq, info.State.LastSeq
	if info.State.Msgs == 0 {
		first = last + 1
	}
	return info.Config.Metadata[metaEpoch], first, last, nil
}

// At implements Log, by the time at which entries were stored: with what was
// received before t, where the engine was away at t.
func (l *NATSLog) At(ctx context.Context, t time.Time) (uint64, error) {
	c, err := l.js.CreateConsumer(ctx, l.cfg.Stream, jetstream.ConsumerConfig{
		Name: readerPrefix + newEpoch(), AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1,
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &t, InactiveThreshold: time.Second,
	})
	if err != nil {
		return 0, l.readError(err)
	}
	info := c.CachedInfo()
	l.read.Publish("$JS.API.CONSUMER.DELETE."+l.cfg.Stream+"."+info.Name, nil)
	return info.Delivered.Stream, nil
}

// A session that can be resumed repeats what came after it was stored: where
// processes end one after the other before they store it, that is more than
// Dedup, and as long as the service lets sessions lie.
const (
	longDedup = 4 * time.Minute
	mostLong  = 200_000 // entries of those, beyond Dedup
)

// remember fills the window with what was stored last, however long ago: a
// service repeats after a resume what this process, or the one before, has
// stored already.
func (l *NATSLog) remember(ctx context.Context) error {
	now := time.Now()
	info, err := l.info(ctx)
	if err != nil || info.State.Msgs == 0 {
		return err
	}
	first, last := info.State.FirstSeq, info.State.LastSeq
	from, err := l.At(ctx, info.State.LastTime.Add(-l.cfg.Dedup))
	if err != nil {
		return err
	}
	long, err := l.At(ctx, info.State.LastTime.Add(-longDedup))
	if err != nil {
		return err
	}
	from = max(min(from, max(long, last-min(last, mostLong))), first-1)
	if most := uint64(l.cfg.MaxIDs); last-from > most {
		from = last - most
	}
	var a assembly
	err = l.scan(ctx, from, last, func(m *stored) bool {
		body, err := a.add(m, l.cfg.MaxBody)
		if id := bodyID(body); err == nil && id != "" {
			l.seen.add(l.seen.storedKey(m.name, id), now)
		}
		return true
	})
	var pruned *PrunedError
	if errors.As(err, &pruned) {
		return nil
	}
	return err
}

// bodyID returns the id of an envelope, which stands at its beginning.
func bodyID(body []byte) string {
	const start = envelopeStart + `"id":`
	if len(body) < len(start) || string(body[:len(start)]) != start {
		return ""
	}
	rest := body[len(start):]
	if len(rest) < 2 || rest[0] != '"' {
		return ""
	}
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			var id string
			if json.Unmarshal(rest[:i+1], &id) != nil {
				return ""
			}
			return id
		}
	}
	return ""
}
