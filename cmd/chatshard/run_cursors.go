package main

import (
	"context"

	"github.com/chatshard/chatshard/cmd/chatshard/relay"
)

// cursors keeps the cursors of named consumers in the engine.
type cursors struct{ store *relay.Store }

func (c cursors) Load(ctx context.Context, name string) (relay.Cursor, error) {
	text, err := c.store.Load(ctx, name)
	if err != nil || len(text) == 0 {
		return relay.Cursor{}, err
	}
	return relay.ParseCursor(string(text))
}

func (c cursors) Save(ctx context.Context, name string, at relay.Cursor) error {
	return c.store.Save(ctx, name, []byte(at.String()))
}
