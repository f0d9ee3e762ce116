package relay

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrIdle says that nothing came for as long as SubscribeOptions.Idle.
	ErrIdle = errors.New("relay: reader: idle")
	// ErrEntry says that what was to be handed out is no envelope.
	ErrEntry = errors.New("relay: hub: not an envelope")
	// ErrFilter says that a filter cannot be used; the text says what to change.
	ErrFilter = errors.New("relay: filter")
	// ErrOptions says that a subscription cannot be as asked for.
	ErrOptions = errors.New("relay: subscription")
	// ErrServer says that a server's configuration cannot be used.
	ErrServer = errors.New("relay: server")
)

// SlowError ends a reader under Disconnect that stayed too far behind.
type SlowError struct {
	Name   string
	Behind uint64 // bytes
	For    time.Duration
}

func (e *SlowError) Error() string {
	return fmt.Sprintf("relay: consumer %q: %d bytes behind for %v: read faster, filter more, or ask for policy=block", e.Name, e.Behind, e.For)
}
