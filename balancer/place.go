package balancer

import (
	"iter"
	"slices"
	"time"
)

// view is what the policy sees. mu is held; the policy may read shards' keys
// without it, because only the loop changes them and the loop waits for it.
func (b *Balancer) view(now time.Time, fresh []*entry) View {
	v := View{
		Now: now, Shards: b.views, KeyCap: b.cfg.ChannelsPerShard,
		MaxShards: b.cfg.MaxShardCount - b.lostSlots(),
		Asked:     b.asked, Resized: b.resized, Moving: len(b.movers),
		KeysOf: b.keysOf,
	}
	if b.cfg.InitialShardCount < 0 {
		v.MaxShards = len(b.open) // shards come by Acquire
	}
	if !b.measure.IsZero() {
		v.MeasureFor = now.Sub(b.measure)
	}
	if len(fresh) > 0 {
		v.Unplaced = make([]Key, len(fresh))
		for i, e := range fresh {
			v.Unplaced[i] = e.key
		}
	}
	return v
}

// lostSlots counts shards that exist and take no keys: those that the service
// turned away, which must not be opened again, and those being closed.
func (b *Balancer) lostSlots() int { return len(b.shards) - len(b.open) }

// keysOf yields the keys of a shard that may move. Asking for rates is what
// starts measuring them. Called by the policy, so by the loop.
func (b *Balancer) keysOf(i int) iter.Seq2[Key, Rate] {
	return func(yield func(Key, Rate) bool) {
		if b.measure.IsZero() {
			b.startMeasuring()
		}
		type rated struct {
			key  Key
			rate Rate
		}
		b.mu.Lock()
		keys := make([]rated, 0, len(b.open[i].keys))
		for _, e := range b.open[i].keys {
			if e.move != nil || !e.wanted {
				continue
			}
			r := rated{key: e.key}
			if e.trouble != nil {
				r.rate = e.trouble.rate
			}
			keys = append(keys, r)
		}
		b.mu.Unlock()
		for _, k := range keys {
			if !yield(k.key, k.rate) {
				return
			}
		}
	}
}

// applyBatch bounds how long a plan holds mu.
const applyBatch = 4096

// apply does what a plan asks for, as far as caps allow.
func (b *Balancer) apply(p Plan, fresh []*entry, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cfg.InitialShardCount >= 0 {
		for range min(p.Open, b.cfg.MaxShardCount-len(b.shards)) {
			s := b.newShard(ShardID{Index: b.freeIndex()})
			s.start()
		}
	}
	for i, e := range fresh {
		if i%applyBatch == applyBatch-1 {
			b.mu.Unlock()
			b.mu.Lock()
		}
		e.inFresh = false
		if !e.wanted {
			if e.state != Parting {
				b.part(e, now)
			}
			continue
		}
		to := Nowhere
		if i < len(p.Place) {
			to = p.Place[i]
		}
		switch {
		case to >= 0 && to < len(b.open) && b.open[to].roomFor():
			b.place(e, b.open[to])
		case e.shard != nil:
			// It stays on the shard that is being closed until there is room.
			b.full = append(b.full, e)
			e.inFresh = true
		default:
			b.refuseFull(e)
		}
	}
	for _, m := range p.Move {
		if e := b.keys[m.Key]; e != nil && e.wanted && e.move == nil && m.To >= 0 && m.To < len(b.open) {
			if s := b.open[m.To]; s != e.shard && s.roomFor() {
				b.place(e, s)
			}
		}
	}
	if p.Again > 0 {
		b.again = now.Add(p.Again)
		b.at(b.again, func(time.Time) {})
		b.sampleRates(now)
	}
}

// freeIndex returns the lowest index that no shard has. mu is held.
func (b *Balancer) freeIndex() int {
	if len(b.freed) == 0 {
		b.indexes++
		return b.indexes - 1
	}
	low := slices.Min(b.freed)
	b.freed = slices.DeleteFunc(b.freed, func(i int) bool { return i == low })
	return low
}

