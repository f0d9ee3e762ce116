package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// Reader hands entries to one consumer, in order, none twice. It is used by one
// goroutine at a time, but for Poke, SetFilter and Cursor.
type Reader struct {
	hub    *Hub
	of     string // the epoch that it reads: it ends with it
	era    uint32 // likewise
	opts   SubscribeOptions
	queue  uint64
	filter atomic.Pointer[matcher]
	pos    atomic.Uint64 // number of the last entry that was handed out or passed over
	poked  chan struct{}

	backfill uint64 // entries up to this are marked
	live     bool   // it has been at the end of the log
	paced    bool   // it was there when Next returned last, at returned
	returned time.Time
	slow     time.Time // since when it is too far behind
	epoch    bool      // its cursor is of another epoch: a gap is due
	seen     []byte    // when the last entry was received
	timer    *time.Timer
	idling   bool   // timer runs for this call of Next
	line     []byte // reused: a line with its mark, a gap
	logged   []byte // reused: a line from the log
	scratch  []byte // reused: of the filter
}

// Subscribe returns a reader, which Close must end.
func (h *Hub) Subscribe(ctx context.Context, o SubscribeOptions) (*Reader, error) {
	m, err := o.Filter.compile()
	if err != nil {
		return nil, err
	}
	starts := 0
	for _, set := range []bool{o.From != Cursor{}, !o.Since.IsZero(), o.Last != 0, o.LastFor != 0} {
		if set {
			starts++
		}
	}
	switch {
	case starts > 1:
		return nil, fmt.Errorf("%w: more than one place to begin: want one of from, since, last", ErrOptions)
	case o.Last < 0 || o.Last > maxLast:
		return nil, fmt.Errorf("%w: last=%d: want 1 to %d, or a time", ErrOptions, o.Last, maxLast)
	case o.LastFor < 0 || o.Queue < 0 || o.Grace < 0 || o.Idle < 0 || int(o.Policy) >= len(policyNames):
		return nil, fmt.Errorf("%w: a negative time or size", ErrOptions)
	}
	if o.Grace == 0 {
		o.Grace = 10 * time.Second
	}
	if o.Queue == 0 {
		o.Queue = 4 << 20
	}
	r := &Reader{hub: h, opts: o, poked: make(chan struct{}, 1), queue: uint64(min(max(o.Queue, batchBytes), h.ring.maxBytes/2))}
	r.filter.Store(m)
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	if h.epoch != r.of {
		return nil, errRenewed
	}
	h.readers[r] = struct{}{}
	return r, nil
}

// Close ends the reader. It does not wake Next: the context of that does.
func (r *Reader) Close() {
	r.hub.remove(r)
	if r.timer != nil {
		r.timer.Stop()
	}
}

// SetFilter changes the filter for what is handed out from the next call of Next on.
func (r *Reader) SetFilter(f Filter) error {
	m, err := f.compile()
	if err == nil {
		r.filter.Store(m)
	}
	return err
}

// Poke makes Next return, now or when it is called, if it would wait.
func (r *Reader) Poke() {
	select {
	case r.poked <- struct{}{}:
	default:
	}
}

func (r *Reader) begin(ctx context.Context) error {
	h, o := r.hub, &r.opts
	r.era = h.era.Load()
	at := h.Cursor()
	last := at.Seq
	r.of = at.Epoch
	pos, err := last, error(nil)
	switch {
	case o.From != Cursor{}:
		pos = o.From.Seq
		if o.From.Epoch != r.of || pos > last {
			r.epoch, pos = true, 0
		}
	case !o.Since.IsZero():
		pos, err = r.at(ctx, o.Since)
	case o.LastFor > 0:
		pos, err = r.at(ctx, h.now().Add(-o.LastFor))
		r.backfill = last
	case o.Last > 0:
		pos, err = r.lastN(ctx, last, o.Last)
		r.backfill = last
	default:
		r.live = true
	}
	r.pos.Store(min(pos, last))
	return err
}

func (r *Reader) at(ctx context.Context, t time.Time) (uint64, error) {
	if r.hub.log == nil {
		return r.hub.ringBefore(t), nil
	}
	return r.hub.log.At(ctx, t)
}

