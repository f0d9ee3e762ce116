package relay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	askWithin = 2 * time.Second // for one question to the engine
	maxRetry  = 2 * time.Second
)

// open connects and learns where the stream stands.
func (w *writer) open(ctx context.Context) error {
	if err := w.connect(); err != nil {
		return err
	}
	info, err := w.log.ensure(ctx)
	if err != nil {
		return err
	}
	w.last = info.State.LastSeq
	w.tail = w.last
	// What a network still carries of a connection that has ended may come
	// late. Within the process nothing is carried.
	w.fenced = !w.log.engine.Embedded() && !w.log.cfg.SharedWriters
	w.log.setEpoch(info.Config.Metadata[metaEpoch])
	return nil
}

// connect opens a connection that keeps nothing back for later: what it has not
// sent when it ends is sent by nobody but recover.
func (w *writer) connect() error {
	w.hangUp()
	nc, err := w.log.engine.dial("chatshard log: writes", false)
	if err != nil {
		return err
	}
	inbox := nats.NewInbox() + "."
	acks := make(chan *nats.Msg, 2*flightMessages)
	if _, err := nc.ChanSubscribe(inbox+"*", acks); err != nil {
		nc.Close()
		return err
	}
	nc.SetClosedHandler(func(nc *nats.Conn) {
		select {
		case w.log.cut <- nc:
		default: // one that waits says as much
		}
	})
	w.nc, w.inbox, w.acks = nc, inbox, acks
	return nil
}

func (w *writer) hangUp() {
	if w.nc != nil {
		w.nc.SetClosedHandler(nil)
		w.nc.Close()
		w.nc = nil
	}
}

func (l *NATSLog) setEpoch(epoch string) (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed = l.epoch != "" && l.epoch != epoch
	l.epoch = epoch
	return changed
}

// recover tries to go on: it learns which of the entries that were sent are in
// the stream, and begins again with the first that is not.
func (w *writer) recover(ctx context.Context) {
	l := w.log
	err := w.tryRecover(ctx)
	if err == nil {
		w.tail = w.last
		l.cfg.Logger.Info().Str("stream", l.cfg.Stream).Dur("wait", time.Since(w.away)).Msg("the log goes on")
		w.away = time.Time{}
		l.mu.Lock()
		l.sick = nil
		l.mu.Unlock()
		return
	}
	w.tries++
	w.next = time.Now().Add(min(maxRetry, 50*time.Millisecond<<min(w.tries, 10)))
	if ctx.Err() != nil {
		return
	}
	// The server itself is given up when it answers nothing for as long as an
	// acknowledgement may take, at once if it does answer and stores nothing.
	if l.engine.Embedded() && (errors.Is(err, errStores) || time.Since(w.away) > l.cfg.AckWait) {
		if why := l.engine.heal(ctx, err); why != nil {
			err = why
		} else {
			w.next = time.Time{}
		}
	}
	l.cfg.Logger.Debug().Err(err).Int("try", w.tries).Msg("the log does not get on yet")
	if !errors.As(err, new(*EngineError)) {
		err = &EngineError{"stream " + l.cfg.Stream + " " + l.engine.String(), err, "entries wait until it goes on"}
	}
	l.mu.Lock()
	l.sick = err
	l.mu.Unlock()
}

// errStores says that the engine answers and does not store.
var errStores = errors.New("the engine stores nothing")

func (w *writer) tryRecover(ctx context.Context) error {
	l := w.log
	if err := w.connect(); err != nil {
		return err
	}
	for range 8 {
		ask, cancel := context.WithTimeout(ctx, askWithin)
		err := w.settle(ask)
		cancel()
		if err != nil {
			return err
		}
		w.sayLost()
		err = w.first(ctx)
		if !errors.Is(err, errWrongLast) {
			return err
		}
	}
	return fmt.Errorf("%w: does another process write to %s?", errWrongLast, l.cfg.Stream)
}

// settle looks the stream up and is done with what is in it.
func (w *writer) settle(ctx context.Context) error {
	l := w.log
	info, err := l.ensure(ctx)
	if err != nil {
		return err
	}
	epoch := info.Config.Metadata[metaEpoch]
	l.mu.Lock()
	same := epoch == l.epoch
	l.mu.Unlock()
	switch {
	case same && info.State.LastSeq < w.last: // an older copy of it came back
		if info, err = l.renew(ctx, info); err != nil {
			return err
		}
		epoch = info.Config.Metadata[metaEpoch]
		fallthrough
	case !same:
		w.last = info.State.LastSeq
		l.setEpoch(epoch)
		l.readers.clear()
		l.cfg.Logger.Warn().Str("stream", l.cfg.Stream).Str("epoch", epoch).Msg("history was lost: a new epoch begins")
		if l.cfg.Changed != nil {
			l.cfg.Changed(Cursor{epoch, w.last})
		}
		return nil
	}
	return w.match(ctx, info)
}

