package balancer

import (
	"cmp"
	"context"
	"errors"
	"time"
)

var (
	errTargetGone = errors.New("balancer: the connection that the key moved to is gone")
	errSilent     = errors.New("balancer: the connection that the key moved to delivers nothing")
	errNotWanted  = errors.New("balancer: key is no longer wanted")
)

// askAgain is how often a part is asked for before it is taken for done.
const askAgain = 3

// startMove begins to hand e over to s, or to the connection that replaces
// e's own. mu is held.
func (b *Balancer) startMove(e *entry, s *shard) {
	to := s.link
	if to == nil || !to.ready || to.retiring {
		// The target is still being dialled: its place is kept until it is up.
		if s != e.shard {
			s.coming++
			s.waits = append(s.waits, e)
			b.refreshView(s)
		}
		return
	}
	if to == e.link || to.join == nil {
		return
	}
	src := e.shard.q
	h := newHandover(e.link, to, s, b.cfg.Overlap, func(Key) *queue { return src })
	e.move = h
	b.movers[e] = struct{}{}
	if s != e.shard {
		s.coming++
		b.refreshView(s)
	}
	e.link.setGate(e.key, h)
	to.setGate(e.key, h)
	e.stamp++
	if !e.inJoins {
		e.inJoins = true
		b.joins = append(b.joins, e)
	}
	b.kickJoiner()
}

// moveConfirmed hears that the service confirmed the target. The reader has
// told the handover already. mu is held.
func (b *Balancer) moveConfirmed(e *entry, now time.Time) {
	h := e.move
	e.stamp++
	e.link, e.on, e.member = h.to, true, true
	if e.wanted {
		e.state = Member
	}
	if t := e.trouble; t != nil {
		t.err, t.until, t.tries, t.gapFrom, t.gapErr = nil, time.Time{}, 0, time.Time{}, nil
	}
	if h.gone {
		b.settleMove(e, now)
		return
	}
	b.later(h, now, func(now time.Time) {
		if e.move != h || h.gone || h.at() == aborted {
			return
		}
		h.release()
		b.later(h, now, func(now time.Time) {
			b.partSource(e, h, now, 1)
		})
	})
}

// ghostTries is for how many overlaps a target may deliver nothing of what the
// source delivers before the move is given up.
const ghostTries = 10

// partSource parts the source, unless the target delivers nothing of what the
// source does: a confirmed join is not always one.
func (b *Balancer) partSource(e *entry, h *handover, now time.Time, try int) {
	switch {
	case e.move != h || h.gone || h.at() == aborted:
	case !h.silent(fromTarget, h.to.upTo(now)):
		h.parting = true
		b.askPart(e, h, 1)
	case try < ghostTries:
		b.later(h, now, func(now time.Time) { b.partSource(e, h, now, try+1) })
	default:
		b.log.Warn().Str("key", string(e.key)).Stringer("shard", h.to.id).Msg("joined and silent: the key stays where it was")
		h.to.ask(e.key, false)
		b.targetGone(e, errSilent, now)
	}
}

// behind reports whether an end had to wait for its queue within one overlap.
func (h *handover) behind(now time.Time) bool {
	for _, l := range []*link{h.from, h.to} {
		if l != nil && !l.dead && l.blocked.Load() > now.Add(-h.overlap).UnixNano() {
			return true
		}
	}
	return false
}

// askPart asks the source to part, and again until it answers. mu is held.
func (b *Balancer) askPart(e *entry, h *handover, n int) {
	h.from.ask(e.key, false)
	b.at(time.Now().Add(b.cfg.JoinTimeout), func(now time.Time) {
		switch {
		case e.move != h || h.gone:
		case n < askAgain:
			b.askPart(e, h, n+1)
		default:
			b.log.Warn().Str("key", string(e.key)).Stringer("shard", h.from.id).Msg("part not confirmed")
			b.sourceGone(e, now, nil, now)
		}
	})
}

