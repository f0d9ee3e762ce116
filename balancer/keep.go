package balancer

import (
	"context"
	"errors"
	"time"
)

// keeper keeps a shard connected: it dials, reads until the connection ends,
// and dials again. It belongs to one goroutine at a time. While a handler takes
// long, another goroutine takes it over (watch.go).
type keeper struct {
	s       *shard
	ctx     context.Context
	cancel  context.CancelFunc
	run     int // which of the shard's keepers this is: a later one replaces it
	session *Session
	fails   int // in a row
	link    *link
	up      time.Time
}

// start has a goroutine keep the shard connected. mu is held.
func (s *shard) start() {
	ctx, cancel := context.WithCancel(s.b.ctx)
	s.run++
	s.cancel = cancel
	if s.state != Ready {
		s.state = Dialing
	}
	k := &keeper{s: s, ctx: ctx, cancel: cancel, run: s.run, session: s.given}
	s.b.wg.Go(k.keep)
}

// keep goes on until the shard is stopped, the service turned it away for
// good, another keeper has replaced this one because the service asked for a
// new connection, or another goroutine has taken over. Each reconnect is a turn
// of its loop.
func (k *keeper) keep() {
	for k.ctx.Err() == nil {
		var err error
		if k.link == nil {
			if k.fails > 0 && !k.s.pause(k.ctx, k.run, k.s.b.cfg.Backoff.delay(k.fails)) {
				break
			}
			k.link, err = k.s.dial(k.ctx, k.run, k.session)
			k.up = time.Now()
		}
		if k.link != nil {
			var moved bool
			if err, moved = k.link.read(k); moved {
				return // the goroutine that has k now ends it
			}
		}
		if !k.again(err) {
			break
		}
	}
	k.cancel()
}

// again hears why the connection ended or was not made, and reports whether to
// go on.
func (k *keeper) again(err error) bool {
	l := k.link
	k.link = nil
	if l != nil {
		if over := k.s.lost(k.run, l, err); over {
			return false
		}
		k.session = l.resume()
		if l.cut.Load() {
			k.fails = 0
			return true
		}
		if time.Since(k.up) >= k.s.b.cfg.Backoff.Reset {
			k.fails = 0
		}
	}
	if k.ctx.Err() != nil {
		return false
	}
	switch retry(err) {
	case Never:
		k.s.stop(k.run, err)
		return false
	case Fresh:
		k.session = nil
	}
	k.fails++
	k.s.failed(k.run, err, k.fails)
	return true
}

func retry(err error) Retry {
	var ce *ConnError
	if errors.As(err, &ce) {
		return ce.Retry
	}
	return Resume
}
