package balancer

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// queueJoin puts e among the joins if its shard is connected; else it is
// queued when the shard is. mu is held.
func (b *Balancer) queueJoin(e *entry) {
	e.stamp++
	if e.state != Lost || e.shard.link != nil {
		e.state = Queued
	}
	if e.shard.view < 0 { // it is being closed, or was turned away
		b.unplaced(e)
		b.kick()
		return
	}
	if e.shard.link == nil || !e.shard.link.ready || e.inJoins {
		return
	}
	e.inJoins = true
	b.joins = append(b.joins, e)
	b.kickJoiner()
}

func (b *Balancer) kickJoiner() {
	select {
	case b.joinUp <- struct{}{}:
	default:
	}
}

// joiner sends joins in order, as the budget allows. Everything that waits for
// the budget waits here, so that nothing else does.
func (b *Balancer) joiner(ctx context.Context) {
	for ctx.Err() == nil {
		b.mu.Lock()
		e, l := b.nextJoin()
		b.mu.Unlock()
		if e == nil {
			select {
			case <-ctx.Done():
			case <-b.joinUp:
			}
			continue
		}
		if b.cfg.Limiter != nil {
			if err := b.cfg.Limiter.Wait(ctx, BudgetJoin, l.id, 1); err != nil {
				if ctx.Err() == nil {
					b.log.Warn().Err(err).Msg("join limiter refuses")
					b.sleep(ctx, time.Second)
				}
				continue
			}
		}
		// While it waited, the key may have been parted or its connection lost:
		// what was granted goes to whichever is next now.
		b.mu.Lock()
		if e, l := b.nextJoin(); e != nil {
			b.joins[b.joinPos] = nil
			b.joinPos++
			e.inJoins = false
			b.sendJoin(e, l, time.Now())
		}
		b.mu.Unlock()
	}
}

func (b *Balancer) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// nextJoin returns the first key that is still to be joined, and on which
// connection, dropping those before it that are not. mu is held.
func (b *Balancer) nextJoin() (*entry, *link) {
	for b.joinPos < len(b.joins) {
		e := b.joins[b.joinPos]
		if l := b.joinOn(e); l != nil {
			if e.exempt || b.cfg.KeyCap <= 0 || b.members < b.cfg.KeyCap || e.move == nil && e.member || e.move != nil && e.move.breaks {
				return e, l
			}
			b.overCap(e)
		}
		e.inJoins = false
		if !e.wanted && e.state != Parting && b.keys[e.key] != e && !e.inFresh && !e.inCapped {
			b.slab.put(e)
		}
		b.joins[b.joinPos] = nil
		b.joinPos++
	}
	b.joins, b.joinPos = b.joins[:0], 0
	return nil, nil
}

// joinOn returns the connection that e waits to be joined on, nil if none.
func (b *Balancer) joinOn(e *entry) *link {
	switch {
	case !e.wanted || e.shard == nil:
		return nil
	case e.move != nil:
		if m := e.move; !m.to.dead && !m.sent && (!m.breaks || m.gone) && m.at() == remember {
			return m.to
		}
		return nil
	case e.state == Queued || e.state == Lost:
		if l := e.shard.link; l != nil && l.ready && !l.retiring {
			return l
		}
	}
	return nil
}

// overCap keeps e waiting because the account has joined all that it may. mu is held.
func (b *Balancer) overCap(e *entry) {
	if e.move != nil {
		b.breakFirst(e)
		return
	}
	if !e.inCapped {
		e.inCapped = true
		b.capped = append(b.capped, e)
	}
	if len(b.capped) > 64+2*len(b.keys) {
		b.capped = slices.DeleteFunc(b.capped, b.stale)
	}
	if e.state != Denied {
		b.refuse(e, ErrKeyCap, time.Time{}, time.Now())
	}
}

// sendJoin asks for e on l and waits for the answer in its own time. mu is held.
func (b *Balancer) sendJoin(e *entry, l *link, now time.Time) {
	if m := e.move; m != nil {
		m.sent = true
		m.asked(now)
		l.members++
		if !m.breaks {
			b.members += b.weight(e) // a double membership
		}
	} else {
		e.state = Sent
		b.enter(e, l)
		if t := e.trouble; t != nil {
			t.tries++
			if !t.gapFrom.IsZero() {
				l.expectGap(e.key, gapStart{t.gapFrom, t.gapErr})
			}
		} else {
			e.bad().tries++
		}
	}
	e.stamp++
	stamp := e.stamp
	l.ask(e.key, true)
	b.at(now.Add(b.cfg.JoinTimeout), func(now time.Time) {
		if e.stamp == stamp {
			b.unconfirmed(e, l, now)
		}
	})
}

// weight is what e counts against KeyCap.
func (b *Balancer) weight(e *entry) int {
	if e.exempt {
		return 0
	}
	return 1
}

// enter counts e as a membership on l; it may be one from the join on. A key
// that lost its connection has kept its place among the account's keys.
func (b *Balancer) enter(e *entry, l *link) {
	if e.link != l || !e.on {
		l.members++
	}
	e.link, e.on = l, true
	if !e.member {
		e.member = true
		b.members += b.weight(e)
	}
}

// leave takes e off its connection. mu is held.
func (b *Balancer) leave(e *entry) {
	if e.on {
		e.on = false
		e.link.members--
	}
	e.link = nil
}

// resign gives e's place among the account's keys to one that waits for it. mu is held.
func (b *Balancer) resign(e *entry) {
	if !e.member {
		return
	}
	e.member = false
	b.members -= b.weight(e)
	b.admit()
}

