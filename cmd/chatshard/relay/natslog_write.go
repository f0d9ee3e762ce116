package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// What is handed to the engine and not yet acknowledged. The engine itself
// refuses more than 10,000 messages or 128 MB.
const (
	flightMessages = 4096
	flightBytes    = 32 << 20
	batchMessages  = 128
	appendBytes    = 256 << 10
)

// writer is the one goroutine that hands entries to the engine. Its fields are
// its own.
type writer struct {
	log   *NATSLog
	nc    *nats.Conn // nil while there is none
	inbox string     // where acknowledgements arrive
	acks  chan *nats.Msg

	flight   []batch
	messages int // in flight
	size     int // bytes in flight
	number   uint64
	last     uint64 // the number of the last entry that is safe
	tail     uint64 // and that of the last one handed over, if all is well
	moved    time.Time
	fenced   bool
	free     [][]item
	msg      nats.Msg

	away  time.Time // since when entries do not become safe; zero while they do
	tries int
	next  time.Time
}

// batch is what one acknowledgement answers for.
type batch struct {
	number   uint64
	items    []item
	messages int
	size     int
	answers  int // that are still to come: one, with SharedWriters one a message
}

func (w *writer) run(ctx context.Context) {
	l := w.log
	defer close(l.ended)
	defer w.end()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if w.away.IsZero() {
			if err := w.send(); err != nil {
				w.interrupt(err)
			}
		}
		if w.finished() {
			return
		}
		select {
		case m := <-w.acks:
			for more := true; more; {
				if err := w.ack(m); err != nil {
					w.interrupt(err)
				}
				select {
				case m = <-w.acks:
				default:
					more = false
				}
			}
			continue
		case <-l.wake:
			continue
		case nc := <-l.cut:
			if nc == w.nc {
				w.interrupt(errCut)
			}
		case <-tick.C:
			if len(w.flight) > 0 && time.Since(w.moved) > l.cfg.AckWait {
				w.interrupt(fmt.Errorf("no acknowledgement for %v", l.cfg.AckWait))
			}
		case <-ctx.Done():
			return
		}
		if !w.away.IsZero() && time.Now().After(w.next) {
			w.recover(ctx)
		}
	}
}

// finished reports whether Close waits for nothing more.
func (w *writer) finished() bool {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	return w.log.closing && w.log.queue.len() == 0 && len(w.flight) == 0
}

// end gives up what is left.
func (w *writer) end() {
	l := w.log
	w.hangUp()
	w.unsend()
	l.readers.close()
	l.mu.Lock()
	l.closing = true
	l.makeRoom()
	left := make([]item, 0, l.queue.len())
	for i := range l.queue.len() {
		left = append(left, *l.queue.at(i))
	}
	lost := l.lost
	l.mu.Unlock()
	if lost.N > 0 {
		l.cfg.Logger.Warn().Int("dropped", lost.N).Time("from", lost.From).Time("to", lost.To).Msg("the log ends before it could say what is missing")
	}
	for i := range left {
		left[i].finish(0, false, ErrClosed)
	}
}

