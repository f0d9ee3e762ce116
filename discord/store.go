package discord

import (
	"context"
	"fmt"
	"strings"
)

// Store keeps what has to outlive the process: sessions and the count of
// IDENTIFYs. What it keeps is secret. It may be called by many goroutines.
// [FileStore] and [MemoryStore] are Stores and Updaters.
type Store interface {
	// Load returns what was saved under a name, nil if nothing was.
	Load(ctx context.Context, name string) ([]byte, error)
	// Save replaces what stands under a name. When it has returned, a crash
	// of the process or the machine leaves either the old or the new value.
	Save(ctx context.Context, name string, data []byte) error
	// String says where it keeps things, for messages.
	String() string
}

// Updater is a Store that several processes may share: nobody else changes
// what stands under the name between the reading and the writing of Update.
type Updater interface {
	Store
	// Update saves what change makes of what stands under a name, nil if
	// nothing does. If change returns nil or an error nothing is saved. It
	// may be called more than once, of which the last counts.
	Update(ctx context.Context, name string, change func(old []byte) ([]byte, error)) error
}

// The names under which a Transport saves.
const (
	storeSessions = "sessions"
	storeBudget   = "identifies"
)

// update changes what stands under a name: as one step if the Store can.
func update(ctx context.Context, s Store, name string, change func(old []byte) ([]byte, error)) error {
	if u, ok := s.(Updater); ok {
		return u.Update(ctx, name, change)
	}
	old, err := s.Load(ctx, name)
	if err != nil {
		return err
	}
	data, err := change(old)
	if err != nil || data == nil {
		return err
	}
	return s.Save(ctx, name, data)
}

// storable says whether a name may be the name of a file.
func storable(name string) error {
	if name == "" || len(name) > 128 || name[0] == '.' || strings.ContainsAny(name, "/\\:\x00") {
		return fmt.Errorf("discord: store: %.140q is not a name: use letters, digits, '-' and '_', no separators and no dot in front", name)
	}
	return nil
}
