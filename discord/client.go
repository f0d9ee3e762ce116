package discord

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// ClientConfig is how a [Client] behaves. Nil and the zero value work.
type ClientConfig struct {
	Transport Config

	// Balancer.ChannelsPerShard is how many guilds a shard may have, default
	// 1000, at most 2500; MaxShardCount how many shards there may be, default
	// 16. Its Logger is by default Transport's.
	Balancer balancer.Config

	// Shards is the number of shards. Default: that of the stored sessions, else
	// what the bot's guilds need ([ShardCount]). Where sessions of another number
	// are stored, those are resumed and then resharded.
	Shards int
	// ReshardAt is how full shards may be, as a share of ChannelsPerShard,
	// before more are started; default 0.8; negative: never by itself.
	ReshardAt float64
	// SaveEvery is how often sessions are stored, beside a tenth of a second
	// after one has begun; default 2 s. What was acknowledged since comes again
	// after a crash; a stop saves at its end.
	SaveEvery time.Duration
}

// Client is one bot: a [Transport] and a [balancer.Balancer], and what a bot
// needs beside: the number of shards, resharding within the day's IDENTIFYs, and
// sessions that outlive the process. Its methods are safe for concurrent use.
type Client struct {
	cfg     ClientConfig
	t       *Transport
	b       *balancer.Balancer
	per     int // guilds per shard
	most    int // shards
	members *memberBudget

	mu       sync.Mutex // guards all below
	multiple int        // that the shard count must be of
	target   int        // shards to be resharded to after a start from stored sessions; 0: none
	tried    int        // shards that growing asked for last
	triedAt  time.Time
	told     int // count for which it was logged that there is no room
}

// NewClient returns a Client. It starts nothing.
func NewClient(token TokenFunc, cfg *ClientConfig) *Client {
	c := &Client{multiple: 1, members: new(memberBudget)}
	if cfg != nil {
		c.cfg = *cfg
	}
	if c.cfg.ReshardAt == 0 {
		c.cfg.ReshardAt = 0.8
	}
	if c.cfg.SaveEvery <= 0 {
		c.cfg.SaveEvery = 2 * time.Second
	}
	if c.cfg.Balancer.MaxShardCount == 0 {
		c.cfg.Balancer.MaxShardCount = 16
	}
	c.t = New(token, &c.cfg.Transport)
	if reflect.ValueOf(c.cfg.Balancer.Logger).IsZero() {
		c.cfg.Balancer.Logger = c.t.cfg.Logger
	}
	bc := c.t.Balancer(&c.cfg.Balancer)
	c.per, c.most = bc.ChannelsPerShard, bc.MaxShardCount
	c.b = balancer.New(c.t, bc)
	return c
}

// Balancer returns the Balancer of the shards.
func (c *Client) Balancer() *balancer.Balancer { return c.b }

// Transport returns the Transport of the shards.
func (c *Client) Transport() *Transport { return c.t }

// Run connects and hands events to h until ctx ends. Sessions then stay
// resumable: started again with the same Store within a minute or so, every
// shard resumes, and no IDENTIFY is spent. It returns at once, with nothing
// spent, if the token, the stored sessions, the number of shards or the day's
// IDENTIFYs do not allow a start; later if Discord turns the bot away for good.
func (c *Client) Run(ctx context.Context, h balancer.Handler) error {
	n, err := c.prepare(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		var ce *balancer.ConnError
		if errors.As(err, &ce) {
			return ce.Err
		}
		return err
	}
	if err := c.b.Resize(n); err != nil {
		return err
	}
	within, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if c.cfg.Transport.Store != nil {
		wg.Go(func() { c.saving(within) })
	}
	wg.Go(func() { c.growing(within) })
	err = c.b.Run(ctx, h)
	cancel()
	wg.Wait()
	last, done := context.WithTimeout(context.WithoutCancel(ctx), saveWithin)
	defer done()
	if serr := c.t.Save(last, c.b); serr != nil && err == nil {
		err = fmt.Errorf("discord: sessions not saved: the next start costs an IDENTIFY per shard: %w", serr)
	}
	return err
}

const saveWithin = 10 * time.Second

