package balancer

import (
	"container/heap"
	"context"
	"time"
)

// gather is how long the loop waits after it was woken, so that many Joins in
// a row are placed together.
const gather = time.Millisecond

// loop compares wanted with actual and starts the difference, until ctx ends
// (nil), Drain is called (nil), or every shard was turned away for good.
func (b *Balancer) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
			if !b.urgent() {
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(gather):
				}
			}
		case <-timer.C:
		}
		now := time.Now()
		b.takeNotes(now)
		b.mu.Lock()
		b.fire(now)
		drain, fatal := b.drain, b.fatal
		b.mu.Unlock()
		if drain || fatal != nil {
			return fatal
		}
		b.reconcile(now)
		b.mu.Lock()
		next := time.Hour
		if len(b.timers) > 0 {
			next = max(time.Until(b.timers[0].at), 0)
		}
		b.mu.Unlock()
		timer.Reset(next)
	}
}

// urgent reports whether a reader waits to be heard.
func (b *Balancer) urgent() bool {
	b.notesMu.Lock()
	defer b.notesMu.Unlock()
	return len(b.notes) > 0
}

// takeNotes hears what readers told.
func (b *Balancer) takeNotes(now time.Time) {
	for {
		b.notesMu.Lock()
		notes := b.notes
		b.notes = nil
		b.notesMu.Unlock()
		if len(notes) == 0 {
			return
		}
		b.mu.Lock()
		for _, n := range notes {
			switch d := n.data.(type) {
			case Up:
				b.onUp(n.link, d, now)
			case Settled:
				b.onSettled(n.link, now)
			case Joined:
				b.onJoined(n.link, n.key, now)
			case Parted:
				b.onParted(n.link, n.key, d, n.at)
			case Refused:
				b.onRefused(n.link, n.key, d, now)
			case CutOver:
				b.onCutOver(n.link, now)
			case Down:
				b.onDown(n.link, d, n.at)
			case func():
				d()
			}
		}
		b.mu.Unlock()
	}
}

// reconcile starts what is wanted and not yet so.
func (b *Balancer) reconcile(now time.Time) {
	b.mu.Lock()
	if b.placer != nil {
		b.reconcileGenerations()
		b.mu.Unlock()
		return
	}
	b.roomAgain()
	due := len(b.fresh) > 0 || b.resized || len(b.open) < b.asked && b.cfg.InitialShardCount >= 0 || !b.again.IsZero() && !now.Before(b.again)
	if !due {
		b.mu.Unlock()
		return
	}
	fresh := b.fresh
	b.fresh = nil
	v := b.view(now, fresh)
	b.resized = false
	b.again = time.Time{}
	b.mu.Unlock()

	p := b.cfg.Policy(v)
	b.apply(p, fresh, now)
}

// timers is a heap of what the loop is to do at a time. Nothing is taken out:
// what has become pointless finds that out when its time comes.
type timers []alarm

type alarm struct {
	at time.Time
	do func(now time.Time)
}

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)        { *t = append(*t, x.(alarm)) }
func (t *timers) Pop() any {
	old := *t
	x := old[len(old)-1]
	old[len(old)-1] = alarm{}
	*t = old[:len(old)-1]
	return x
}

// at has do called by the loop, with mu held. mu is held.
func (b *Balancer) at(when time.Time, do func(now time.Time)) {
	heap.Push(&b.timers, alarm{when, do})
	if b.timers[0].at.Equal(when) {
		b.kick()
	}
}

func (b *Balancer) fire(now time.Time) {
	for len(b.timers) > 0 && !b.timers[0].at.After(now) {
		heap.Pop(&b.timers).(alarm).do(now)
	}
}