// lastN returns the number after which n entries up to last pass the filter. It
// looks back further and further.
func (r *Reader) lastN(ctx context.Context, last uint64, n int) (uint64, error) {
	if err := enter(ctx, r.hub.scans); err != nil {
		return 0, err
	}
	defer func() { <-r.hub.scans }()
	m := r.filter.Load()
	for window := uint64(max(n, 256)); ; window *= 8 {
		window = min(window, lastWindow, last)
		after := last - window
		var places []uint64
		for {
			_, err := r.hub.walk(ctx, after, last, &r.logged, func(it *Item) bool {
				if m.match(it.Line, it.meta, &r.scratch) {
					places = append(places, it.Seq)
				}
				return true
			})
			pruned := (*PrunedError)(nil)
			if !errors.As(err, &pruned) {
				if err != nil {
					return 0, err
				}
				break
			}
			after, window = max(pruned.First-1, after+1), lastWindow // there is no more
		}
		if len(places) >= n {
			return places[len(places)-n] - 1, nil
		}
		if window >= min(lastWindow, last) {
			return after, nil
		}
	}
}

// Next waits until there is something, and calls f for each envelope in order,
// until f returns false or, once there was one, no more has come. f must not
// call the reader. Next returns nil without a call of f after Poke, ErrIdle
// after Idle, and else what ended it; a reader whose ctx ended can be used
// again.
//
// Who comes back faster than once a millisecond waits for more, up to 64 KiB,
// so that a batch is worth the write.
func (r *Reader) Next(ctx context.Context, f func(*Item) bool) error {
	some := false
	r.idling = false
	give := func(it *Item) bool { some = true; return f(it) }
	if r.epoch {
		if ok, err := r.giveEpoch(ctx, give); err != nil || !ok {
			return err
		}
	}
	h := r.hub
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h.mu.Lock()
		pos := r.pos.Load()
		if h.closed {
			h.mu.Unlock()
			return ErrClosed
		}
		if h.epoch != r.of {
			h.mu.Unlock()
			return errRenewed
		}
		if pos >= h.last {
			r.live, r.slow = true, time.Time{}
			if some {
				r.paced, r.returned = true, time.Now()
				h.mu.Unlock()
				return nil
			}
			if poked, err := r.wait(ctx, time.Time{}); err != nil || poked { // unlocks
				return err
			}
			continue
		}
		b, i := h.ring.find(pos + 1)
		behind := uint64(h.ring.maxBytes) // or more
		if b != nil {
			behind = h.ring.total - b.before(i)
		}
		if r.paced && !some && behind < batchBytes {
			r.paced = false
			if due := r.returned.Add(h.interval()); time.Until(due) > 0 {
				if poked, err := r.wait(ctx, due); err != nil || poked { // unlocks
					return err
				}
				continue
			}
		}
		if r.live && r.opts.Policy != Block {
			if behind <= r.queue {
				r.slow = time.Time{}
			} else if r.opts.Policy == DropOldest {
				to := h.ring.behind(r.queue / 2)
				h.mu.Unlock()
				if !r.skip(ctx, pos, to-1, give) {
					return nil
				}
				continue
			} else if r.slow.IsZero() {
				r.slow = time.Now()
			} else if d := time.Since(r.slow); d > r.opts.Grace {
				h.mu.Unlock()
				return &SlowError{Name: r.opts.Name, Behind: behind, For: d.Round(time.Millisecond)}
			}
		}
		if b == nil {
			to := h.last
			h.mu.Unlock()
			if ok, err := r.fromLog(ctx, pos, to, give); err != nil || !ok {
				return err
			}
			continue
		}
		first, buf, list := b.first, b.buf, b.list
		b.using++
		h.mu.Unlock()
		goOn := r.fromRing(first, buf, list, i, give)
		h.used(b)
		if !goOn {
			return nil
		}
	}
}

