package balancer

import (
	"context"
	"time"
)

// Nobody sees from outside that a connection is dead, or that its reader did not
// get to read: what such an end has yet to deliver would come after what the
// others deliver meanwhile. So the ends of a handover are asked for a sign of
// life, and it goes on when they have given one that they were asked for since.

// probeEvery is how often a connection of a Placer is asked at most: questions
// count among what it may send. Others are asked up to eight times in an overlap,
// for many keys may move at slightly different times.
const (
	probeEvery = 2 * time.Second
	probesMax  = 8
)

// probeFor bounds one Probe: longer than a transport needs to find out that
// nobody answers.
const probeFor = 20 * time.Second

// proofFor bounds how long a move waits for signs of life: a service may speak
// and answer no questions.
const proofFor = 30 * time.Second

// alive reports whether l has shown a sign of life that it was asked for after
// since, and asks for one if not. mu is held.
func (b *Balancer) alive(l *link, since time.Time) bool {
	if l == nil {
		return false
	}
	p, ok := l.conn.(Prober)
	if !ok || !l.proven.Before(since) {
		return true
	}
	b.ask(l, p, since)
	return false
}

// ask asks l for a sign of life after since, now or as soon as it may be asked
// again, so that who moves many keys at slightly different times waits for the
// answers alone. mu is held.
func (b *Balancer) ask(l *link, p Prober, since time.Time) {
	now, every, most := time.Now(), probeEvery, 1
	if l.join != nil {
		every, most = b.cfg.Overlap/probesMax, probesMax
	}
	switch next := l.probed.Add(every); {
	case l.dead || l.probing >= most:
	case !now.Before(next):
		l.probing++
		l.probed = now
		b.wg.Go(func() {
			ctx, cancel := context.WithTimeout(b.ctx, probeFor)
			defer cancel()
			err := p.Probe(ctx)
			b.post(note{data: func() {
				if l.probing--; err == nil && now.After(l.proven) {
					l.proven = now
				}
			}})
		})
	case l.probed.Before(since) && !l.promised:
		l.promised = true
		b.at(next, func(time.Time) {
			l.promised = false
			b.ask(l, p, since)
		})
	}
}

// heard reports whether all that was sent before since has arrived on l, as far as
// can be known. mu is held.
func (b *Balancer) heard(l *link, since, now time.Time) bool {
	if _, asks := l.conn.(Prober); !asks {
		return now.Sub(since) >= b.cfg.Overlap
	}
	return b.alive(l, since)
}

// later has do called after one overlap, or more while one of the ends is
// behind: because its reader had to wait for the queue, or because it has given
// no sign of life that it was asked for since now. mu is held.
func (b *Balancer) later(h *handover, now time.Time, do func(now time.Time)) {
	b.bothAlive(h, now) // what is asked now is answered when the overlap is over
	b.at(now.Add(h.overlap), func(then time.Time) {
		if h.behind(then) {
			b.later(h, then, do)
			return
		}
		b.onceAlive(h, now, do)
	})
}

func (b *Balancer) onceAlive(h *handover, since time.Time, do func(time.Time)) {
	now := time.Now()
	if b.bothAlive(h, since) || now.Sub(since) > proofFor {
		do(now)
		return
	}
	b.at(now.Add(max(h.overlap/16, time.Millisecond)), func(time.Time) { b.onceAlive(h, since, do) })
}

// bothAlive asks the ends of a move that have not been parted and are not known
// to be dead. mu is held.
func (b *Balancer) bothAlive(h *handover, since time.Time) bool {
	all := true
	for _, l := range []*link{h.from, h.to} {
		if l == nil || l.dead || l == h.from && h.gone {
			continue
		}
		all = b.alive(l, since) && all
	}
	return all
}

// upTo returns a time before which, less one overlap, all that was sent has
// arrived on l: it may bring everything later than that. mu is held.
func (l *link) upTo(now time.Time) time.Time {
	known := l.proven.Add(l.b.cfg.Overlap)
	if _, asks := l.conn.(Prober); asks && known.Before(now) {
		return known
	}
	return now
}
