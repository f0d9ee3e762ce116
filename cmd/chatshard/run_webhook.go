package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/cmd/chatshard/relay"
)

// hook is a webhook that is served.
type hook struct {
	*relay.Webhook
	running atomic.Bool
}

const (
	hookFirst = time.Second // after which one that could not go on is tried again
	hookMost  = time.Minute
)

// serveWebhooks begins to deliver, until the pipeline ends.
func (p *pipeline) serveWebhooks(c *relayConfig) error {
	if len(c.Webhooks) == 0 {
		return nil
	}
	if err := os.MkdirAll(c.DeadLetters, 0o700); err != nil {
		return fmt.Errorf("relay.dead_letters: %w; choose another directory", err)
	}
	for i := range c.Webhooks {
		h := &hook{Webhook: c.Webhooks[i].webhook(c.DeadLetters)}
		h.Logger = p.zlog
		p.hooks = append(p.hooks, h)
		p.serving.Go(func() { p.deliver(h) })
	}
	return nil
}

// deliver runs a webhook for as long as its receiver wants it. What stops it for
// now (the cursors cannot be read, dead letters not be written) is tried again.
func (p *pipeline) deliver(h *hook) {
	for wait := hookFirst; ; wait = min(2*wait, hookMost) {
		h.running.Store(true)
		began := time.Now()
		err := h.Run(p.ctx, p.server.Consumers())
		h.running.Store(false)
		switch {
		case p.ctx.Err() != nil:
			return
		case errors.Is(err, relay.ErrGone):
			p.zlog.Error().Str("webhook", h.Name).Err(err).Msg("nothing is delivered any more")
			return
		}
		if time.Since(began) > hookMost {
			wait = hookFirst
		}
		p.zlog.Warn().Str("webhook", h.Name).Err(err).Dur("wait", wait).Msg("webhook is tried again")
		if !sleep(p.ctx, wait) {
			return
		}
	}
}

// sleep reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
