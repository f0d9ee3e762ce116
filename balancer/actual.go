package balancer

import "time"

// up notes that a connection is logged in. Called by its reader, so that
// whoever handles the event finds the shard ready.
func (b *Balancer) up(l *link, d Up, now time.Time) {
	l.mu.Lock()
	had := l.session
	l.session = d.Session
	l.mu.Unlock()
	b.mu.Lock()
	s := l.s
	s.state, s.since, s.err, s.fails = Ready, now, nil, 0
	gap := (had != nil || b.placer != nil) && !d.Resumed && !s.lastSent.IsZero()
	from := s.lastSent
	if from.IsZero() && !d.Since.IsZero() {
		gap, from = !d.Resumed, d.Since
	}
	h := s.takeover
	w := b.law.Load()
	bereft := w != nil && !d.Resumed && s.id.Gen == w.gen-1 && !s.lastSent.IsZero()
	if h != nil && w != nil && !w.alone && !d.Resumed && (h.at() == hold || h.at() == both) {
		b.takeOverAgain(s)
	}
	b.mu.Unlock()
	if bereft {
		b.bereft(s, w, now)
	}
	if h != nil && h.at() <= hold {
		gap = false // the generation before it still delivers
	}
	if gap && d.Partial {
		// Keys that are not there yet miss what comes until they are.
		b.mu.Lock()
		if s.missing.IsZero() {
			s.missing = now
		}
		b.mu.Unlock()
	}
	if gap {
		l.q.append(Event{Shard: l.id, link: l, at: now.UnixNano(), Data: Gap{From: from, To: now, Err: errSession}})
	}
	if h != nil && !d.Partial {
		h.confirm("", now)
	}
}

// settled notes that a connection carries all of its keys. Called by its reader.
func (b *Balancer) settled(l *link, now time.Time) {
	b.mu.Lock()
	h := l.s.takeover
	from := l.s.missing
	l.s.missing = time.Time{}
	b.mu.Unlock()
	if h != nil {
		h.confirm("", now)
	}
	if !from.IsZero() {
		l.q.append(Event{Shard: l.id, link: l, at: now.UnixNano(), Data: Gap{From: from, To: now, Err: errSession}})
	}
}

func (b *Balancer) onSettled(l *link, now time.Time) {
	if s := l.s; !l.dead && s.link == l && s.takeover != nil {
		b.takingOver(s, now)
	}
}

// onUp queues what is to be joined on a new connection, and hands over what
// stands on the one that it replaces.
func (b *Balancer) onUp(l *link, d Up, now time.Time) {
	s := l.s
	if l.dead || s.link != l {
		return
	}
	s.cap = b.cfg.ChannelsPerShard
	if d.Cap > 0 && d.Cap < s.cap {
		b.log.Info().Stringer("shard", s.id).Int("cap", d.Cap).Msg("service allows fewer keys per connection than configured")
		s.cap = d.Cap
	}
	l.ready = true
	b.refreshView(s)
	if s.takeover != nil && !d.Partial {
		b.takingOver(s, now)
	}
	if l.join == nil {
		return
	}
	for i := len(s.keys) - 1; i >= s.cap; i-- {
		e := s.keys[i] // does not fit on this connection
		b.unplaced(e)
		if e.move == nil && e.link == nil {
			b.takeOff(e)
		}
	}
	for i, e := range s.keys {
		switch {
		case i >= s.cap || e.move != nil || !e.wanted:
		case e.link == nil && (e.state == Queued || e.state == Lost || e.state == Wanted):
			b.queueJoin(e)
		case e.link != l && e.state == Queued:
			b.unmember(e) // asked in vain on the connection that is being replaced
			b.queueJoin(e)
		case e.link != nil && e.link != l && e.state == Member:
			b.startMove(e, s)
		}
		// A join that is under way on the connection being replaced is left to be
		// answered: the answer starts its handover.
	}
	waits := s.waits
	s.waits = nil
	for _, e := range waits {
		s.coming--
		if e.wanted && e.move == nil && e.shard != nil && e.shard != s && s.roomFor() {
			b.place(e, s)
		}
	}
	b.refreshView(s)
	for _, o := range s.all() {
		b.closeReplaced(o)
	}
	b.closeEmpty(s)
	b.kick()
}

