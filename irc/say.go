package irc

import (
	"context"
	"crypto/rand"
	"time"
	"unicode/utf8"

	"github.com/chatshard/chatshard/balancer"
)

// repeatTime is for how long Twitch refuses the same text to a channel.
const repeatTime = 30 * time.Second

// distinct is what makes a text another one without showing.
const distinct = " \U000E0000"

// turn is the right to send to a channel: one message may be outstanding.
type turn struct {
	free  chan struct{} // of one
	users int
	last  string
	at    time.Time
}

// Say sends text to a channel and returns what the service made of it. It
// waits for the account's budget, for an earlier message to the same channel,
// and up to 5 s for the answer; ctx bounds all of that. An error means that
// nothing was sent: text that is too long or has line ends is a [*LineError],
// no connection is [balancer.ErrNotReady], no room in the budget before ctx ends
// a [*BudgetError]. When ctx ends after the message was
// sent, the receipt is unknown.
func (c *Client) Say(ctx context.Context, channel, text string) (Receipt, error) {
	return c.say(ctx, channel, "", text)
}

// Reply is Say in reply to the Twitch message with the id parent.
func (c *Client) Reply(ctx context.Context, channel, parent, text string) (Receipt, error) {
	if parent == "" {
		return Receipt{}, &LineError{Field: "parent", Why: "is empty"}
	}
	return c.say(ctx, channel, parent, text)
}

func (c *Client) say(ctx context.Context, channel, parent, text string) (Receipt, error) {
	if c.sender.IsAnonymous() {
		return Receipt{}, ErrReadOnly
	}
	k, err := c.t.Key(channel)
	if err != nil {
		return Receipt{}, err
	}
	// What cannot be sent is said before anything is waited for.
	if _, err := c.frame(k, parent, text, "n"); err != nil {
		return Receipt{}, err
	}
	t, err := c.take(ctx, k)
	if err != nil {
		return Receipt{}, err
	}
	defer c.give(k, t)
	if c.cfg.Distinct && text == t.last && time.Since(t.at) < repeatTime && utf8.RuneCountInString(text+distinct) <= 500 {
		text += distinct
	}
	p := &pending{channel: c.sendT.channel(k), text: text, nonce: rand.Text(), done: make(chan Receipt, 1)}
	frame, err := c.frame(k, parent, text, p.nonce)
	if err != nil {
		return Receipt{}, err
	}
	if err := c.sender.waitSend(ctx, string(k), c.ranks(k)); err != nil {
		return Receipt{}, err
	}
	t.last, t.at = text, time.Now()
	err = c.sendB.Send(context.WithValue(ctx, pendingKey{}, p), k, frame)
	switch {
	case err == nil:
		return p.await(ctx), nil
	case p.c != nil: // who knows how much of it was written
		p.drop()
		return Receipt{Reason: "connection lost", Text: err.Error()}, nil
	}
	return Receipt{}, err
}

// SendWait returns how long the account's budget would make a message to a
// channel wait now; 0 for a channel that cannot be.
func (c *Client) SendWait(channel string) time.Duration {
	k, err := c.t.Key(channel)
	if err != nil {
		return 0
	}
	return c.sender.sendWait(string(k), c.ranks(k))
}

// frame encodes a message.
func (c *Client) frame(k balancer.Key, parent, text, nonce string) ([]byte, error) {
	channel := c.sendT.channel(k)
	if c.t.cfg.Profile == Generic {
		if parent != "" {
			return Encoder{}.AppendPrivMsg(nil, channel, text, Tag{"+draft/reply", parent})
		}
		return Encoder{}.AppendPrivMsg(nil, channel, text)
	}
	tag := Tag{"client-nonce", nonce}
	if parent != "" {
		return TwitchEncoder().AppendReply(nil, channel, parent, text, tag)
	}
	return TwitchEncoder().AppendPrivMsg(nil, channel, text, tag)
}

// ranks reports whether the sender is moderator, VIP or broadcaster.
func (c *Client) ranks(k balancer.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rank[k] || string(k) == c.sender.login
}

// take waits until no other message to the channel is outstanding.
func (c *Client) take(ctx context.Context, k balancer.Key) (*turn, error) {
	c.mu.Lock()
	t := c.turns[k]
	if t == nil {
		c.forgetTurns(time.Now())
		t = &turn{free: make(chan struct{}, 1)}
		c.turns[k] = t
	}
	t.users++
	c.mu.Unlock()
	select {
	case t.free <- struct{}{}:
		return t, nil
	case <-ctx.Done():
		c.mu.Lock()
		t.users--
		c.mu.Unlock()
		return nil, ctx.Err()
	}
}

func (c *Client) give(k balancer.Key, t *turn) {
	<-t.free
	c.mu.Lock()
	t.users--
	c.mu.Unlock()
}

// forgetTurns drops channels that nothing was said in lately. mu is held.
func (c *Client) forgetTurns(now time.Time) {
	if len(c.turns) < 256 {
		return
	}
	for k, t := range c.turns {
		if t.users == 0 && now.Sub(t.at) >= repeatTime {
			delete(c.turns, k)
		}
	}
}
