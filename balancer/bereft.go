package balancer

import "time"

// A shard that loses its session while a new generation takes over is bereft of
// what it had not received. Shards of the new generation have that, or will: one
// may be behind, or be about to resume. What the next session of the bereft
// shard brings waits for them, so that it does not come first.

// bereftFor bounds that wait. A shard that is not heard of for longer has its
// keys delivered out of order rather than not at all.
const bereftFor = 30 * time.Second

// bereave holds back what a source delivers from now on. Its reader calls it
// before it delivers anything of its new session.
func (h *handover) bereave(source int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase > both {
		return
	}
	if h.bereft == nil {
		h.bereft = make(map[int][]Event)
	}
	if _, ok := h.bereft[source]; !ok {
		h.bereft[source] = nil
	}
}

// withhold keeps e back if its source is bereft. mu is held.
func (h *handover) withhold(e *Event) bool {
	if h.bereft == nil || isUrgent(e) {
		return false
	}
	held, ok := h.bereft[e.Shard.Index]
	if !ok {
		return false
	}
	if len(held) >= heldMax {
		h.goOn(e.Shard.Index)
		return false
	}
	h.bereft[e.Shard.Index] = append(held, *e)
	return true
}

// console delivers what the target has of a bereft source's keys, and then what
// the source has itself.
func (h *handover) console(source int, of func(Key) bool) {
	h.instead(of)
	h.mu.Lock()
	h.goOn(source)
	h.mu.Unlock()
}

// goOn delivers what was held back of a source. mu is held.
func (h *handover) goOn(source int) {
	held := h.bereft[source]
	delete(h.bereft, source)
	for i := range held {
		h.pass(fromSource, &held[i], held[i].received())
	}
}

// allGoOn delivers what was held back of all sources. mu is held.
func (h *handover) allGoOn() {
	for source := range h.bereft {
		h.goOn(source)
	}
}

// bereft has what comes of s, whose session is gone, wait for each shard of the
// new generation that may have what came before. Called by its reader.
func (b *Balancer) bereft(s *shard, w *law, now time.Time) {
	of := func(k Key) bool { return w.place(k, s.id.Count) == s.id.Index }
	for _, h := range w.takes {
		h.instead(of)
		b.mu.Lock()
		begun := h.dest.conns > 0 // else it has nothing
		b.mu.Unlock()
		if !begun {
			continue
		}
		h.bereave(s.id.Index)
		b.post(note{data: func() { b.consoled(h, s.id.Index, of, now) }})
	}
}

// consoled ends the wait once the target has shown a sign of life that it was
// asked for after since: all that was sent before has arrived. mu is held.
func (b *Balancer) consoled(h *handover, source int, of func(Key) bool, since time.Time) {
	now := time.Now()
	soon := now.Add(max(b.cfg.Overlap/16, time.Millisecond))
	s := h.dest
	over := s.closed || s.state == Stopped || b.resizing() != s.id.Gen || now.Sub(since) > bereftFor
	if over || s.link != nil && s.state == Ready && b.heard(s.link, since, now) {
		// The read that brought the sign of life has been delivered by then.
		b.at(soon, func(time.Time) { h.console(source, of) })
		return
	}
	b.at(soon, func(time.Time) { b.consoled(h, source, of, since) })
}
