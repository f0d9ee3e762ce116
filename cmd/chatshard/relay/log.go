package relay

import (
	"context"
	"time"
)

// Log keeps entries in order. Append may be called by many goroutines; entries
// of one Subject are kept in the order in which they were appended.
type Log interface {
	// Append takes an entry and returns at once, or waits while the buffer
	// before the engine is full. done is called once, by any goroutine: with
	// the entry's sequence number when it is safe, or the error that keeps it
	// from being so. A second copy of an ID within the window of the log is
	// done with dup true and the number 0. Calls of done come in the order of
	// the sequence numbers.
	Append(ctx context.Context, e *Entry, done func(seq uint64, dup bool, err error)) error
	// Read calls f for each entry with a number in (after, to], in order, and
	// returns the number up to which it has come. It stops early where f
	// returns false, and at what retention has taken: then it returns a
	// *PrunedError with the first entry that there is.
	Read(ctx context.Context, after, to uint64, f func(seq uint64, body []byte) bool) (uint64, error)
	// Bounds returns the epoch and the numbers of the first and the last entry;
	// first > last where there is none.
	Bounds(ctx context.Context) (epoch string, first, last uint64, err error)
	// At returns the number of the last entry before a time: a cursor to begin there.
	At(ctx context.Context, t time.Time) (uint64, error)
	// Healthy returns nil while appended entries become safe, else why not.
	Healthy() error
	// Close waits for what was appended, within ctx.
	Close(ctx context.Context) error
}

// PrunedError says that entries after After are no more: First is the oldest one
// that is.
type PrunedError struct {
	After, First uint64
}

func (e *PrunedError) Error() string {
	return "relay: the entries asked for have been taken by retention"
}
