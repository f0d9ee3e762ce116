package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	batchBytes = 64 << 10              // that are worth a write at once
	tick       = time.Millisecond      // for which less waits for more
	tickEach   = 10 * time.Microsecond // of each reader
	tickMost   = 25 * time.Millisecond
)

// HubConfig configures a Hub.
type HubConfig struct {
	RingBytes   int    // of entries that live readers share; default 16 MiB, at least 1 MiB
	RingEntries int    // default 65,536
	Epoch       string // without a log: the epoch; default "none". With a log the log says it
	Now         func() time.Time
	// Since returns a time after which all behind a cursor was received whose
	// entry the log has no more; zero if that is not known. Default: it never is.
	Since func(Cursor) time.Time
}

// Hub hands the entries of a log out to any number of readers. Entries come in
// through Append when the log has them; readers pull. It starts no goroutine
// but the timer that wakes readers.
//
// Readers that wait are woken together, once a millisecond at most, or when
// 64 KiB have come, and less often where there are many: waking a thousand
// readers a thousand times a second would be a whole core.
type Hub struct {
	log   Log // nil: no history
	now   func() time.Time
	since func(Cursor) time.Time
	era   atomic.Uint32 // how often the epoch has changed
	reads chan struct{} // a place for each reading of the log: a thousand readers may come back at once
	scans chan struct{} // and for each search for the last entries that pass a filter

	mu       sync.Mutex // guards all below; never held while a reader's function or the log runs
	epoch    string
	ring     ring
	last     uint64        // number of the newest entry that readers may see
	waiting  int           // readers that wait on wakeup
	wakeup   chan struct{} // closed to wake them; nil: nobody waits
	wokenAt  time.Time
	wokenFor uint64 // ring.total by then
	armed    bool   // timer runs
	timer    *time.Timer
	closed   bool
	readers  map[*Reader]struct{}
	counts   []kindCount
	gaps     map[string]*gapCount
}

type kindCount struct {
	platform, kind string
	n              uint64
}

type gapCount struct{ n, dropped uint64 }

// NewHub returns a hub of a log, nil for none, whose entries up to now are
// history: those that Append brings must follow them.
func NewHub(ctx context.Context, log Log, cfg *HubConfig) (*Hub, error) {
	var c HubConfig
	if cfg != nil {
		c = *cfg
	}
	h := &Hub{log: log, epoch: c.Epoch, now: c.Now, since: c.Since, readers: map[*Reader]struct{}{}, gaps: map[string]*gapCount{},
		reads: make(chan struct{}, 16), scans: make(chan struct{}, 2)}
	h.ring.maxBytes, h.ring.maxEntries = c.RingBytes, c.RingEntries
	if h.ring.maxBytes == 0 {
		h.ring.maxBytes = 16 << 20
	}
	h.ring.maxBytes = max(h.ring.maxBytes, 4*blockBytes)
	if h.ring.maxEntries <= 0 {
		h.ring.maxEntries = 65536
	}
	if h.epoch == "" {
		h.epoch = "none"
	}
	if h.now == nil {
		h.now = time.Now
	}
	if log != nil {
		epoch, first, last, err := log.Bounds(ctx)
		if err != nil {
			return nil, fmt.Errorf("relay: hub: %w", err)
		}
		h.epoch = epoch
		if first <= last {
			h.last = last
		}
	}
	return h, nil
}

