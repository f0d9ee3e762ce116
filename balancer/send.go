package balancer

import (
	"context"
	"fmt"
	"time"
)

// Send sends one frame of the service's own format over the shard that
// Config.Sender names for k: by default the one that holds k, else any that is
// connected (a shard need not have joined a channel to send there). It returns
// when the frame was written, not when the service accepted it.
func (b *Balancer) Send(ctx context.Context, k Key, frame []byte) error {
	c, id, err := b.sender(k)
	if err != nil {
		return err
	}
	if err := c.Send(ctx, frame); err != nil {
		return &ShardError{Shard: id, Err: err}
	}
	return nil
}

// SendShard sends one frame over the shard of that ID.
func (b *Balancer) SendShard(ctx context.Context, id ShardID, frame []byte) error {
	b.mu.Lock()
	var c Conn
	known := false
	for _, s := range b.shards {
		if s.id == id {
			known = true
			if s.link != nil && s.state == Ready {
				c = s.link.conn
			}
		}
	}
	b.mu.Unlock()
	switch {
	case !known:
		return fmt.Errorf("%w: %v", ErrUnknownShard, id)
	case c == nil:
		return fmt.Errorf("%w: shard %v", ErrNotReady, id)
	}
	if err := c.Send(ctx, frame); err != nil {
		return &ShardError{Shard: id, Err: err}
	}
	return nil
}

// sender picks the connection that a frame for k goes over.
func (b *Balancer) sender(k Key) (Conn, ShardID, error) {
	if b.cfg.Sender != nil && b.placer == nil {
		b.mu.Lock()
		v := b.view(time.Now(), nil)
		v.Shards = append([]ShardView(nil), v.Shards...)
		v.KeysOf = nil // the loop's alone
		b.mu.Unlock()
		if i, ok := b.cfg.Sender(v, k); ok && i >= 0 && i < len(v.Shards) {
			if l := b.linkOf(v.Shards[i].ID); l != nil && !l.ended() {
				return l.conn, l.id, nil
			}
		}
		return nil, ShardID{}, fmt.Errorf("%w for %q", ErrNotReady, k)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var l *link
	if b.placer != nil {
		if s := b.carrier(k); s != nil && s.state == Ready {
			l = s.link
		}
	} else {
		if e := b.keys[k]; e != nil && e.link != nil && !e.link.dead {
			l = e.link
		}
		for i := 0; l == nil && i < len(b.open); i++ {
			if s := b.open[i]; s.state == Ready {
				l = s.link
			}
		}
	}
	if l == nil {
		return nil, ShardID{}, fmt.Errorf("%w for %q", ErrNotReady, k)
	}
	return l.conn, l.id, nil
}
