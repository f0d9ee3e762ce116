package relay

import (
	"context"
	"sync"
	"time"
)

// NoLog stands where there is no log: it gives entries their numbers, of an
// epoch that begins with it, drops second copies, and keeps none. A [Hub] that
// gets its entries has no log and its epoch; what live readers share is all the
// history that there is. Its methods may be called by many goroutines.
type NoLog struct {
	epoch string

	mu     sync.Mutex // guards all below; held over an append: numbers are handed out in order
	last   uint64
	seen   *window
	closed bool
}

const (
	noLogDedup = 30 * time.Second // for which IDs are remembered at least
	noLogIDs   = 1_000_000        // and how many at most, twice
)

// NewNoLog begins an epoch.
func NewNoLog() *NoLog { return &NoLog{epoch: newEpoch(), seen: newWindow(noLogDedup, noLogIDs)} }

// Epoch returns the epoch of the numbers.
func (l *NoLog) Epoch() string { return l.epoch }

// Append calls take with the number of an entry, unless it is a second copy.
// take must not call Append; if it fails, its error is returned and the number
// is the next one's. Nothing of e is kept.
func (l *NoLog) Append(e *Entry, take func(seq uint64) error) error {
	key := l.seen.key(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if l.seen.add(key, e.Time) {
		return nil
	}
	if err := take(l.last + 1); err != nil {
		l.seen.forget(key)
		return err
	}
	l.last++
	return nil
}

// Healthy returns nil until Close.
func (l *NoLog) Healthy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	return nil
}

// Close ends it: no more entries are taken.
func (l *NoLog) Close(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}
