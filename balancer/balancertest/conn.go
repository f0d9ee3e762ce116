package balancertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

var errClosed = errors.New("balancertest: connection closed")

// item is an event on its way to a connection.
type item struct {
	e   balancer.Event
	rec *record
	at  time.Time

	answer chan struct{} // to a Probe, instead of an event
}

// conn is one connection of a Network. Lock order: Network.mu, then mu.
type conn struct {
	n       *Network
	id      balancer.ShardID
	latency time.Duration
	session *session // fixed placement; set before the conn is handed out
	ended   chan struct{}

	mu     sync.Mutex
	cond   sync.Cond
	inbox  []item
	keys   map[balancer.Key]time.Time // members, and since when
	err    error
	frames []string // sent by the client
	mute   bool     // half-open: nothing arrives, nothing ends
	last   time.Time
	told   func() // told that the socket may be readable; nil: nobody asked
	later  bool   // a timer will
	wake   func() // see balancer.Polled; nil: it was never parked
}

// push sends an item that arrives after the connection's latency.
func (c *conn) push(i item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.mute {
		return
	}
	i.at = time.Now().Add(c.latency)
	c.inbox = append(c.inbox, i)
	c.cond.Broadcast()
	c.tell()
}

// Receive implements balancer.Conn.
func (c *conn) Receive(buf []balancer.Event) (int, error) { return c.receive(buf, true) }

// receive is Receive, or Poll if it does not wait.
func (c *conn) receive(buf []balancer.Event, wait bool) (int, error) {
	n := 0
	var recs []*record
	var joined []balancer.Key
	up := false
	c.mu.Lock()
	for {
		now := time.Now()
		for n < len(buf) && len(c.inbox) > 0 && !c.inbox[0].at.After(now) {
			if a := c.inbox[0].answer; a != nil {
				if n > 0 {
					break // what came before it is yet to be delivered
				}
				close(a)
				c.inbox = c.inbox[1:]
				continue
			}
			buf[n] = c.inbox[0].e
			if r := c.inbox[0].rec; r != nil {
				recs = append(recs, r)
				c.last = r.at
			}
			switch buf[n].Data.(type) {
			case balancer.Joined:
				joined = append(joined, buf[n].Key)
			case balancer.Up:
				up = true
			}
			c.inbox = c.inbox[1:]
			n++
		}
		if n > 0 || c.err != nil || !wait {
			break
		}
		if len(c.inbox) > 0 {
			t := time.AfterFunc(c.inbox[0].at.Sub(now), c.cond.Broadcast)
			c.cond.Wait()
			t.Stop()
			continue
		}
		c.cond.Wait()
	}
	err := c.err
	if n > 0 {
		err = nil
	} else if err != nil {
		var ce *balancer.ConnError
		if errors.As(err, &ce) {
			e := *ce
			e.Last = c.last
			err = &e
		} else {
			err = &balancer.ConnError{Err: err, Last: c.last}
		}
	}
	c.tell()
	c.mu.Unlock()
	if n > 0 {
		c.n.mu.Lock()
		for _, k := range joined {
			c.n.heard[k] = true
		}
		if up && c.session != nil {
			c.session.heard = true
		}
		for _, r := range recs {
			r.read = true
		}
		c.n.mu.Unlock()
	}
	return n, err
}

// Send implements balancer.Conn. See [Network.Sent].
func (c *conn) Send(ctx context.Context, frame []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.frames = append(c.frames, string(frame))
	}
	return c.err
}

// Probe implements balancer.Prober: the answer comes after all that was sent
// before. A half-open connection gives none, and ends with ctx under fixed
// placement.
func (c *conn) Probe(ctx context.Context) error {
	i := item{answer: make(chan struct{})}
	c.push(i)
	select {
	case <-i.answer:
		return nil
	case <-c.ended:
		return errClosed
	case <-ctx.Done():
	}
	if c.session != nil {
		c.n.mu.Lock()
		defer c.n.mu.Unlock()
		c.fail(errors.New("no answer to a probe"))
	}
	return ctx.Err()
}

// Close implements balancer.Conn. What has not been received by then is not.
func (c *conn) Close() error {
	c.n.mu.Lock()
	c.fail(errClosed)
	c.n.mu.Unlock()
	c.mu.Lock()
	wake := c.wake
	c.mu.Unlock()
	if wake != nil {
		wake()
	}
	return nil
}

// Quit implements balancer.Conn: the session ends.
func (c *conn) Quit(ctx context.Context) error {
	c.Close()
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.session != nil && c.session.conn == nil {
		delete(c.n.sessions, c.session.id)
	}
	return nil
}

// fail ends the connection; what is on its way is lost. n.mu is held.
func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.ended)
	c.inbox = nil
	c.n.members -= len(c.keys)
	c.keys = nil
	c.cond.Broadcast()
	if c.told != nil && err != errClosed {
		c.told()
	}
	if c.session != nil && c.session.conn == c {
		c.session.conn = nil
	}
}

func (c *conn) member(k balancer.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.keys[k]
	return ok
}

// joiner is a conn of free placement.
type joiner struct{ *conn }

// Join implements balancer.Joiner.
func (c joiner) Join(ctx context.Context, keys ...balancer.Key) error {
	for _, k := range keys {
		c.n.mu.Lock()
		c.n.joinCount++
		c.n.joins = c.n.spend(c.n.joins, c.n.cfg.Limits.Joins, "joins")
		var a Answer
		if c.n.cfg.Answer != nil {
			a = c.n.cfg.Answer(k)
		}
		c.n.mu.Unlock()
		switch {
		case a.Silent:
		case a.After > 0:
			time.AfterFunc(a.After, func() { c.answer(k, a) })
		default:
			c.answer(k, a)
		}
	}
	return nil
}

func (c joiner) answer(k balancer.Key, a Answer) {
	if a.Err != nil {
		c.push(item{e: balancer.Event{Key: k, Data: balancer.Refused{Err: a.Err, Until: a.Until}}})
		return
	}
	n := c.n
	n.mu.Lock()
	defer n.mu.Unlock()
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	if _, again := c.keys[k]; !again {
		c.keys[k] = time.Now()
		n.members++
	}
	held := len(c.keys)
	c.mu.Unlock()
	if l := n.cfg.Limits.KeysPerConn; l > 0 && held > l {
		n.violate("%d keys on shard %v", held, c.id)
	}
	if l := n.cfg.Limits.Keys; l > 0 && n.members > l {
		n.violate("%d keys joined by the account", n.members)
	}
	c.push(item{e: balancer.Event{Key: k, Data: balancer.Joined{}}})
}

// Part implements balancer.Joiner.
func (c joiner) Part(ctx context.Context, keys ...balancer.Key) error {
	for _, k := range keys {
		c.leave(k, nil)
	}
	return nil
}

// leave ends k's membership: at once here, and for the client when it hears of it.
func (c *conn) leave(k balancer.Key, err error) {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	c.mu.Lock()
	_, ok := c.keys[k]
	delete(c.keys, k)
	c.mu.Unlock()
	if ok {
		c.n.members--
		c.push(item{e: balancer.Event{Key: k, Data: balancer.Parted{Err: err, Last: time.Now()}}})
	}
}