// place puts e on s: at once if it stands nowhere or is not joined, by
// handover otherwise. mu is held.
func (b *Balancer) place(e *entry, s *shard) {
	if e.shard == s || e.move != nil || e.on && e.state != Member {
		return // a join that is under way is left to be answered first
	}
	if e.shard != nil && e.link != nil && e.state == Member {
		b.startMove(e, s)
		return
	}
	if e.shard != nil {
		b.takeOff(e)
	}
	e.shard, e.pos = s, int32(len(s.keys))
	s.keys = append(s.keys, e)
	b.refreshView(s)
	b.queueJoin(e)
}

// takeOff removes e from its shard. mu is held; the loop alone calls it.
func (b *Balancer) takeOff(e *entry) {
	s := e.shard
	last := s.keys[len(s.keys)-1]
	s.keys[e.pos], last.pos = last, e.pos
	s.keys[len(s.keys)-1] = nil
	s.keys = s.keys[:len(s.keys)-1]
	e.shard = nil
	b.refreshView(s)
	b.closeEmpty(s)
}

// refuseFull tells a key that there is no room. It waits. mu is held.
func (b *Balancer) refuseFull(e *entry) {
	b.full = append(b.full, e)
	e.inFresh = true
	if e.state != Denied || e.bad().err != ErrFull {
		b.refuse(e, ErrFull, time.Time{}, time.Now())
	}
}

// refuse tells a key that it is not joined and why. What it missed since its
// connection ended is told before; what it misses from now on is told when it
// is joined again. mu is held.
func (b *Balancer) refuse(e *entry, err error, until, now time.Time) {
	e.state = Denied
	t := e.bad()
	t.err, t.until = err, until
	if !t.gapFrom.IsZero() {
		b.say(e, Gap{From: t.gapFrom, To: now, Err: t.gapErr})
		t.gapFrom, t.gapErr = now, err
	}
	b.say(e, Refused{Err: err, Until: until})
}

// roomAgain lets keys that wait for room be placed as far as there is some. mu is held.
func (b *Balancer) roomAgain() {
	if len(b.full) > 64+2*len(b.keys) {
		b.full = slices.DeleteFunc(b.full, b.stale)
	}
	if len(b.full) == 0 {
		return
	}
	room := max(0, b.cfg.MaxShardCount-len(b.shards)) * b.cfg.ChannelsPerShard
	if b.cfg.InitialShardCount < 0 {
		room = 0
	}
	for i := range b.views {
		room += max(0, b.views[i].Cap-b.views[i].Keys)
	}
	if room > 0 {
		b.full = slices.DeleteFunc(b.full, b.stale) // the dead take nobody's turn
	}
	n := min(room, len(b.full))
	b.fresh = append(b.fresh, b.full[:n]...)
	b.full = append(b.full[:0], b.full[n:]...)
}

// stale reports whether e stands for a key that was parted. mu is held.
func (b *Balancer) stale(e *entry) bool { return b.keys[e.key] != e }

// say hands an event about e to the Handler, through the queue of its shard or
// of any. mu is held.
func (b *Balancer) say(e *entry, data any) {
	s := e.shard
	if s == nil && len(b.shards) > 0 {
		s = b.shards[0]
	}
	if s != nil {
		s.q.append(Event{Shard: s.id, Key: e.key, Data: data, at: time.Now().UnixNano()})
	}
}

// forget removes e, which is neither wanted nor a member of anything. mu is held.
func (b *Balancer) forget(e *entry) {
	if e.shard != nil {
		b.takeOff(e)
	}
	if e.member {
		b.resign(e)
	} else if e.state == Queued {
		b.admit() // the place that it was let in to is free again
	}
	e.stamp++
	delete(b.keys, e.key)
	if !e.inFresh && !e.inJoins && !e.inCapped {
		b.slab.put(e)
	}
}
