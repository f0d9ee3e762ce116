package balancertest

import (
	"errors"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// live returns the connections that are up, oldest first. n.mu is held.
func (n *Network) live() []*conn {
	var cs []*conn
	for _, c := range n.conns {
		c.mu.Lock()
		if c.err == nil {
			cs = append(cs, c)
		}
		c.mu.Unlock()
	}
	return cs
}

// Live returns the shards that are connected, one entry per connection, oldest first.
func (n *Network) Live() []balancer.ShardID {
	n.mu.Lock()
	defer n.mu.Unlock()
	var ids []balancer.ShardID
	for _, c := range n.live() {
		ids = append(ids, c.id)
	}
	return ids
}

// Drop ends the i-th live connection, counted round; what was on its way is
// lost. It reports false if there is none.
func (n *Network) Drop(i int) bool { return n.DropWith(i, errors.New("connection reset")) }

// DropWith is Drop with an error of the caller's, such as a *balancer.ConnError.
func (n *Network) DropWith(i int, err error) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	live := n.live()
	if len(live) == 0 {
		return false
	}
	live[i%len(live)].fail(err)
	return true
}

// HalfOpen makes the i-th live connection go silent, and end after d as a
// transport's own keep-alive would notice.
func (n *Network) HalfOpen(i int, d time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	live := n.live()
	if len(live) == 0 {
		return false
	}
	c := live[i%len(live)]
	c.mu.Lock()
	c.mute = true
	c.mu.Unlock()
	time.AfterFunc(d, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		c.fail(errors.New("no answer to a ping"))
	})
	return true
}

// CutOver asks the i-th live connection to be replaced, and ends it after d.
func (n *Network) CutOver(i int, d time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	live := n.live()
	if len(live) == 0 {
		return false
	}
	c := live[i%len(live)]
	c.push(item{e: balancer.Event{Data: balancer.CutOver{}}})
	time.AfterFunc(d, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		c.fail(errors.New("closed by the service"))
	})
	return true
}

// Kick ends every membership of k with err.
func (n *Network) Kick(k balancer.Key, err error) {
	n.mu.Lock()
	live := n.live()
	n.mu.Unlock()
	for _, c := range live {
		c.leave(k, err)
	}
}

// Members returns how many connections hold k.
func (n *Network) Members(k balancer.Key) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := 0
	for _, c := range n.live() {
		if c.member(k) {
			m++
		}
	}
	return m
}

// Refuse says of a key on the i-th live connection that it is refused, and ends
// its membership there.
func (n *Network) Refuse(i int, k balancer.Key, err error) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	live := n.live()
	if len(live) == 0 {
		return false
	}
	c := live[i%len(live)]
	c.mu.Lock()
	if _, ok := c.keys[k]; ok {
		delete(c.keys, k)
		n.members--
	}
	c.mu.Unlock()
	c.push(item{e: balancer.Event{Key: k, Data: balancer.Refused{Err: err}}})
	return true
}