// wait waits for the hub to wake it: mu is held, and is not any more when it
// returns. A time says that there is something already, which is due then.
func (r *Reader) wait(ctx context.Context, due time.Time) (poked bool, err error) {
	h := r.hub
	if h.wakeup == nil {
		h.wakeup = make(chan struct{})
	}
	h.waiting++
	wakeup := h.wakeup
	if !due.IsZero() {
		h.arm(due)
	}
	h.mu.Unlock()
	var idle <-chan time.Time
	if r.opts.Idle > 0 {
		if r.timer == nil {
			r.timer = time.NewTimer(r.opts.Idle)
		} else if !r.idling { // it goes on over entries that do not pass
			r.timer.Reset(r.opts.Idle)
		}
		r.idling, idle = true, r.timer.C
	}
	select {
	case <-wakeup:
		return false, nil
	case <-r.poked:
		poked = true
	case <-idle:
		err = ErrIdle
	case <-ctx.Done():
		err = ctx.Err()
	}
	h.mu.Lock()
	if h.wakeup == wakeup {
		h.waiting--
	}
	h.mu.Unlock()
	return poked, err
}

// fromRing hands out the rest of a block. It returns false when f has enough.
func (r *Reader) fromRing(first uint64, buf []byte, list []ringEntry, i int, f func(*Item) bool) bool {
	m := r.filter.Load()
	var item Item
	goOn := true
	for ; i < len(list) && goOn; i++ {
		e := &list[i]
		line := lineAt(buf, list, i)
		if m.match(line, &e.meta, &r.scratch) {
			item = Item{Seq: first + uint64(i), Line: line, meta: &e.meta}
			goOn = r.hand(&item, f)
		}
	}
	r.pos.Store(first + uint64(i) - 1)
	r.seen = append(r.seen[:0], list[i-1].meta.raw(lineAt(buf, list, i-1), FieldReceived)...)
	return goOn
}

// hand gives one entry that passed the filter.
func (r *Reader) hand(item *Item, f func(*Item) bool) bool {
	if r.opts.claim != nil {
		if !r.opts.claim(item.Seq, item.Line, item.meta) {
			return true
		}
		r.opts.handed.Store(item.Seq)
	}
	if item.Seq <= r.backfill {
		r.mark(item)
	}
	return f(item)
}

// mark adds the flag "backfill".
func (r *Reader) mark(item *Item) {
	if s := item.meta.spans[FieldFlags]; s.n >= 2 {
		list := item.meta.raw(item.Line, FieldFlags)
		if bytes.Contains(list, []byte(backfillTag)) {
			return
		}
		r.line = append(r.line[:0], item.Line[:s.at+1]...)
		r.line = append(r.line, backfillTag...)
		if s.n > 2 {
			r.line = append(r.line, ',')
		}
		item.Line = append(r.line, item.Line[s.at+1:]...)
	} else {
		r.line = append(r.line[:0], envelopeStart+`"flags":[`+backfillTag+`],`...)
		item.Line = append(r.line, item.Line[len(envelopeStart):]...)
	}
	r.line = item.Line
}

// fromLog hands out what is not in the ring, a batch at a time.
func (r *Reader) fromLog(ctx context.Context, pos, to uint64, f func(*Item) bool) (goOn bool, err error) {
	m := r.filter.Load()
	goOn = true
	var received []byte
	renewed := false
	end, err := r.hub.walk(ctx, pos, to, &r.logged, func(it *Item) bool {
		if r.hub.era.Load() != r.era { // it may be an entry of the next one
			renewed = true
			return false
		}
		received = append(received[:0], it.meta.raw(it.Line, FieldReceived)...)
		if m.match(it.Line, it.meta, &r.scratch) {
			goOn = r.hand(it, f)
		}
		return goOn
	})
	if renewed {
		return false, errRenewed
	}
	if end > pos {
		r.seen = received
	}
	r.pos.Store(end)
	pruned := (*PrunedError)(nil)
	if !errors.As(err, &pruned) {
		return goOn, err
	}
	if pruned.First <= end+1 {
		return false, fmt.Errorf("relay: log: entry %d is and is not there: %w", pruned.First, err)
	}
	first := min(pruned.First, to+1)
	return r.gap("retention", end, first-1, first-1-end, r.firstTime(ctx, first, to), f), nil
}

