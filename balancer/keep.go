package balancer

import (
	"context"
	"errors"
	"time"
)

// keeper keeps a shard connected: it dials, reads until the connection ends,
// and dials again. It belongs to one goroutine at a time. While a handler takes
// long, another goroutine takes it over (watch.go); while its connection is quiet,
// to the poller (poll.go).
type keeper struct {
	s       *shard
	run     int // which of the shard's keepers this is: a later one replaces it
	session *Session
	fails   int // in a row
	link    *link
	up      time.Time
	first   bool // it has not been admitted yet: it counts among Balancer.waiting
}

// maxWaiting is how many keepers wait for their first login at a time, each with
// a goroutine. Thousands of stacks would be looked at in each garbage collection
// for as long as the login budget makes a large fleet wait.
const maxWaiting = 512

// start has a goroutine keep the shard connected. mu is held.
func (s *shard) start() {
	s.run++
	if s.state != Ready {
		s.state = Dialing
	}
	s.b.queued = append(s.b.queued, &keeper{s: s, run: s.run, session: s.given, first: true})
	s.b.startWaiting()
}

// startWaiting has goroutines keep those that are next, as far as there may be
// more. mu is held.
func (b *Balancer) startWaiting() {
	for b.waiting < maxWaiting && len(b.queued) > 0 && b.ctx.Err() == nil {
		k := b.queued[0]
		b.queued[0] = nil
		b.queued = b.queued[1:]
		if k.run != k.s.run || k.s.closed {
			continue // it was stopped meanwhile
		}
		b.waiting++
		b.wg.Go(k.keep)
	}
}

// admitted makes room for the next one that waits.
func (k *keeper) admitted() {
	if !k.first {
		return
	}
	k.first = false
	b := k.s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting--
	b.startWaiting()
}

// keep goes on until the shard is stopped, the service turned it away for
// good, another keeper has replaced this one because the service asked for a
// new connection, or another goroutine has taken over. Each reconnect is a turn
// of its loop.
func (k *keeper) keep() {
	for {
		var err error
		if k.link == nil {
			ctx, cancel, ok := k.s.dialing(k.run)
			if !ok {
				k.admitted()
				return
			}
			if k.fails == 0 || k.s.pause(ctx, k.run, k.s.b.cfg.Backoff.delay(k.fails)) {
				err = k.s.login(ctx)
				k.admitted()
				if err == nil {
					k.link, err = k.s.dial(ctx, k.run, k.session)
				}
			}
			cancel()
			k.up = time.Now()
			if k.link == nil && err == nil {
				return
			}
		}
		if k.link != nil {
			var left bool
			if err, left = k.link.read(k); left {
				return // k is another goroutine's, or the poller's
			}
		}
		if !k.again(err) {
			return
		}
	}
}

// goOn keeps the shard connected after its connection ended with err.
func (k *keeper) goOn(err error) {
	k.link.unpark()
	if k.again(err) {
		k.keep()
	}
}

// dialing returns the context of one dial, the pause before it included, and
// whether the shard is still this run's to connect. A connected shard holds no
// context: what ends it closes the connection.
func (s *shard) dialing(run int) (context.Context, context.CancelFunc, bool) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.run != run || s.closed || s.b.ctx.Err() != nil {
		return nil, nil, false
	}
	ctx, cancel := context.WithCancel(s.b.ctx)
	s.cancel = cancel
	return ctx, cancel, true
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
		if l.cut.Load() && time.Since(k.up) >= k.s.b.cfg.Backoff.Min {
			k.fails = 0
			return true
		} // a service that asks for a new connection again and again is paced
		if time.Since(k.up) >= k.s.b.cfg.Backoff.Reset {
			k.fails = 0
		}
	}
	if k.s.b.ctx.Err() != nil {
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