// send hands over what waits, as far as the engine may have it.
func (w *writer) send() error {
	l := w.log
	for w.messages < flightMessages && w.size < flightBytes {
		b := w.take(batchMessages)
		if len(b.items) == 0 {
			return nil
		}
		if b.messages == 0 { // copies alone: they are done after what stands before them
			if n := len(w.flight); n > 0 {
				w.flight[n-1].items = append(w.flight[n-1].items, b.items...)
			} else {
				w.complete(&b, 0)
			}
			continue
		}
		if len(w.flight) == 0 {
			w.moved = time.Now()
		}
		w.number++
		b.number, b.answers = w.number, 1
		if l.cfg.SharedWriters {
			b.answers = b.messages
		}
		w.flight = append(w.flight, b)
		w.messages += b.messages
		w.size += b.size
		sent := 0
		for i := range b.items {
			it := &b.items[i]
			for p := range it.parts {
				sent++
				reply := ""
				if sent == b.messages || l.cfg.SharedWriters {
					reply = w.inbox + strconv.FormatUint(b.number, 10)
				}
				if err := w.publish(it, p, reply, w.fenced); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// publish hands one message over. If it is fenced the engine takes it only in
// its place: as the next one after all that was handed over before.
func (w *writer) publish(it *item, part int, reply string, fenced bool) error {
	h := it.header(part)
	add := func(key, value string) {
		if h == nil {
			h = nats.Header{}
		}
		h[key] = []string{value}
	}
	if fenced {
		add(headerExpect, strconv.FormatUint(w.tail, 10))
	}
	w.tail++
	if w.log.cfg.SharedWriters && it.entry.ID != "" {
		s := it.entry.Subject
		id := SubjectToken(s.Platform) + "." + SubjectToken(networkOf(s)) + "." + it.entry.ID
		if len(it.parts) > 1 {
			id += "." + strconv.Itoa(part)
		}
		add("Nats-Msg-Id", oneLine(id))
	}
	w.msg = nats.Msg{Subject: it.name, Reply: reply, Header: h, Data: it.parts[part]}
	return w.nc.PublishMsg(&w.msg)
}

// oneLine returns an ID that fits a header.
func oneLine(id string) string {
	if len(id) > 256 || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r == 0x7f }) || strings.TrimSpace(id) != id {
		return SubjectToken(id)
	}
	return id
}

// take moves entries out of the queue.
func (w *writer) take(most int) batch {
	l := w.log
	var b batch
	if n := len(w.free); n > 0 {
		b.items, w.free = w.free[n-1][:0], w.free[:n-1]
	}
	if l.cfg.SharedWriters {
		most = 1 // each has an answer of its own: others write in between
	}
	l.mu.Lock()
	for l.queue.len() > 0 && b.messages < most && b.size < appendBytes {
		if next := l.queue.at(0); l.cfg.SharedWriters && b.messages > 0 && !next.copy {
			break
		}
		it := l.queue.pop()
		b.messages += len(it.parts)
		b.size += it.cost()
		b.items = append(b.items, it)
	}
	l.inflight += len(b.items)
	l.mu.Unlock()
	return b
}

// ack takes an answer of the engine.
func (w *writer) ack(m *nats.Msg) error {
	if !w.away.IsZero() || !strings.HasPrefix(m.Subject, w.inbox) {
		return nil // of a connection before
	}
	number, err := strconv.ParseUint(m.Subject[len(w.inbox):], 10, 64)
	if err != nil || len(w.flight) == 0 {
		return nil
	}
	a, err := parseAck(m)
	if err != nil {
		return err
	}
	b := &w.flight[0]
	if b.number != number {
		return fmt.Errorf("answer %d came instead of %d", number, b.number)
	}
	if b.answers--; b.answers > 0 {
		return nil
	}
	switch {
	case w.log.cfg.SharedWriters:
		if a.duplicate {
			for i := range b.items {
				b.items[i].copy = true
			}
		}
		w.complete(b, a.seq)
	case a.seq != w.last+uint64(b.messages):
		return fmt.Errorf("it has come to %d instead of %d", a.seq, w.last+uint64(b.messages))
	default:
		w.complete(b, a.seq)
	}
	w.moved = time.Now()
	w.messages -= b.messages
	w.size -= b.size
	w.free = append(w.free, b.items)
	w.flight[0] = batch{}
	if w.flight = w.flight[1:]; len(w.flight) == 0 {
		w.flight = nil
	}
	return nil
}

// complete says of a batch that it is safe, with the number of its last message.
func (w *writer) complete(b *batch, last uint64) {
	l := w.log
	l.mu.Lock()
	for i := range b.items {
		l.bytes -= b.items[i].cost()
	}
	l.inflight -= len(b.items)
	l.makeRoom()
	l.mu.Unlock()
	seq := last - uint64(b.messages)
	for i := range b.items {
		it := &b.items[i]
		seq += uint64(len(it.parts))
		w.done(it, seq)
		*it = item{}
	}
	if b.messages > 0 {
		w.last = max(w.last, last)
	}
}

// done calls the done of an entry that is safe, or of a second copy.
func (w *writer) done(it *item, seq uint64) {
	if !it.copy {
		it.finish(seq, false, nil)
		return
	}
	if len(it.parts) > 0 { // the engine knew it
		it.finish(0, true, nil)
		return
	}
	l := w.log
	l.mu.Lock()
	_, gone := l.gone[it.hash]
	if l.copies--; l.copies == 0 {
		l.gone = nil
	}
	l.mu.Unlock()
	if gone {
		it.finish(0, false, ErrDropped)
		return
	}
	it.finish(0, true, nil)
}

// interrupt stops sending until recover knows what became of what was sent.
func (w *writer) interrupt(err error) {
	if !w.away.IsZero() {
		return
	}
	l := w.log
	l.cfg.Logger.Warn().Err(err).Str("stream", l.cfg.Stream).Msg("the log does not get on: entries wait")
	w.away, w.tries, w.next = time.Now(), 0, time.Time{}
	drop := w.away
	if len(w.flight) == 0 || time.Since(w.moved) < l.cfg.AckWait {
		drop = drop.Add(l.cfg.AckWait) // it may be back before the services notice
	}
	w.unsend()
	l.mu.Lock()
	l.dropFrom = drop
	l.sick = &EngineError{"stream " + l.cfg.Stream + " " + l.engine.String(), err, "entries wait until it goes on"}
	l.makeRoom()
	l.mu.Unlock()
}

// unsend puts what is in flight back in front of what waits.
func (w *writer) unsend() {
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(w.flight) - 1; i >= 0; i-- {
		b := &w.flight[i]
		for k := len(b.items) - 1; k >= 0; k-- {
			b.items[k].sent = len(b.items[k].parts) > 0
			l.queue.unpop(b.items[k])
		}
		l.inflight -= len(b.items)
	}
	w.flight, w.messages, w.size = nil, 0, 0
}

// answer is what the engine says to a message.
type answer struct {
	seq       uint64
	duplicate bool
}

var errWrongLast = errors.New("another message came in between")

// parseAck reads {"stream":"EV","seq":42} or an error.
func parseAck(m *nats.Msg) (answer, error) {
	if s := m.Header.Get("Status"); s != "" {
		return answer{}, fmt.Errorf("%w: status %s", errNoAnswer, s)
	}
	if i := bytes.Index(m.Data, []byte(`"err_code":`)); i >= 0 {
		code := digits(m.Data[i+len(`"err_code":`):])
		if code == 10071 || code == 10164 {
			return answer{}, errWrongLast
		}
		what := ""
		if i := bytes.Index(m.Data, []byte(`"description":"`)); i >= 0 {
			d := m.Data[i+len(`"description":"`):]
			what = string(d[:max(0, bytes.IndexByte(d, '"'))])
		}
		return answer{}, fmt.Errorf("%s (%d)", what, code)
	}
	i := bytes.Index(m.Data, []byte(`"seq":`))
	if i < 0 {
		return answer{}, fmt.Errorf("%w but %.80q", errNoAnswer, m.Data)
	}
	return answer{digits(m.Data[i+len(`"seq":`):]), bytes.Contains(m.Data, []byte(`"duplicate"`))}, nil
}

func digits(b []byte) (n uint64) {
	for _, c := range bytes.TrimLeft(b, " ") {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}
