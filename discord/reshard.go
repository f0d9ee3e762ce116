package discord

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// growEvery is how often it is looked at whether the shards are too full.
const growEvery = 10 * time.Second

// Resize asks for n shards while the bot runs. It returns at once: a new
// generation comes up beside the old one, one IDENTIFY per shard, each shard
// takes its guilds over when it has them all, and then the old generation ends.
// It refuses a number that cannot hold the guilds, that Discord would not take,
// or that the rest of the day's IDENTIFYs does not pay for: a [*BudgetError]
// says until when.
func (c *Client) Resize(ctx context.Context, n int) error {
	info, err := c.t.info(ctx)
	if err != nil {
		var ce *balancer.ConnError
		if errors.As(err, &ce) {
			return ce.Err
		}
		return err
	}
	count, guilds := c.size()
	if n == count {
		return nil
	}
	if n < 1 || n > c.most {
		return fmt.Errorf("%w: %d shards: must be between 1 and max_shard_count (%d)", ErrSharding, n, c.most)
	}
	c.mu.Lock()
	if guilds > largeBot {
		c.multiple = info.Shards // not known from the start where that had a number of shards
	}
	multiple := c.multiple
	c.mu.Unlock()
	if n%multiple != 0 {
		return fmt.Errorf("%w: %d shards: Discord wants a multiple of %d from a bot of this size", ErrSharding, n, multiple)
	}
	if per := ceil(guilds, n); per > c.per {
		return fmt.Errorf("%w: %d shards: %d guilds would be %d a shard, and channels_per_shard is %d: use at least %d shards",
			ErrSharding, n, guilds, per, c.per, roundUp(ceil(guilds, c.per), multiple))
	}
	if c.t.own != nil {
		if err := c.t.own.Check(n); err != nil {
			return err
		}
	}
	if err := c.b.Resize(n); err != nil {
		return err
	}
	c.mu.Lock()
	c.target = 0
	c.mu.Unlock()
	return nil
}

// size returns the number of shards of the newest generation, and the guilds of
// the one that knows of most: a generation that comes up does not know its own yet.
func (c *Client) size() (count, guilds int) {
	gen, sum := 0, 0
	for _, s := range c.Shards() { // by generation
		if s.ID.Gen != gen {
			gen, sum = s.ID.Gen, 0
		}
		count = s.ID.Count
		sum += s.Guilds
		guilds = max(guilds, sum)
	}
	return count, guilds
}

// growing resizes when shards have become too full, and to what was asked for
// after a start from sessions of another number.
func (c *Client) growing(ctx context.Context) {
	tick := time.NewTicker(growEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.grow(ctx)
		}
	}
}

func (c *Client) grow(ctx context.Context) {
	count, guilds := c.size()
	c.mu.Lock()
	target := c.target
	c.mu.Unlock()
	full := c.cfg.ReshardAt > 0 && float64(guilds) > c.cfg.ReshardAt*float64(count*c.per)
	if count == 0 || !full && (target == 0 || target == count) {
		return
	}
	for _, s := range c.Shards() {
		if s.ID.Count != count || s.State != balancer.Stopped && (s.State != balancer.Ready || s.Awaited > 0) {
			return // not settled, or resizing
		}
	}
	c.mu.Lock()
	multiple, told := c.multiple, c.told
	c.mu.Unlock()
	if target != 0 && target != count {
		if err := c.Resize(ctx, target); err != nil && told != target && ctx.Err() == nil {
			c.t.cfg.Logger.Warn().Err(err).Int("shards", target).Msg("cannot reshard yet to the number that was asked for")
			c.mu.Lock()
			c.told = target
			c.mu.Unlock()
		}
		return
	}
	// As many as leave room to grow again before the next time.
	want := roundUp(int(math.Ceil(float64(guilds)/(c.cfg.ReshardAt*float64(c.per)*growTo))), multiple)
	n := min(want, c.most/multiple*multiple)
	c.mu.Lock()
	again := c.tried == n && time.Since(c.triedAt) < triedFor
	c.tried, c.triedAt = n, time.Now()
	c.mu.Unlock()
	if again {
		return // it did not come up
	}
	var err error
	switch {
	case n <= count:
		err = fmt.Errorf("%w: %d guilds on %d shards: raise max_shard_count to %d or more", ErrSharding, guilds, count, want)
	default:
		err = c.Resize(ctx, n)
	}
	if err == nil {
		c.t.cfg.Logger.Info().Int("guilds", guilds).Int("from", count).Int("to", n).Msg("shards are getting full: resharding")
		return
	}
	if told != count && ctx.Err() == nil {
		c.t.cfg.Logger.Warn().Err(err).Msg("shards are getting full")
		c.mu.Lock()
		c.told = count
		c.mu.Unlock()
	}
}

// triedFor is for how long a number that did not come up is not tried again.
const triedFor = time.Hour

// growTo is how full shards are after growing by themselves, as a share of
// ReshardAt.
const growTo = 0.8
