package irc

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// ClientConfig is how a [Client] behaves. Nil and the zero value work.
type ClientConfig struct {
	Transport Config
	Balancer  balancer.Config

	// Sender is the account that Say and Reply send as, over a connection of
	// its own, so that one may read anonymously and send by name. Default: the
	// client's own account, over the connections that read.
	Sender *Account

	// SharedChat says what becomes of the copies that Twitch makes of a message
	// for each channel of a Shared Chat session. Default: each is delivered.
	SharedChat SharedChat

	// Resolve returns the present login of the Twitch channel with a room-id,
	// as Helix' "Get Users" tells; "" if there is none. It is asked when a
	// channel whose room-id is known cannot be joined, or was left, by a
	// goroutine of Run's; ctx is that of Run. The channel is then followed to
	// its new login. Default: it is not.
	Resolve func(ctx context.Context, roomID string) (login string, err error)

	// Distinct adds an invisible character to a text that was the last one
	// sent to the same channel within 30 s, which Twitch would refuse as
	// msg_duplicate. Default: it is sent as it is, and refused.
	Distinct bool
}

// Client reads and writes chat as one account. It ties a [Transport] and a
// [balancer.Balancer] together, and adds what an account needs beside: receipts
// for what it says, and channels that changed their names. Its methods are safe
// for concurrent use, and work before Run where they do not wait for an answer.
type Client struct {
	cfg    ClientConfig
	t      *Transport
	b      *balancer.Balancer
	sender *Account
	sendT  *Transport // t, if the client sends for itself
	sendB  *balancer.Balancer
	names  *names
	shared *sharedFilter

	mu    sync.Mutex // guards all below; never held while waiting
	turns map[balancer.Key]*turn
	rank  map[balancer.Key]bool // where the sender is moderator, VIP or broadcaster
}

// NewClient returns a Client of account. It starts nothing.
func NewClient(account *Account, cfg *ClientConfig) *Client {
	c := &Client{turns: make(map[balancer.Key]*turn), rank: make(map[balancer.Key]bool)}
	if cfg != nil {
		c.cfg = *cfg
	}
	c.t = New(account, &c.cfg.Transport)
	c.b = balancer.New(c.t, c.t.Balancer(&c.cfg.Balancer))
	c.sender, c.sendT, c.sendB = account, c.t, c.b
	if s := c.cfg.Sender; s != nil && s != account {
		c.sender = s
		tc := c.cfg.Transport
		tc.Membership = false
		c.sendT = New(s, &tc)
		c.sendB = balancer.New(c.sendT, c.sendT.Balancer(&balancer.Config{
			MaxShardCount: 1, Backoff: c.cfg.Balancer.Backoff,
			DialTimeout: c.cfg.Balancer.DialTimeout, Logger: c.cfg.Balancer.Logger,
		}))
	}
	c.names = newNames(c)
	c.shared = &sharedFilter{mode: c.cfg.SharedChat, joined: c.names.joined}
	return c
}

// Balancer returns the Balancer of the connections that read.
func (c *Client) Balancer() *balancer.Balancer { return c.b }

// Transport returns the Transport of the connections that read.
func (c *Client) Transport() *Transport { return c.t }

// Join asks for channels to be joined and kept joined, written as users write
// them: "#Forsen" is "forsen". If one cannot exist, none is joined. It returns
// at once; the answers are events.
func (c *Client) Join(channels ...string) error {
	keys, err := c.keys(channels)
	if err == nil {
		c.b.Join(keys...)
	}
	return err
}

// Part asks for channels to be parted. It returns at once.
func (c *Client) Part(channels ...string) error {
	keys, err := c.keys(channels)
	if err == nil {
		c.b.Part(keys...)
	}
	return err
}

func (c *Client) keys(channels []string) ([]balancer.Key, error) {
	keys := make([]balancer.Key, 0, len(channels))
	for _, name := range channels {
		k, err := c.t.Key(name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Run connects, joins what is wanted and hands events to h until ctx ends or
// the service turns the account, or the sender, away for good. It owns every
// goroutine of the Client and returns when the last one has ended. See
// [balancer.Balancer.Run]. The sender's connection delivers nothing.
func (c *Client) Run(ctx context.Context, h balancer.Handler) error {
	if err := c.t.Check(); err != nil {
		return err
	}
	if err := c.sendT.Check(); err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var sendErr error
	if c.sendB != c.b {
		wg.Go(func() {
			if sendErr = c.sendB.Run(ctx, c.watch); sendErr != nil {
				cancel()
			}
		})
	}
	err := c.b.Run(ctx, func(ctx context.Context, e balancer.Event) { c.handle(ctx, e, h) })
	cancel()
	wg.Wait()
	c.names.wg.Wait()
	if err == nil && sendErr != nil {
		err = fmt.Errorf("irc: sender: %w", sendErr)
	}
	return err
}

// handle stands before the user's handler.
func (c *Client) handle(ctx context.Context, e balancer.Event, h balancer.Handler) {
	switch d := e.Data.(type) {
	case *Message:
		if c.shared.mode != SharedAll && !c.shared.admit(d, time.Now()) {
			return
		}
		if verb := d.raw[d.cmdStart:d.cmdEnd]; verb == "ROOMSTATE" {
			if r, ok := c.names.arrived(e.Key, RoomState{d}.RoomID()); ok {
				h(ctx, balancer.Event{Shard: e.Shard, Key: e.Key, Data: r})
			}
		}
		if c.sendB == c.b {
			c.watch(ctx, e)
		}
	case balancer.Refused:
		c.names.missing(ctx, e.Key, d.Err)
	case balancer.Parted:
		c.names.missing(ctx, e.Key, d.Err)
	}
	h(ctx, e)
}

// watch learns where the sender may send more.
func (c *Client) watch(_ context.Context, e balancer.Event) {
	m, ok := e.Data.(*Message)
	if !ok || m.raw[m.cmdStart:m.cmdEnd] != "USERSTATE" || e.Key == "" {
		return
	}
	u := UserState{Chatter{m}}
	high := u.IsMod() || u.IsVIP() || u.IsBroadcaster()
	c.mu.Lock()
	defer c.mu.Unlock()
	if high {
		c.rank[e.Key] = true
	} else {
		delete(c.rank, e.Key)
	}
}