// sourceGone hears that the source of e's handover delivers no more: it
// confirmed its part (err is nil), or it ended. mu is held.
func (b *Balancer) sourceGone(e *entry, last time.Time, err error, now time.Time) {
	h := e.move
	if h.gone {
		return
	}
	h.gone = true
	h.sourceGone(e.key, last, err, now)
	h.from.members--
	switch {
	case h.breaks: // its place is kept for the target
	case h.sent:
		b.members -= b.weight(e) // no longer a double membership
		b.admit()
	default:
		h.breaks = true
	}
	confirmed := h.at() != remember
	if e.shard != h.dest {
		b.takeOff(e)
		h.dest.coming--
		e.shard, e.pos = h.dest, int32(len(h.dest.keys))
		h.dest.keys = append(h.dest.keys, e)
		b.refreshView(h.dest)
	}
	if confirmed {
		b.settleMove(e, now)
	} else {
		e.link, e.on = nil, false
		if e.state == Member {
			e.state = Lost
		}
		b.rejoinMove(e)
		if !e.wanted && !h.sent {
			b.finishMove(e, h)
		}
	}
	b.closeReplaced(h.from)
}

// rejoinMove queues the join of a target whose source is gone before it was asked for. mu is held.
func (b *Balancer) rejoinMove(e *entry) {
	if !e.move.sent && !e.inJoins {
		e.inJoins = true
		b.joins = append(b.joins, e)
		b.kickJoiner()
	}
}

// settleMove waits one overlap and then ends the handover. mu is held.
func (b *Balancer) settleMove(e *entry, now time.Time) {
	h := e.move
	b.later(h, now, func(time.Time) { b.finishMove(e, h) })
}

func (b *Balancer) finishMove(e *entry, h *handover) {
	if e.move != h || h.ending {
		return
	}
	h.ending = true
	h.finish([]*queue{h.route(e.key)}, func() {
		b.post(note{data: func() { b.endMove(e, h) }})
	})
}

// endMove forgets a handover. mu is held.
func (b *Balancer) endMove(e *entry, h *handover) {
	if e.move != h {
		return
	}
	if h.at() == aborted {
		h.endAbort()
	}
	h.to.setGate(e.key, nil)
	if h.from != nil {
		h.from.setGate(e.key, nil)
	}
	e.move = nil
	delete(b.movers, e)
	b.closeReplaced(h.from)
	switch {
	case !e.wanted:
		b.part(e, time.Now())
	case e.shard.retire:
		b.unplaced(e)
		b.kick()
	case e.link == nil || e.link.dead:
		e.link = nil
		b.queueJoin(e)
	case e.shard.link != nil && e.shard.link != e.link && e.state == Member:
		b.startMove(e, e.shard) // replaced once more meanwhile
	}
}

// targetGone hears that the target of e's handover refused, went silent or
// ended. e stays with the source if that is still there. mu is held.
func (b *Balancer) targetGone(e *entry, err error, now time.Time) {
	h := e.move
	if h.at() == aborted {
		return
	}
	if h.ending {
		if e.link == h.to {
			b.end(e, h.gapSince(), err)
		}
		return
	}
	if h.sent {
		h.to.members--
		if !h.breaks && !h.gone {
			b.members -= b.weight(e)
			b.admit()
		}
	}
	if h.gone {
		// Nobody has it now. What both delivered is handled before it is joined again.
		t := e.bad()
		if t.gapFrom.IsZero() {
			t.gapFrom, t.gapErr = h.gapSince(), err
		}
		e.link, e.on = nil, false
		if e.wanted {
			e.state = Lost
		}
		b.finishMove(e, h)
		return
	}
	h.abort()
	e.link, e.on = h.from, true
	if h.dest != e.shard {
		h.dest.coming--
		b.refreshView(h.dest)
		b.closeEmpty(h.dest)
	}
	if h.parting {
		h.breaks = false
	}
	b.at(now.Add(h.overlap), func(time.Time) {
		if e.move == h {
			b.endMove(e, h)
		}
	})
}

// gapSince is when the last event of the key was sent, as far as known.
func (h *handover) gapSince() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.gapFrom.IsZero() && h.phase == remember {
		return h.gapFrom
	}
	return h.lastTarget
}