// prepare decides how many shards to start with, and whether that can be paid.
func (c *Client) prepare(ctx context.Context) (n int, err error) {
	if err := c.t.Start(ctx); err != nil {
		return 0, err
	}
	count, sessions := c.t.StoredCount()
	if sessions == count && count > 0 && count <= c.most {
		// All shards resume, and nothing is to be asked. Another number is then
		// resharded to, so that nothing is missed.
		if c.cfg.Shards != count {
			c.mu.Lock()
			c.target = c.cfg.Shards
			c.mu.Unlock()
		}
		return count, nil
	}
	n = c.cfg.Shards
	if n == 0 && sessions > 0 && count <= c.most {
		n = count
	}
	if n != count {
		sessions = 0
	}
	info, err := c.t.info(ctx)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		if n, err = c.auto(ctx, info); err != nil {
			return 0, err
		}
	}
	if n > c.most {
		return 0, fmt.Errorf("%w: %d shards, and max_shard_count is %d: raise it, or ask for fewer", ErrConfig, n, c.most)
	}
	if c.t.own != nil {
		if err := c.t.own.Check(n - sessions); err != nil && !errors.Is(err, ErrBreaker) {
			return 0, err // a breaker lets go by itself
		}
	}
	return n, nil
}

// auto returns how many shards the bot's guilds need.
func (c *Client) auto(ctx context.Context, info GatewayInfo) (int, error) {
	app, err := c.t.rest.application(ctx)
	if err != nil {
		return 0, err
	}
	r := recommend(info, app, c.t.cfg.Intents)
	c.mu.Lock()
	c.multiple = r.Multiple
	c.mu.Unlock()
	return ShardCount(r.Guilds, c.per, c.most, r.Multiple)
}

// saveSoon is how long after a session began it is stored: others begin with it.
const saveSoon = 100 * time.Millisecond

// saving stores the sessions every few seconds, and soon after one has begun: a
// process that crashes as it starts, again and again, shall not identify each time.
func (c *Client) saving(ctx context.Context) {
	tick := time.NewTicker(c.cfg.SaveEvery)
	defer tick.Stop()
	failing := false
	var soon <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.t.fresh:
			if soon == nil {
				soon = time.After(saveSoon)
			}
			continue
		case <-soon:
			soon = nil
		case <-tick.C:
		}
		err := c.t.Save(ctx, c.b)
		if err != nil && !failing && ctx.Err() == nil {
			c.t.cfg.Logger.Warn().Err(err).Msg("sessions not saved: a crash would cost an IDENTIFY per shard")
		}
		failing = err != nil
	}
}

// ShardStatus is what is known of one shard.
type ShardStatus struct {
	balancer.ShardStatus
	Guilds  int // of the shard
	Away    int // those that are not available
	Awaited int // those of READY that have not become available yet
}

// Shards returns all shards, by generation and index.
func (c *Client) Shards() []ShardStatus {
	var out []ShardStatus
	for _, s := range c.b.Shards() {
		st := ShardStatus{ShardStatus: s}
		st.Guilds, st.Away, st.Awaited = c.t.shard(s.ID).guilds.total()
		out = append(out, st)
	}
	return out
}

// UpdatePresence sets how the bot appears, on every shard that is connected
// (op 3). Shards that identify later show Config.Presence.
func (c *Client) UpdatePresence(ctx context.Context, p Presence) error {
	frame, err := UpdatePresence(p)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range c.b.Shards() {
		if s.State == balancer.Ready {
			errs = append(errs, c.b.SendShard(ctx, s.ID, frame))
		}
	}
	return errors.Join(errs...)
}

// UpdateVoiceState joins, moves or leaves (channel "") a voice channel of a
// guild, over the shard that carries it (op 4).
func (c *Client) UpdateVoiceState(ctx context.Context, guild, channel string, mute, deaf bool) error {
	frame, err := UpdateVoiceState(guild, channel, mute, deaf)
	if err != nil {
		return err
	}
	return c.b.Send(ctx, balancer.Key(guild), frame)
}

// RequestMembers asks for members of a guild over the shard that carries it
// (op 8); the answers are GUILD_MEMBERS_CHUNK events. It waits where Discord's
// limit of one request for all members per guild in 30 s asks for it.
func (c *Client) RequestMembers(ctx context.Context, r RequestMembers) error {
	frame, err := r.Frame()
	if err != nil {
		return err
	}
	if r.all() {
		if err := c.members.Wait(ctx, r.GuildID); err != nil {
			return err
		}
	}
	return c.b.Send(ctx, balancer.Key(r.GuildID), frame)
}
