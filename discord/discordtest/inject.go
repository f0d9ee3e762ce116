package discordtest

import (
	"context"
	"time"
)

// FaultPlan is trouble at a steady rate. Rates of connection faults are per
// gateway connection and minute; rates of message faults are shares.
type FaultPlan struct {
	Drop, Hangup, HalfOpen, Mute, NoACK, Reconnect float64 // per connection and minute
	InvalidResumable, Invalid                      float64 // op 9, per connection and minute
	Close                                          float64 // with one of CloseCodes
	HeartbeatBurst, Corrupt                        float64

	CloseCodes     []int         // default 4000, 4001, 4002, 4005, 4008: those that leave the session alive
	ReconnectAfter time.Duration // between op 7 and the close; default 2 s
	Grace          time.Duration // age below which a connection is spared; default 1 s

	ReconnectFirst float64 // share of connections that get op 7 instead of HELLO
	RefuseConn     float64 // share of the time in which connections are refused
	ResumeDown     float64 // share of the time in which the resume host answers 503
	Duplicate      float64 // share of events
	SplitFrames    float64 // share of connections
	DelayUpTo      time.Duration
}

// Gentle returns what a bad day of the service looks like.
func Gentle() FaultPlan {
	return FaultPlan{Drop: 0.2, HalfOpen: 0.1, Reconnect: 0.3, Close: 0.1, InvalidResumable: 0.05}
}

// Storm returns trouble without a break: drops, half-open sockets, op 7 and
// op 9, closes, refused dials, a resume host that comes and goes, doubled
// events and cut frames all the time.
func Storm() FaultPlan {
	return FaultPlan{
		Drop: 2, Hangup: 1, HalfOpen: 0.3, Mute: 0.3, NoACK: 0.3, Reconnect: 2, ReconnectAfter: time.Second,
		InvalidResumable: 0.3, Invalid: 0.1, Close: 1, HeartbeatBurst: 0.5, Corrupt: 0.2,
		ReconnectFirst: 0.02, RefuseConn: 0.02, ResumeDown: 0.05, Duplicate: 0.005, SplitFrames: 0.2,
	}
}

// injectTick is how often the dice are thrown.
const injectTick = 100 * time.Millisecond

// InjectPlan applies a plan until ctx ends or the Server is closed, and blocks
// for that long. What it changed for good (a half-open, muted or corrupted
// connection) stays; the rest ends with it.
func (s *Server) InjectPlan(ctx context.Context, plan FaultPlan) {
	if plan.ReconnectAfter <= 0 {
		plan.ReconnectAfter = 2 * time.Second
	}
	if plan.Grace <= 0 {
		plan.Grace = time.Second
	}
	if len(plan.CloseCodes) == 0 {
		plan.CloseCodes = []int{CloseUnknown, CloseUnknownOpcode, CloseDecodeError, CloseAlreadyAuth, CloseRateLimited}
	}
	defer s.Heal()
	if plan.ReconnectFirst > 0 {
		s.Inject(Fault{Kind: Reconnect, At: AtConnect, For: plan.ReconnectAfter}, Target{Share: plan.ReconnectFirst})
	}
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
		s.outages(plan)
		now := time.Now()
		for _, c := range s.live() {
			if !c.isGateway() {
				continue
			}
			if c.id > known {
				known = c.id
				c.prepare(plan)
			}
			if now.Sub(c.born) >= plan.Grace {
				s.strike(c, plan)
			}
		}
	}
}

// outages throws the dice for the hosts, for one tick.
func (s *Server) outages(plan FaultPlan) {
	if s.rnd.chance(plan.RefuseConn) {
		s.standFor(Fault{Kind: Refused}, Target{}, injectTick)
	}
	if s.rnd.chance(plan.ResumeDown) {
		s.standFor(Fault{Kind: Unavailable}, Target{Host: Resume}, injectTick)
	}
}

// prepare gives a new connection what stays with it.
func (c *conn) prepare(plan FaultPlan) {
	if c.s.rnd.chance(plan.SplitFrames) {
		c.suffer(Fault{Kind: SplitFrames})
	}
	if plan.Duplicate > 0 {
		c.suffer(Fault{Kind: Duplicate, Rate: plan.Duplicate})
	}
	if plan.DelayUpTo > 0 {
		c.suffer(Fault{Kind: Delay, For: time.Duration(c.s.rnd.intn(int(plan.DelayUpTo)))})
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
		{plan.NoACK, Fault{Kind: NoACK}},
		{plan.Reconnect, Fault{Kind: Reconnect, For: plan.ReconnectAfter}},
		{plan.InvalidResumable, Fault{Kind: InvalidSession, Resumable: true}},
		{plan.Invalid, Fault{Kind: InvalidSession}},
		{plan.Close, Fault{Kind: CloseWith, Code: plan.CloseCodes[s.rnd.intn(len(plan.CloseCodes))]}},
		{plan.HeartbeatBurst, Fault{Kind: HeartbeatBurst}},
		{plan.Corrupt, Fault{Kind: Corrupt}},
	} {
		if s.rnd.chance(f.rate * perTick) {
			c.suffer(f.Fault)
			return
		}
	}
}

// standFor injects a fault of a host that ends by itself.
func (s *Server) standFor(f Fault, t Target, d time.Duration) {
	f.At = "host"
	s.chaos.mu.Lock()
	defer s.chaos.mu.Unlock()
	s.chaos.waiting = append(s.chaos.waiting, &standing{Fault: f, Target: t, left: -1, until: time.Now().Add(d)})
}
