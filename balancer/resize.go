package balancer

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

var (
	errSession  = errors.New("balancer: the session could not be resumed")
	errRollback = errors.New("balancer: the new generation could not come up")
)

// law is how keys are gated while one generation of shards takes over from
// another. The event path reads it without a lock.
type law struct {
	gen   int // the new generation
	count int
	place func(Key, int) int
	takes []*handover // by index of the new generation
	alone bool        // the generation before it is gone; guarded by Balancer.mu
}

// gate returns the takeover that an event of shard id belongs to.
func (w *law) gate(id ShardID, k Key) (*handover, int) {
	if id.Gen == w.gen {
		if id.Index >= len(w.takes) {
			return nil, 0 // of a generation that was given up
		}
		return w.takes[id.Index], fromTarget
	}
	return w.takes[w.place(k, w.count)], fromSource
}

// resizing returns the generation that is taking over, 0 if none is.
func (b *Balancer) resizing() int {
	if w := b.law.Load(); w != nil {
		return w.gen
	}
	return 0
}

// generation returns the shards of one generation, by index. mu is held.
func (b *Balancer) generation(gen int) []*shard {
	var g []*shard
	for _, s := range b.shards {
		if s.id.Gen == gen {
			g = append(g, s)
		}
	}
	return g
}

// count returns the num_shards of the generation that delivers. mu is held.
func (b *Balancer) count() int {
	gen := b.gen
	if w := b.law.Load(); w != nil {
		gen = w.gen - 1
	}
	for _, s := range b.shards {
		if s.id.Gen == gen {
			return s.id.Count
		}
	}
	return 0
}

func (b *Balancer) resizeGeneration(n int) error {
	b.asked = n
	return nil
}

// reconcileGenerations starts the shards that were asked for. mu is held.
func (b *Balancer) reconcileGenerations() {
	if b.cfg.InitialShardCount < 0 || b.resizing() != 0 || b.asked < 1 {
		return
	}
	now := b.count()
	if now == b.asked {
		return
	}
	b.gen++
	if now == 0 {
		for i := range b.asked {
			b.newShard(ShardID{Gen: b.gen, Index: i, Count: b.asked}).start()
		}
		return
	}
	old := b.generation(b.gen - 1)
	place := b.placer.Place
	route := func(k Key) *queue { return old[place(k, len(old))].q }
	w := &law{gen: b.gen, count: b.asked, place: place}
	var fresh []*shard
	for i := range b.asked {
		s := b.newShard(ShardID{Gen: b.gen, Index: i, Count: b.asked})
		s.takeover = newHandover(nil, nil, s, b.cfg.Overlap, route).resumable()
		w.takes = append(w.takes, s.takeover)
		fresh = append(fresh, s)
	}
	b.log.Info().Int("from", len(old)).Int("to", b.asked).Msg("resharding")
	b.law.Store(w)
	for _, s := range fresh {
		s.start()
	}
}

// takingOver hears that a shard of the new generation is up: after one overlap
// both deliver, after another one the old generation is not needed for its keys.
func (b *Balancer) takingOver(s *shard, now time.Time) {
	h := s.takeover
	if s.settling || h.at() != hold {
		return
	}
	s.settling = true
	try := s.takeoverTry
	b.laterShard(s, now, func(now time.Time) {
		if s.takeoverTry != try {
			return
		}
		h.release()
		b.laterShard(s, now, func(now time.Time) {
			if s.takeoverTry != try {
				return
			}
			s.settled = true
			b.tookOver(now)
		})
	})
}

// takeOverAgain holds a shard of the new generation back once more that has
// lost its session: the generation before it may still have to deliver what was
// sent before the first event of the next one. mu is held.
func (b *Balancer) takeOverAgain(s *shard) {
	s.takeoverTry++
	s.settling, s.settled = false, false
	s.takeover.again()
}

