package relay

import "errors"

// EngineError says in one line what keeps the engine from working, where, and
// what to do about it.
type EngineError struct {
	Where string // a directory, an address, a stream
	Err   error
	Do    string // what mends it
}

func (e *EngineError) Error() string {
	s := "relay: engine: " + e.Where + ": " + e.Err.Error()
	if e.Do != "" {
		s += ": " + e.Do
	}
	return s
}

func (e *EngineError) Unwrap() error { return e.Err }

var (
	// ErrClosed says that a log, an engine or a hub has been closed.
	ErrClosed = errors.New("relay: closed")
	// ErrDropped says that an entry did not fit the buffer while the engine was away.
	ErrDropped = errors.New("relay: dropped: the engine is away and the buffer full")
	// ErrTooLarge says that an entry is larger than the log takes.
	ErrTooLarge = errors.New("relay: entry too large")

	errLocked   = errors.New("in use by another process")
	errNotReady = errors.New("not ready in time")
	errCut      = errors.New("the connection is cut off")
	errNoAnswer = errors.New("no answer")
)
