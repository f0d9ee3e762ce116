package discord

import (
	"bytes"
	"context"
	"sync"
)

// MemoryStore returns a Store that forgets with the process: for tests, and
// for Transports of one process that share the account's budget.
func MemoryStore() Store { return &memoryStore{data: map[string][]byte{}} }

type memoryStore struct {
	mu   sync.Mutex // guards data
	data map[string][]byte
}

func (*memoryStore) String() string { return "memory" }

func (m *memoryStore) Load(ctx context.Context, name string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.data[name]), nil
}

func (m *memoryStore) Save(ctx context.Context, name string, data []byte) error {
	return m.Update(ctx, name, func([]byte) ([]byte, error) { return append([]byte{}, data...), nil })
}

// Update implements [Updater]. change must not call the Store.
func (m *memoryStore) Update(ctx context.Context, name string, change func([]byte) ([]byte, error)) error {
	if err := storable(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	data, err := change(bytes.Clone(m.data[name]))
	if err == nil && data != nil {
		m.data[name] = data
	}
	return err
}
