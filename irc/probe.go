package irc

import (
	"context"
	"slices"
	"strconv"
)

// probe is a PING whose answer somebody waits for.
type probe struct {
	token    string
	answered bool          // guarded by conn.mu, as is told
	told     bool          // all that came before the answer has been delivered
	done     chan struct{} // closed when told, or when the connection has ended
}

// Probe implements [balancer.Prober] with a PING. A server that does not answer
// it does not end the connection: one that is silent as well does.
func (c *conn) Probe(ctx context.Context) error {
	if c.flood != nil {
		if err := c.flood.wait(ctx); err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.probed++
	p := &probe{token: "chatshard." + strconv.Itoa(c.probed), done: make(chan struct{})}
	c.probes = append(c.probes, p)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.probes = slices.DeleteFunc(c.probes, func(o *probe) bool { return o == p })
		c.mu.Unlock()
	}()
	line, err := AppendPing(nil, p.token)
	if err != nil {
		return err
	}
	if err := c.out.add(line, true); err != nil {
		return err
	}
	if err := c.out.flush(); err != nil {
		return err
	}
	select {
	case <-p.done:
		c.mu.Lock()
		defer c.mu.Unlock()
		if !p.told {
			return ErrClosed
		}
		return nil
	case <-c.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answer notes that a PING was answered. mu is held by the reader.
func (c *conn) answer(token string) {
	for _, p := range c.probes {
		if p.token == token {
			p.answered, c.answered = true, true
		}
	}
}

// tell ends the probes that were answered: whoever calls Receive has done with
// what came before.
func (c *conn) tell() {
	if !c.answered {
		return
	}
	c.answered = false
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.probes {
		if p.answered && !p.told {
			p.told = true
			close(p.done)
		}
	}
}

// tellEnd ends all probes with the connection. mu is held.
func (c *conn) tellEnd() {
	for _, p := range c.probes {
		if !p.told {
			close(p.done)
		}
	}
	c.probes = nil
}