// match is done with the sent entries that stand behind the last one that is
// known to be safe. They stand in the order in which they were sent.
func (w *writer) match(ctx context.Context, info *jetstream.StreamInfo) error {
	l := w.log
	var sent []item
	l.mu.Lock()
	for i := 0; i < l.queue.len() && i < 2*flightMessages; i++ {
		sent = append(sent, *l.queue.at(i))
	}
	l.mu.Unlock()
	for len(sent) > 0 && !sent[len(sent)-1].sent {
		sent = sent[:len(sent)-1]
	}
	found := make(map[int]uint64)
	if len(sent) > 0 && info.State.LastSeq > w.last {
		at, part := 0, 0 // the next expected one
		err := l.scan(ctx, w.last, info.State.LastSeq, func(m *stored) bool {
			if part > 0 && at < len(sent) && sent[at].is(m, part) {
				if part++; part == len(sent[at].parts) {
					found[at] = m.seq
					at, part = at+1, 0
				}
				return true
			}
			for i := at; i < len(sent); i++ {
				if !sent[i].sent || !sent[i].is(m, 0) {
					continue
				}
				at, part = i, 1
				if len(sent[i].parts) == 1 {
					found[i] = m.seq
					at, part = i+1, 0
				}
				break
			}
			return true
		})
		var pruned *PrunedError
		if err != nil && !errors.As(err, &pruned) {
			return err
		}
	}
	// What was dropped meanwhile is gone from the front: nothing of the rest
	// moved, for nobody but this goroutine takes entries.
	l.mu.Lock()
	missing := 0
	if len(sent) > 0 {
		for missing < len(sent) && (l.queue.len() == 0 || l.queue.at(0).serial != sent[missing].serial) {
			missing++
		}
	}
	var safe, rest []item
	var numbers []uint64
	for i := missing; i < len(sent); i++ {
		it := l.queue.pop()
		if seq, ok := found[i]; ok {
			safe, numbers = append(safe, it), append(numbers, seq)
			l.bytes -= it.cost()
			continue
		}
		if len(rest) == 0 && it.copy { // all before it is done
			safe, numbers = append(safe, it), append(numbers, 0)
			l.bytes -= it.cost()
			continue
		}
		rest = append(rest, it)
	}
	for i := len(rest) - 1; i >= 0; i-- {
		l.queue.unpop(rest[i])
	}
	l.makeRoom()
	l.mu.Unlock()
	for i := range safe {
		w.done(&safe[i], numbers[i])
	}
	w.last = info.State.LastSeq
	return nil
}

// sayLost reports what was dropped, and puts what stands for it in its place.
func (w *writer) sayLost() {
	l := w.log
	l.mu.Lock()
	lost := l.lost
	l.lost, l.lostSet = Lost{}, nil
	l.mu.Unlock()
	if lost.N == 0 {
		return
	}
	l.cfg.Logger.Warn().Int("dropped", lost.N).Time("from", lost.From).Time("to", lost.To).Msg("the buffer before the engine did not hold all")
	if l.cfg.Dropped == nil {
		return
	}
	gaps := l.cfg.Dropped(lost)
	for i := len(gaps) - 1; i >= 0; i-- {
		it, err := l.item(gaps[i].Entry, gaps[i].Done)
		if err != nil {
			if gaps[i].Done != nil {
				gaps[i].Done(0, false, err)
			}
			continue
		}
		l.mu.Lock()
		l.serial++
		it.serial = l.serial
		l.queue.unpop(it)
		l.bytes += it.cost()
		l.mu.Unlock()
	}
}

// first sends the first entry that waits, alone, on the condition that the
// stream still ends where it did: what the engine had yet to take from the
// connection before is found that way. It also shows that the engine stores.
func (w *writer) first(ctx context.Context) error {
	b := w.take(1)
	if b.messages == 0 {
		w.complete(&b, 0)
		return nil
	}
	w.number++
	b.number = w.number
	w.flight = []batch{b}
	w.tail = w.last
	err := w.await(ctx, &b)
	if err != nil {
		w.unsend()
		return err
	}
	w.flight = nil
	return nil
}

func (w *writer) await(ctx context.Context, b *batch) error {
	l := w.log
	it := &b.items[0]
	for p := range it.parts {
		if err := w.publish(it, p, w.inbox+strconv.FormatUint(b.number, 10), !l.cfg.SharedWriters); err != nil {
			return err
		}
	}
	timeout := time.NewTimer(l.cfg.AckWait)
	defer timeout.Stop()
	for left := len(it.parts); left > 0; {
		select {
		case m := <-w.acks:
			if m.Subject != w.inbox+strconv.FormatUint(b.number, 10) {
				continue // of a try before
			}
			left--
			a, err := parseAck(m)
			switch {
			case errors.Is(err, errWrongLast), errors.Is(err, errNoAnswer):
				return err
			case err != nil:
				return fmt.Errorf("%w: %w", errStores, err)
			}
			if a.duplicate {
				it.copy = true
			}
			if left == 0 {
				w.complete(b, a.seq)
			}
		case <-timeout.C:
			return fmt.Errorf("%w: no acknowledgement for %v", errStores, l.cfg.AckWait)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