// Append takes an entry that the log has acknowledged; it keeps no reference to
// body or meta, which is nil where the places of the values are not known: then
// they are looked for. Calls come in the order of the numbers. A number that was
// there already is passed over; after one that is missing, the ring begins anew,
// and readers find what is between in the log.
func (h *Hub) Append(seq uint64, body []byte, meta *Meta) error {
	if !bytes.HasPrefix(body, []byte(envelopeStart)) || body[len(body)-1] != '}' || bytes.IndexByte(body, '\n') >= 0 || len(body) > 1<<30 {
		return fmt.Errorf("%w: entry %d: %.64q", ErrEntry, seq, body)
	}
	if meta == nil || !meta.within(len(body)) {
		meta = new(Meta)
		meta.Find(body)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if seq <= h.last || h.closed {
		return nil
	}
	if n := len(h.ring.blocks); n > 0 && seq != h.ring.blocks[n-1].last()+1 {
		h.ring.reset()
	}
	h.ring.append(h.epoch, seq, body, meta)
	h.last = seq
	h.count(meta.raw(body, FieldPlatform), meta.raw(body, FieldKind))
	if h.waiting > 0 {
		h.arm(h.wokenAt.Add(h.interval()))
	}
	return nil
}

// errRenewed ends the readers of an epoch that is over.
var errRenewed = errors.New("relay: the log has lost its history: come back with your cursor, a gap will stand in its place")

// Renew begins a new epoch: the log has lost what it had, and has at.Seq entries
// now, which are history. All readers end with an error; those who come back
// with a cursor of the epoch before get a gap, and then what there is. It is
// called before Append brings entries of the epoch.
func (h *Hub) Renew(at Cursor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.era.Add(1)
	h.epoch, h.last = at.Epoch, at.Seq
	h.ring.reset()
	h.wakeAll()
}

// Epoch returns the epoch of the hub's cursors.
func (h *Hub) Epoch() string { return h.Cursor().Epoch }

// Cursor returns the place after the newest entry.
func (h *Hub) Cursor() Cursor {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Cursor{h.epoch, h.last}
}

// Newest returns the place after the newest entry that Append has brought, and when
// that was received: the zero time if there is none, or it does not say.
func (h *Hub) Newest() (Cursor, time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := Cursor{h.epoch, h.last}
	n := len(h.ring.blocks)
	if n == 0 {
		return at, time.Time{}
	}
	b := h.ring.blocks[n-1]
	i := len(b.list) - 1
	return at, b.list[i].meta.time(lineAt(b.buf, b.list, i))
}

// Behind returns how many entries the slowest reader has not been handed yet.
func (h *Hub) Behind() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	least := h.last
	for r := range h.readers {
		least = min(least, r.pos.Load())
	}
	return h.last - least
}

// Close ends all readers with ErrClosed.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.timer != nil {
		h.timer.Stop()
	}
	h.wakeAll()
}

// interval is the time between two wakings. mu is held.
func (h *Hub) interval() time.Duration {
	return min(max(tick, time.Duration(len(h.readers))*tickEach), tickMost)
}

// arm wakes the readers at a time, at once if that has come or much has. mu is held.
func (h *Hub) arm(at time.Time) {
	if !h.armed {
		wait := time.Until(at)
		if wait <= 0 {
			h.wakeAll()
			return
		}
		h.armed = true
		if h.timer == nil {
			h.timer = time.AfterFunc(wait, h.tick)
		} else {
			h.timer.Reset(wait)
		}
	}
	if h.ring.total-h.wokenFor >= batchBytes*uint64(h.interval()/tick) {
		h.wakeAll()
	}
}

// tick runs in the timer's goroutine.
func (h *Hub) tick() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.armed = false
	if h.waiting > 0 {
		h.wakeAll()
	}
}

// wakeAll wakes who waits. mu is held.
func (h *Hub) wakeAll() {
	h.wokenAt, h.wokenFor = time.Now(), h.ring.total
	if h.wakeup != nil {
		close(h.wakeup)
		h.wakeup, h.waiting = nil, 0
	}
}

// count counts an entry. mu is held.
func (h *Hub) count(platform, kind []byte) {
	for i := range h.counts {
		if c := &h.counts[i]; c.kind == string(kind) && c.platform == string(platform) {
			c.n++
			if i > 0 && c.n > h.counts[i-1].n { // frequent ones first
				h.counts[i], h.counts[i-1] = h.counts[i-1], h.counts[i]
			}
			return
		}
	}
	if len(h.counts) < 100 { // whatever comes: labels are bounded
		h.counts = append(h.counts, kindCount{string(platform), string(kind), 1})
		return
	}
	h.counts[99].platform, h.counts[99].kind = "", ""
	h.counts[99].n++
}

