package discord

import "context"

// Store keeps what has to outlive the process: sessions and the count of
// IDENTIFYs. What it keeps is secret. It may be called by many goroutines.
type Store interface {
	// Load returns what was saved under a name, nil if nothing was.
	Load(ctx context.Context, name string) ([]byte, error)
	// Save replaces what stands under a name. When it has returned, a crash
	// of the process or the machine leaves either the old or the new value.
	Save(ctx context.Context, name string, data []byte) error
	// String says where it keeps things, for messages.
	String() string
}

// The names under which a Transport saves.
const (
	storeSessions = "sessions"
	storeBudget   = "identifies"
)