// laterShard has do called after one overlap in which the shard and those of
// the generation before it were connected and not behind: what one of them
// still has to replay is not on the others.
func (b *Balancer) laterShard(s *shard, now time.Time, do func(time.Time)) {
	since := now
	b.at(now.Add(b.cfg.Overlap), func(now time.Time) {
		if s.closed || b.resizing() != s.id.Gen {
			return
		}
		late := func(o *shard) bool {
			h := handover{overlap: b.cfg.Overlap, to: o.link}
			return o.state != Stopped && (o.link == nil || o.state != Ready || now.Sub(o.since) < b.cfg.Overlap || h.behind(now))
		}
		h := s.takeover
		silent := h.at() == both && !s.settled && (h.silent(fromTarget, now) || h.silent(fromSource, now))
		if silent || late(s) || slices.ContainsFunc(b.generation(s.id.Gen-1), late) {
			b.laterShard(s, now, do)
			return
		}
		b.onceProven(s, since, do)
	})
}

// onceProven has do called once the shard and those of the generation before it
// have shown a sign of life that they were asked for after since: a connection
// that is dead without anybody having noticed has messages to replay yet.
func (b *Balancer) onceProven(s *shard, since time.Time, do func(time.Time)) {
	all := append(b.generation(s.id.Gen-1), s)
	proven := true
	for _, o := range all {
		if o.state != Stopped {
			proven = b.alive(o.link, since) && proven
		}
	}
	now := time.Now()
	if proven {
		do(now)
		return
	}
	b.at(now.Add(max(b.cfg.Overlap/16, time.Millisecond)), func(now time.Time) {
		if !s.closed && b.resizing() == s.id.Gen {
			b.onceProven(s, since, do)
		}
	})
}

// tookOver ends the old generation once every shard of the new one delivers, and
// has shown a sign of life asked for after since: the last of them. One that went
// silent after it had settled would replay, to another process maybe, what the old
// generation delivers meanwhile.
func (b *Balancer) tookOver(since time.Time) {
	w := b.law.Load()
	if w == nil || w.alone {
		return
	}
	fresh := b.generation(w.gen)
	proven := true
	for _, s := range fresh {
		if !s.settled {
			return
		}
		proven = b.alive(s.link, since) && proven
	}
	now := time.Now()
	if !proven {
		b.at(now.Add(max(b.cfg.Overlap/16, time.Millisecond)), func(time.Time) {
			if b.resizing() == w.gen {
				b.tookOver(since)
			}
		})
		return
	}
	w.alone = true
	old := b.generation(w.gen - 1)
	queues := make([]*queue, len(old))
	for i, s := range old {
		queues[i] = s.q
		b.endShard(s, true)
	}
	for _, s := range fresh {
		s.takeover.silence(now)
	}
	// One overlap for what the old generation delivered last.
	left := len(fresh)
	for _, s := range fresh {
		b.laterShard(s, now, func(time.Time) {
			s.takeover.finish(queues, func() {
				b.post(note{data: func() {
					if left--; left == 0 {
						b.endResize(fresh)
					}
				}})
			})
		})
	}
}

// endResize forgets the law of a resize that is over. mu is held.
func (b *Balancer) endResize(fresh []*shard) {
	b.law.Store(nil)
	for _, s := range fresh {
		s.takeover = nil
	}
	b.log.Info().Int("shards", len(fresh)).Msg("resharded")
	b.kick()
}

// rollback gives a new generation up: the old one goes on. mu is held.
func (b *Balancer) rollback(err error) {
	w := b.law.Load()
	for _, h := range w.takes {
		h.abort()
	}
	for _, s := range b.generation(w.gen) {
		b.endShard(s, true)
	}
	old := b.generation(w.gen - 1)
	b.asked = len(old)
	b.log.Warn().Err(err).Int("shards", len(old)).Msg("resharding given up")
	for _, s := range old[:1] {
		s.q.append(Event{Shard: s.id, at: time.Now().UnixNano(), Data: Down{Err: fmt.Errorf("%w: %w", errRollback, err)}})
	}
	b.at(time.Now().Add(b.cfg.Overlap), func(time.Time) {
		for _, h := range w.takes {
			h.endAbort()
		}
		b.gen = w.gen - 1
		b.law.Store(nil)
	})
}