func (h *Hub) countGap(reason string, dropped uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.gaps[reason]
	if g == nil {
		g = new(gapCount)
		h.gaps[reason] = g
	}
	g.n++
	g.dropped += dropped
}

// Item is one envelope that a reader is handed. It is valid until the function
// that got it returns.
type Item struct {
	Seq  uint64
	Line []byte // the envelope with its cursor, without a line break
	Gap  bool   // made for this reader: it is not in the log

	meta *Meta
}

// Cursor returns the place after the item.
func (r *Reader) Cursor() Cursor { return Cursor{r.of, r.pos.Load()} }

// walk calls f for the entries with numbers in (after, to], from the ring or
// the log, until f returns false. It returns the number up to which it has come.
func (h *Hub) walk(ctx context.Context, after, to uint64, scratch *[]byte, f func(*Item) bool) (uint64, error) {
	for after < to {
		h.mu.Lock()
		b, i := h.ring.find(after + 1)
		if b != nil {
			buf, list := b.buf, b.list
			b.using++
			h.mu.Unlock()
			goOn := true
			for ; i < len(list) && after < to && goOn; i++ {
				after++
				goOn = f(&Item{Seq: after, Line: lineAt(buf, list, i), meta: &list[i].meta})
			}
			h.used(b)
			if !goOn {
				return after, nil
			}
			continue
		}
		end := to
		if first := h.ring.first(); first > after {
			end = min(to, first-1)
		}
		epoch := h.epoch
		h.mu.Unlock()
		if h.log == nil {
			return after, &PrunedError{After: after, First: end + 1}
		}
		at, goOn := after, true
		var meta Meta
		item := Item{meta: &meta}
		if err := enter(ctx, h.reads); err != nil {
			return after, err
		}
		n, err := h.log.Read(ctx, after, end, func(seq uint64, body []byte) bool {
			if !bytes.HasPrefix(body, []byte(envelopeStart)) { // of another program
				at = seq
				return true
			}
			*scratch = AppendEnvelope((*scratch)[:0], Cursor{epoch, seq}, body)
			meta.Find(*scratch)
			item.Seq, item.Line = seq, *scratch
			at = seq
			goOn = f(&item)
			return goOn
		})
		<-h.reads
		if !goOn {
			return at, nil
		}
		at = max(at, min(n, end))
		if err != nil {
			return at, err
		}
		if at == after {
			return at, fmt.Errorf("relay: log: nothing between %d and %d", after, end)
		}
		after = at
	}
	return after, nil
}

// enter takes a place, which the caller gives back.
func enter(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *Hub) remove(r *Reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, r)
}

// ringBefore returns the number of the last entry of the ring before a time.
func (h *Hub) ringBefore(t time.Time) uint64 {
	h.mu.Lock()
	blocks, last := slices.Clone(h.ring.blocks), h.last
	lists := make([][]ringEntry, len(blocks))
	bufs := make([][]byte, len(blocks))
	for i, b := range blocks {
		lists[i], bufs[i] = b.list, b.buf
		b.using++
	}
	h.mu.Unlock()
	defer h.used(blocks...)
	for i, b := range blocks {
		late := func(k int) bool { return !lists[i][k].meta.time(lineAt(bufs[i], lists[i], k)).Before(t) }
		if n := len(lists[i]); n == 0 || !late(n-1) {
			continue
		}
		for k := range lists[i] {
			if late(k) {
				return b.first + uint64(k) - 1
			}
		}
	}
	return last
}

// used says that a reader looks at blocks no more.
func (h *Hub) used(blocks ...*block) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range blocks {
		b.using--
	}
}