// firstTime returns when the first entry from a number on was received, or nil.
func (r *Reader) firstTime(ctx context.Context, from, to uint64) (received []byte) {
	_, _ = r.hub.walk(ctx, from-1, min(to, from), &r.logged, func(it *Item) bool {
		received = bytes.Clone(it.meta.raw(it.Line, FieldReceived))
		return false
	})
	return received
}

// giveEpoch says that the cursor was of another epoch, and begins anew.
func (r *Reader) giveEpoch(ctx context.Context, f func(*Item) bool) (goOn bool, err error) {
	h := r.hub
	h.mu.Lock()
	first, last := h.ring.first(), h.last
	h.mu.Unlock()
	if h.log != nil {
		if _, first, _, err = h.log.Bounds(ctx); err != nil {
			return false, fmt.Errorf("relay: reader: %w", err)
		}
	}
	if first == 0 || first > last {
		first = last + 1
	}
	r.epoch = false
	return r.gap("epoch", 0, first-1, 0, r.firstTime(ctx, first, last), f), nil
}

// skip passes over the entries in (pos, to] and says so. What is in the ring no
// more is counted without the filter.
func (r *Reader) skip(ctx context.Context, pos, to uint64, f func(*Item) bool) bool {
	r.hub.mu.Lock()
	first := r.hub.ring.first()
	r.hub.mu.Unlock()
	dropped := uint64(0)
	from := pos
	if first > pos+1 {
		dropped = min(first-1, to) - pos
		from = min(first-1, to)
	}
	m := r.filter.Load()
	var received []byte
	seq, _ := r.hub.walk(ctx, from, to, &r.logged, func(it *Item) bool {
		if m.match(it.Line, it.meta, &r.scratch) && (r.opts.claim == nil || r.opts.claim(it.Seq, it.Line, it.meta)) {
			dropped++
		}
		received = append(received[:0], it.meta.raw(it.Line, FieldReceived)...)
		return true
	})
	dropped += to - seq // they left the ring while we counted, and a log could not say
	if dropped == 0 {
		r.pos.Store(to) // nothing that it wanted
		return true
	}
	return r.gap("slow_consumer", pos, to, dropped, received, f)
}

// gap hands out an envelope that says what is missing: the entries in
// (after, to], of which dropped would have been handed out, or may have been.
func (r *Reader) gap(reason string, after, to, dropped uint64, until []byte, f func(*Item) bool) bool {
	r.hub.countGap(reason, dropped)
	if len(r.seen) == 0 && r.hub.since != nil && r.opts.From.Epoch != "" { // it begins with a gap
		if t := r.hub.since(r.opts.From); !t.IsZero() {
			r.seen = t.UTC().AppendFormat(r.seen, timeFormat)
		}
	}
	b := append(r.line[:0], envelopeStart+`"cursor":{"epoch":"`...)
	b = append(b, r.of...)
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, to, 10)
	b = append(b, `},"id":"gap:`...)
	b = append(b, r.of...)
	b = append(b, ':')
	b = strconv.AppendUint(b, after, 10)
	b = append(b, '-')
	b = strconv.AppendUint(b, to, 10)
	b = append(b, `","received":"`...)
	b = r.hub.now().UTC().AppendFormat(b, timeFormat)
	b = append(b, `","platform":"chatshard","account":"","shard":"","kind":"gap","gap":{`...)
	from := r.seen
	if len(until) == 0 { // nothing came since
		until = r.hub.now().UTC().AppendFormat(nil, timeFormat)
	}
	if bytes.Compare(from, until) > 0 { // a clock was set back, or an account is slower than another
		from, until = until, from
	}
	if len(from) > 0 {
		b = append(b, `"from":"`...)
		b = append(b, from...)
		b = append(b, `",`...)
	}
	b = append(b, `"to":"`...)
	b = append(b, until...)
	b = append(b, `","dropped":`...)
	b = strconv.AppendUint(b, dropped, 10)
	b = append(b, `,"reason":"`...)
	b = append(b, reason...)
	b = append(b, `"}}`...)
	r.line = b
	r.pos.Store(to)
	return f(&Item{Seq: to, Line: b, Gap: true})
}