// onDown makes every key of a connection that ended lost, and has it joined
// again when the shard is connected again.
func (b *Balancer) onDown(l *link, d Down, last time.Time) {
	now := time.Now()
	s := l.s
	for e := range b.movers {
		h := e.move
		switch l {
		case h.to:
			h.ended(last)
			b.targetGone(e, d.Err, now)
		case h.from:
			if h.at() == aborted {
				h.endAbort()
				b.end(e, last, d.Err)
			} else {
				b.sourceGone(e, last, d.Err, now)
			}
		}
	}
	for i := len(s.keys) - 1; i >= 0; i-- {
		e := s.keys[i]
		if e.move != nil || e.link != l {
			continue
		}
		b.end(e, last, d.Err)
		switch {
		case !e.wanted:
			b.forget(e)
		case s.link != nil || s.view < 0:
			b.queueJoin(e)
		}
	}
	b.refreshView(s)
	b.closeEmpty(s)
}

// onStopped hears that the service turned a shard away for good. Its keys go
// elsewhere if there is room; if it was the last shard, Run ends.
func (b *Balancer) onStopped(s *shard) {
	if s.closed {
		return // it went with its generation, or was released
	}
	if s.id.Gen > 0 && s.id.Gen == b.resizing() && len(b.generation(s.id.Gen-1)) > 0 {
		b.rollback(s.err)
		return
	}
	alive := false
	for _, o := range b.shards {
		alive = alive || o.state != Stopped
	}
	if !alive {
		b.fatal = &ShardError{Shard: s.id, Err: s.err}
		return
	}
	b.hide(s)
	for _, e := range s.keys {
		if e.move == nil {
			b.unplaced(e)
		}
	}
}

// rescue moves the keys of a shard that cannot connect to shards that have.
func (b *Balancer) rescue(s *shard) {
	if b.placer != nil || s.link != nil || s.retire {
		return
	}
	room := 0
	for _, o := range b.open {
		if o != s && o.state == Ready {
			room += max(0, o.cap-len(o.keys)-o.coming)
		}
	}
	for _, e := range s.keys {
		if room == 0 {
			break
		}
		if e.move == nil && e.wanted && e.link == nil && e.state != Denied {
			b.unplaced(e)
			room--
		}
	}
}

// retireAbove closes the shards from index n on, once their keys have moved.
func (b *Balancer) retireAbove(n int) {
	for i := len(b.open) - 1; i >= 0; i-- {
		if s := b.open[i]; s.id.Index >= n {
			b.retireShard(s)
		}
	}
}

// retireIdle closes a shard that has had no key for IdleAfter, if there are
// more than were asked for.
func (b *Balancer) retireIdle(s *shard, now time.Time) {
	if s.retire || s.view < 0 || b.cfg.InitialShardCount < 0 || len(b.open) <= b.asked || s.emptyAt.IsZero() {
		return
	}
	if now.Sub(s.emptyAt) >= b.cfg.IdleAfter {
		b.log.Debug().Stringer("shard", s.id).Msg("closing a shard without keys")
		b.retireShard(s)
	}
}

func (b *Balancer) retireShard(s *shard) {
	if s.retire {
		return
	}
	s.retire, s.state = true, Retiring
	b.hide(s)
	for _, e := range s.keys {
		b.unplaced(e)
	}
	b.closeEmpty(s)
	b.kick()
}

// closeEmpty ends a retiring shard once nothing is left on it. mu is held.
func (b *Balancer) closeEmpty(s *shard) {
	if !s.retire || len(s.keys)+s.coming > 0 || s.closed {
		return
	}
	for e := range b.movers {
		if h := e.move; h.from != nil && h.from.s == s && !h.gone {
			return
		}
	}
	b.endShard(s, true)
}

// endShard ends a shard's connections and forgets it. mu is held.
func (b *Balancer) endShard(s *shard, politely bool) {
	s.closed, s.retire, s.state = true, true, Retiring
	b.hide(s)
	s.run++
	if s.cancel != nil {
		s.cancel()
	}
	for _, l := range s.all() {
		if politely {
			b.quitLink(l)
		} else {
			l.retiring = true
			b.wg.Go(l.close)
		}
	}
	if b.placer == nil && b.cfg.InitialShardCount >= 0 {
		b.freed = append(b.freed, s.id.Index)
	}
	for i, o := range b.shards {
		if o == s {
			b.shards = append(b.shards[:i], b.shards[i+1:]...)
			break
		}
	}
}
