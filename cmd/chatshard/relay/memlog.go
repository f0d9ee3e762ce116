package relay

import (
	"cmp"
	"context"
	"sort"
	"sync"
	"time"
)

// MemoryLogConfig says how much a MemoryLog keeps. It is copied.
type MemoryLogConfig struct {
	Entries int           // default 10,000
	Bytes   int           // default 16 MiB
	Dedup   time.Duration // for how long IDs are remembered at least; default 30 s
	MaxIDs  int           // and how many at most, twice; default 1,000,000
}

// MemoryLog is a Log without an engine: it keeps the last entries, for readers
// that were away for a moment, and has another epoch with each start. Its
// methods may be called by many goroutines. Append calls done before it
// returns, holding the order: done must not call Append.
type MemoryLog struct {
	cfg   MemoryLogConfig
	epoch string

	order sync.Mutex // held over an append and its done: numbers are done in order

	mu     sync.RWMutex // guards the fields below
	ring   []kept
	head   int // of the oldest
	n      int
	bytes  int
	last   uint64
	seen   *window
	closed bool
}

type kept struct {
	body []byte
	at   time.Time
}

// NewMemoryLog returns an empty log.
func NewMemoryLog(cfg *MemoryLogConfig) *MemoryLog {
	l := &MemoryLog{epoch: newEpoch()}
	if cfg != nil {
		l.cfg = *cfg
	}
	l.cfg.Entries = cmp.Or(l.cfg.Entries, 10_000)
	l.cfg.Bytes = cmp.Or(l.cfg.Bytes, 16<<20)
	l.seen = newWindow(cmp.Or(l.cfg.Dedup, 30*time.Second), cmp.Or(l.cfg.MaxIDs, 1_000_000))
	l.ring = make([]kept, l.cfg.Entries)
	return l
}

// Append implements Log.
func (l *MemoryLog) Append(ctx context.Context, e *Entry, done func(seq uint64, dup bool, err error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key := l.seen.key(e)
	l.order.Lock()
	defer l.order.Unlock()
	seq, dup, err := l.add(e, key)
	if err != nil {
		return err
	}
	if done != nil {
		done(seq, dup, nil)
	}
	return nil
}

func (l *MemoryLog) add(e *Entry, key uint64) (seq uint64, dup bool, err error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, false, ErrClosed
	}
	if l.seen.add(key, now) {
		return 0, true, nil
	}
	for l.n == len(l.ring) || l.n > 0 && l.bytes+len(e.Body) > l.cfg.Bytes {
		l.bytes -= len(l.ring[l.head].body)
		l.ring[l.head] = kept{}
		l.head = (l.head + 1) % len(l.ring)
		l.n--
	}
	l.ring[(l.head+l.n)%len(l.ring)] = kept{e.Body, now}
	l.n++
	l.bytes += len(e.Body)
	l.last++
	return l.last, false, nil
}

// at returns the i-th entry that is kept; mu is held.
func (l *MemoryLog) at(i int) kept { return l.ring[(l.head+i)%len(l.ring)] }

// Read implements Log.
func (l *MemoryLog) Read(ctx context.Context, after, to uint64, f func(seq uint64, body []byte) bool) (uint64, error) {
	for after < to {
		if err := ctx.Err(); err != nil {
			return after, err
		}
		l.mu.RLock()
		first, last := l.last-uint64(l.n)+1, l.last
		if after >= last {
			l.mu.RUnlock()
			return after, nil
		}
		if after+1 < first {
			l.mu.RUnlock()
			return after, &PrunedError{After: after, First: first}
		}
		body := l.at(int(after + 1 - first)).body
		l.mu.RUnlock()
		after++
		if !f(after, body) {
			return after, nil
		}
	}
	return after, nil
}

// Bounds implements Log.
func (l *MemoryLog) Bounds(context.Context) (epoch string, first, last uint64, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.epoch, l.last - uint64(l.n) + 1, l.last, nil
}

// At implements Log, by the time at which entries were appended.
func (l *MemoryLog) At(_ context.Context, t time.Time) (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	i := sort.Search(l.n, func(i int) bool { return !l.at(i).at.Before(t) })
	return l.last - uint64(l.n) + uint64(i), nil
}

// Healthy implements Log.
func (l *MemoryLog) Healthy() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return ErrClosed
	}
	return nil
}

// Close implements Log.
func (l *MemoryLog) Close(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}
