package balancer

import (
	"context"
	"fmt"
)

// The calls in this file let a layer above decide which shards this process
// runs: a cluster's node, whose Config.InitialShardCount is negative.

// Acquire makes this Balancer run one shard, resuming from s if s is not nil.
// It returns at once.
func (b *Balancer) Acquire(id ShardID, s *Session) error {
	if b.placer == nil && (id.Count != 0 || id.Gen != 0) || b.placer != nil && (id.Count < 1 || id.Index >= id.Count) || id.Index < 0 {
		return fmt.Errorf("%w: shard %v", ErrPlacement, id)
	}
	var given *Session
	if s != nil {
		c := *s
		given = &c
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return ErrClosed
	}
	b.post(note{data: func() {
		for _, o := range b.shards {
			if o.id == id {
				return
			}
		}
		n := b.newShard(id)
		n.given = given
		b.gen = max(b.gen, id.Gen)
		n.start()
		b.kick()
	}})
	return nil
}

// Release ends one shard so that its session stays resumable, waits until
// every event of it has been handled and acknowledged, and returns the
// session. Under free placement keys of the shard are placed elsewhere.
func (b *Balancer) Release(ctx context.Context, id ShardID) (Session, error) {
	got := make(chan *shard, 1)
	b.mu.Lock()
	if !b.running {
		b.mu.Unlock()
		return Session{}, ErrClosed
	}
	b.mu.Unlock()
	b.post(note{data: func() {
		for _, s := range b.shards {
			if s.id == id {
				s.leaving = s.link
				if s.leaving == nil {
					s.leaving = s.last
				}
				for i := len(s.keys) - 1; i >= 0; i-- {
					if e := s.keys[i]; e.move == nil {
						b.unplaced(e)
					}
				}
				b.endShard(s, false)
				got <- s
				return
			}
		}
		got <- nil
	}})
	var s *shard
	select {
	case s = <-got:
	case <-ctx.Done():
		return Session{}, ctx.Err()
	case <-b.ended:
		return Session{}, ErrClosed
	}
	if s == nil {
		return Session{}, fmt.Errorf("%w: %v", ErrUnknownShard, id)
	}
	l := s.leaving
	if l == nil {
		return Session{}, nil
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		return Session{}, ctx.Err()
	}
	select {
	case <-l.acks.Load().whenIdle():
	case <-ctx.Done():
		return Session{}, ctx.Err()
	}
	return l.stored(), nil
}

// Session returns what resumes a shard, with the last sequence number that was
// acknowledged. It works after Run too.
func (b *Balancer) Session(id ShardID) (Session, error) {
	l := b.linkOf(id)
	if l == nil {
		return Session{}, fmt.Errorf("%w: %v", ErrUnknownShard, id)
	}
	return l.stored(), nil
}

// CutOver replaces the connection of a shard, as if the service had asked for
// it: under free placement make-before-break, under fixed by resuming.
func (b *Balancer) CutOver(id ShardID) error {
	l := b.linkOf(id)
	if l == nil {
		return fmt.Errorf("%w: %v", ErrUnknownShard, id)
	}
	b.post(note{link: l, data: CutOver{}})
	return nil
}

func (l *link) stored() Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == nil {
		return Session{}
	}
	return Session{State: l.session.State, Seq: l.acks.Load().last()}
}

// settleAcks waits, after a Drain with ManualAck, until everything that was
// handed out is acknowledged, or ctx ends.
func (b *Balancer) settleAcks(ctx context.Context) {
	b.mu.Lock()
	var waits []*acks
	if b.drain && b.cfg.ManualAck {
		for _, s := range b.shards {
			if s.last != nil {
				waits = append(waits, s.last.acks.Load())
			}
		}
	}
	b.mu.Unlock()
	for _, a := range waits {
		select {
		case <-a.whenIdle():
		case <-ctx.Done():
			return
		}
	}
}