// breakFirst parts e from its source before the target is joined, because the
// account has no room for a double membership. mu is held.
func (b *Balancer) breakFirst(e *entry) {
	h := e.move
	if h.breaks || h.gone {
		return
	}
	h.breaks, h.parting = true, true
	h.mu.Lock()
	h.gapFrom, h.gapErr = time.Now(), ErrKeyCap
	h.mu.Unlock()
	b.askPart(e, h, 1)
}

// onParted hears that the service ended k's membership on l.
func (b *Balancer) onParted(l *link, k Key, d Parted, at time.Time) {
	e := b.keys[k]
	if e == nil {
		return
	}
	now := time.Now()
	if h := e.move; h != nil {
		switch l {
		case h.from:
			err := d.Err
			if h.parting {
				err = nil
			}
			if h.at() == aborted {
				h.endAbort()
				b.end(e, at, cmp.Or(d.Err, errTargetGone)) // it was the only membership
				return
			}
			b.sourceGone(e, at, err, now)
			return
		case h.to:
			h.ended(at)
			b.targetGone(e, d.Err, now)
			return
		}
	}
	if e.link != l {
		return
	}
	b.end(e, at, d.Err)
	switch {
	case !e.wanted:
		b.forget(e)
	case d.Err == nil:
		b.queueJoin(e) // parted and wanted again
	default:
		e.stamp++
		stamp := e.stamp
		b.at(now.Add(b.cfg.Backoff.delay(1)), func(time.Time) {
			if e.stamp == stamp && e.wanted && e.shard != nil {
				b.queueJoin(e)
			}
		})
	}
}

// end ends e's membership because the service did. mu is held.
func (b *Balancer) end(e *entry, last time.Time, err error) {
	b.leave(e)
	if !e.wanted {
		b.resign(e)
	}
	if e.state == Member && err != nil {
		if t := e.bad(); t.gapFrom.IsZero() {
			t.gapFrom, t.gapErr, t.err = last, err, err
		}
		e.state = Lost
	} else if e.wanted && e.state != Lost {
		e.state = Queued
	}
	e.stamp++
}

// part ends e, which is no longer wanted. mu is held; the loop alone calls it.
func (b *Balancer) part(e *entry, now time.Time) {
	if e.wanted || b.keys[e.key] != e {
		return // wanted again, or gone
	}
	if e.move != nil {
		if !e.move.sent {
			b.targetGone(e, errNotWanted, now)
		}
		return // parted when its handover is over
	}
	if e.link == nil || e.link.dead || e.state == Denied {
		b.leave(e)
		b.forget(e)
		return
	}
	e.state = Parting
	b.askEnd(e, e.link, 1)
}

func (b *Balancer) askEnd(e *entry, l *link, n int) {
	e.stamp++
	stamp := e.stamp
	l.ask(e.key, false)
	b.at(time.Now().Add(b.cfg.JoinTimeout), func(now time.Time) {
		switch {
		case e.stamp != stamp || e.state != Parting:
		case n < askAgain:
			b.askEnd(e, l, n+1)
		default:
			b.onParted(l, e.key, Parted{}, now)
		}
	})
}

// onCutOver replaces a connection that the service is about to close.
func (b *Balancer) onCutOver(l *link, now time.Time) {
	s := l.s
	if l.dead || l.retiring || s.retire || s.link != l {
		return
	}
	if l.join == nil {
		l.cut.Store(true)
		b.wg.Go(func() { l.conn.Close() }) // resumed at once: the service replays what is missed
		return
	}
	b.log.Info().Stringer("shard", s.id).Msg("service asks for a new connection")
	l.retiring = true
	s.start()
}

// closeReplaced ends a connection that has been replaced once no key is left
// on it. mu is held.
func (b *Balancer) closeReplaced(l *link) {
	if l == nil || l.dead || !l.retiring || l.members > 0 || l.s.link == nil || l.s.link == l {
		return
	}
	for e := range b.movers {
		if e.move.from == l {
			return
		}
	}
	b.quitLink(l)
}

// quitLink ends a connection politely, in its own time. mu is held.
func (b *Balancer) quitLink(l *link) {
	l.retiring = true
	b.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), quitWithin)
		defer cancel()
		l.quit(ctx)
	})
}

// quitWithin bounds a polite end.
const quitWithin = 2 * time.Second