// admit lets a key in that waited for the account's cap. mu is held.
func (b *Balancer) admit() {
	for len(b.capped) > 0 && (b.cfg.KeyCap <= 0 || b.members < b.cfg.KeyCap) {
		c := b.capped[0]
		b.capped = b.capped[1:]
		c.inCapped = false
		if c.wanted && c.state == Denied && c.shard != nil && c.trouble.err == ErrKeyCap {
			c.state = Queued
			b.queueJoin(c)
			return
		}
	}
}

// unmember ends e's membership without waiting for the service: its
// connection is gone or being left. mu is held.
func (b *Balancer) unmember(e *entry) {
	if l := e.link; e.on && !l.dead {
		l.forgetGap(e.key)
		l.ask(e.key, false)
	}
	b.leave(e)
	e.stamp++
}

// joined makes e a member at once, so that whoever handles the event finds it
// so. The rest is the loop's. Called by readers.
func (b *Balancer) joined(l *link, k Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.keys[k]; e != nil && e.wanted && e.link == l && e.state != Parting {
		e.state = Member
	}
}

// onJoined hears that the service confirmed k on l.
func (b *Balancer) onJoined(l *link, k Key, now time.Time) {
	e := b.keys[k]
	if e != nil && e.move != nil && e.move.to == l {
		b.moveConfirmed(e, now)
		return
	}
	if e == nil || !e.wanted && e.state != Parting {
		if !l.dead && l.join != nil {
			l.ask(k, false) // nobody wants it
		}
		return
	}
	if l.dead {
		return
	}
	if e.link == nil && e.wanted && e.shard == l.s && e.move == nil {
		b.enter(e, l) // late, but an answer
	}
	if e.link != l {
		return
	}
	e.stamp++
	if t := e.trouble; t != nil {
		t.err, t.until, t.tries, t.gapFrom, t.gapErr = nil, time.Time{}, 0, time.Time{}, nil
		if t.rate == (Rate{}) {
			e.trouble = nil
		}
	}
	if e.state == Parting {
		return
	}
	e.state = Member
	if e.shard.retire {
		b.unplaced(e)
		b.kick()
		return
	}
	if n := e.shard.link; n != nil && n != l && e.move == nil {
		b.startMove(e, e.shard) // confirmed on a connection that has been replaced
	}
}

// onRefused hears that the service refused k on l.
func (b *Balancer) onRefused(l *link, k Key, d Refused, now time.Time) {
	e := b.keys[k]
	if e == nil {
		return
	}
	if m := e.move; m != nil && m.to == l {
		b.targetGone(e, d.Err, now)
		return
	}
	if m := e.move; m != nil && m.from == l {
		b.onParted(l, k, Parted{Err: cmp.Or(d.Err, errTargetGone)}, now)
		return
	}
	if e.link != l {
		return
	}
	b.deny(e, d.Err, d.Until, now)
}

// deny takes e out of its connection and tries again later, if ever. mu is held.
func (b *Balancer) deny(e *entry, err error, until time.Time, now time.Time) {
	if e.link != nil && err != ErrUnconfirmed {
		e.link.forgetGap(e.key)
	}
	b.leave(e)
	b.resign(e)
	e.stamp++
	if !e.wanted {
		b.forget(e)
		return
	}
	b.refuse(e, err, until, now)
	if until.IsZero() {
		// It gives its place to a key that can use it.
		b.takeOff(e)
		return
	}
	stamp := e.stamp
	b.at(until, func(time.Time) {
		if e.stamp == stamp {
			b.retry(e)
		}
	})
}

// retry queues a denied key again. mu is held.
func (b *Balancer) retry(e *entry) {
	if e.state != Denied || !e.wanted {
		return
	}
	if e.shard == nil {
		e.state = Wanted
		b.unplaced(e)
		b.kick()
		return
	}
	if e.trouble != nil && e.trouble.err == ErrKeyCap {
		return // it waits in line
	}
	e.state = Queued
	b.queueJoin(e)
}

// unconfirmed hears that a join was not answered in time. The service may
// have dropped it (a login that does not exist, a burst over the limit) or
// answer late: a late answer counts.
func (b *Balancer) unconfirmed(e *entry, l *link, now time.Time) {
	if m := e.move; m != nil {
		if m.to == l && m.at() == remember {
			l.ask(e.key, false)
			b.targetGone(e, ErrUnconfirmed, now)
		}
		return
	}
	if e.link != l || e.state != Sent || l.dead {
		return
	}
	tries := e.bad().tries
	b.log.Debug().Stringer("shard", l.id).Str("key", string(e.key)).Int("tries", tries).Msg("join not confirmed")
	if !e.wanted {
		b.deny(e, ErrUnconfirmed, time.Time{}, now)
		return
	}
	wait := b.cfg.Backoff.delay(tries)
	if tries >= b.cfg.JoinTries {
		wait = b.cfg.Backoff.Max * time.Duration(min(tries-b.cfg.JoinTries+1, 10))
		b.deny(e, ErrUnconfirmed, now.Add(wait), now)
		return
	}
	e.stamp++
	stamp := e.stamp
	b.at(now.Add(wait), func(time.Time) {
		if e.stamp != stamp || !e.wanted || e.state != Sent {
			return
		}
		e.state = Queued
		if e.shard.link != l {
			b.unmember(e) // the connection is being replaced: its successor is asked
		}
		if e.shard.retire {
			b.unmember(e)
			b.unplaced(e)
			b.kick()
			return
		}
		b.queueJoin(e)
	})
}
