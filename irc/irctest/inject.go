package irctest

import (
	"context"
	"time"
)

// FaultPlan is trouble at a steady rate. Rates of connection faults are per
// connection and minute; rates of line faults are shares of the lines.
type FaultPlan struct {
	Drop, Hangup, HalfOpen, Mute, Reconnect float64 // per connection and minute

	ReconnectAfter time.Duration // between RECONNECT and the close; default 2 s
	Grace          time.Duration // age below which a connection is spared; default 1 s

	RefuseJoin float64  // share of JOINs refused
	RefuseWith []string // with one of these msg-ids; none or "": silence
	RefuseConn float64  // share of the time in which connections are refused
	Duplicate  float64  // share of lines
	Reorder    float64
	SplitLines float64
	DelayUpTo  time.Duration // each connection gets a delay of up to this much
}

// Gentle returns what a bad day of the service looks like.
func Gentle() FaultPlan {
	return FaultPlan{Drop: 0.2, HalfOpen: 0.1, Reconnect: 0.3, RefuseJoin: 0.02}
}

// Storm returns trouble without a break: drops, half-open sockets, RECONNECTs,
// refused JOINs, doubled, swapped and cut lines all the time.
func Storm() FaultPlan {
	return FaultPlan{
		Drop: 2, Hangup: 1, HalfOpen: 0.5, Mute: 0.3, Reconnect: 2, ReconnectAfter: time.Second,
		RefuseJoin: 0.1, RefuseConn: 0.02, Duplicate: 0.005, Reorder: 0.005, SplitLines: 0.2,
	}
}

// injectTick is how often the dice are thrown.
const injectTick = 100 * time.Millisecond

// Inject applies a plan until ctx ends or the Server is closed, and blocks for
// that long. What it changed for good (a half-open or muted connection) stays;
// refusals, delays and line faults end with it.
func (s *Server) Inject(ctx context.Context, plan FaultPlan) {
	if plan.ReconnectAfter <= 0 {
		plan.ReconnectAfter = 2 * time.Second
	}
	if plan.Grace <= 0 {
		plan.Grace = time.Second
	}
	if plan.Duplicate > 0 || plan.Reorder > 0 || plan.SplitLines > 0 {
		s.chaos.wire.Store(&wireFaults{duplicate: plan.Duplicate, reorder: plan.Reorder, split: plan.SplitLines})
		defer s.chaos.wire.Store(nil)
	}
	s.chaos.mu.Lock()
	s.chaos.joinRate, s.chaos.joinIDs = plan.RefuseJoin, plan.RefuseWith
	s.chaos.mu.Unlock()
	defer s.calm()
	ticker := time.NewTicker(injectTick)
	defer ticker.Stop()
	known := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.done:
			return
		case <-ticker.C:
		}
		if plan.RefuseConn > 0 {
			n := 0
			if s.rnd.chance(plan.RefuseConn) {
				n = -1
			}
			s.Refuse(n)
		}
		now := time.Now()
		for _, c := range s.live() {
			if c.id > known {
				known = c.id
				c.prepare(s, plan)
			}
			if now.Sub(c.born) >= plan.Grace {
				s.strike(c, plan)
			}
		}
	}
}

// prepare gives a new connection what stays with it.
func (c *conn) prepare(s *Server, plan FaultPlan) {
	if plan.SplitLines > 0 {
		c.raw.Chop(s.crumbs(plan.SplitLines))
	}
	if plan.DelayUpTo > 0 {
		c.suffer(Fault{Kind: Delay, For: time.Duration(s.rnd.intn(int(plan.DelayUpTo)))})
	}
}

// strike throws the dice for one connection and one tick.
func (s *Server) strike(c *conn, plan FaultPlan) {
	const perTick = float64(injectTick) / float64(time.Minute)
	for _, f := range [...]struct {
		rate float64
		Fault
	}{
		{plan.Drop, Fault{Kind: Drop}},
		{plan.Hangup, Fault{Kind: Hangup}},
		{plan.HalfOpen, Fault{Kind: HalfOpen}},
		{plan.Mute, Fault{Kind: Mute}},
		{plan.Reconnect, Fault{Kind: Reconnect, For: plan.ReconnectAfter}},
	} {
		if s.rnd.chance(f.rate * perTick) {
			c.suffer(f.Fault)
			return
		}
	}
}

// calm ends what Inject started.
func (s *Server) calm() {
	s.Refuse(0)
	s.chaos.mu.Lock()
	s.chaos.joinRate, s.chaos.joinIDs = 0, nil
	s.chaos.mu.Unlock()
	for _, c := range s.live() {
		c.raw.Chop(nil)
		c.mu.Lock()
		c.delay = 0
		c.mu.Unlock()
	}
}
