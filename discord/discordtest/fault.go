package discordtest

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// FaultKind names what can go wrong.
type FaultKind string

// Faults of gateway connections. See also [Server.SetRemaining],
// [Server.SetToken], [Server.Outage], [Server.Withhold] and [Server.SetCert].
const (
	// Drop resets the connection: what the client has not read is lost.
	Drop FaultKind = "drop"
	// Hangup closes the connection without a close frame.
	Hangup FaultKind = "hangup"
	// HalfOpen stops reading and writing. The socket stays.
	HalfOpen FaultKind = "half-open"
	// Mute goes on reading but never says anything again: no ACK, no events.
	// At AtConnect it is a HELLO that never comes, at AtIdentify a READY.
	Mute FaultKind = "mute"
	// NoACK leaves heartbeats unanswered while events flow.
	NoACK FaultKind = "no ack"
	// Reconnect sends op 7 and closes Fault.For (default
	// Config.ReconnectAfter) later. At AtConnect there is no HELLO.
	Reconnect FaultKind = "reconnect"
	// InvalidSession sends op 9. Unless Fault.Resumable the session ends.
	InvalidSession FaultKind = "invalid session"
	// CloseWith closes with Fault.Code.
	CloseWith FaultKind = "close with"
	// LoseSession ends the session and says nothing.
	LoseSession FaultKind = "lose session"
	// Forget empties the replay buffer: it is too short for whoever resumes.
	Forget FaultKind = "forget"
	// Delay delivers everything Fault.For later. 0 ends it.
	Delay FaultKind = "delay"
	// SlowReader reads Fault.Size bytes a second from the client. 0 ends it.
	SlowReader FaultKind = "slow reader"
	// SplitFrames cuts messages: with zlib-stream into several WebSocket
	// messages, else into fragments of one.
	SplitFrames FaultKind = "split frames"
	// Coalesce holds messages back for Fault.For and writes them at once.
	Coalesce FaultKind = "coalesce"
	// Corrupt damages the next message where every client must notice: streams
	// have no checksum, and other bytes may pass for another text.
	Corrupt FaultKind = "corrupt"
	// Duplicate writes a share Fault.Rate of the events twice, with one seq.
	Duplicate FaultKind = "duplicate"
	// HeartbeatBurst asks Fault.Size times (default 5) for a heartbeat: op 1.
	HeartbeatBurst FaultKind = "heartbeat burst"
	// BigGuild sends a GUILD_CREATE of Fault.Size bytes (default 20 MB).
	BigGuild FaultKind = "big guild"
	// RateLimited dispatches RATE_LIMITED for op 8 with retry_after Fault.For.
	RateLimited FaultKind = "rate limited"
)

// Faults of hosts; [Target.Host] says which. They last until [Server.Heal].
const (
	// Refused refuses connections.
	Refused FaultKind = "refused"
	// Unavailable answers every request with Fault.Code (default 503).
	Unavailable FaultKind = "unavailable"
	// BlackHole takes requests and never answers.
	BlackHole FaultKind = "black hole"
	// BadTLS lets TLS handshakes fail; without TLS it refuses.
	BadTLS FaultKind = "bad tls"
)

// When says at which point of a connection's life a fault strikes. What comes
// with AtConnect, AtIdentify and AtResume takes the place of the answer, for
// the faults that end or silence a connection, and of op 9.
type When string

// The points of a connection's life.
const (
	Now        When = ""            // at once, on connections that are there
	AtConnect  When = "at connect"  // instead of HELLO
	AtHello    When = "at hello"    // after it
	AtIdentify When = "at identify" // instead of READY; the identify is spent
	AtReady    When = "at ready"    // after READY
	AtResume   When = "at resume"   // instead of RESUMED
	AtResumed  When = "at resumed"  // after RESUMED
)

// Fault is one fault with its measure.
type Fault struct {
	Kind      FaultKind
	At        When
	Times     int // for At other than Now, and for hosts: how often; 0: until Heal
	For       time.Duration
	Rate      float64 // 0 to 1; 0 means always
	Size      int
	Code      int
	Resumable bool
}

// Target says what a fault hits: what fits every field that is set. The zero
// Target hits everything.
type Target struct {
	Bot   string  // name or token
	Guild uint64  // connections that carry it
	Shard *[2]int // connections of this [shard_id, num_shards]
	Conn  int     // number of the connection, from 1 in the order of dialling
	Host  Host    // connections to it
	Path  string  // REST: requests whose path ends so, such as "/gateway/bot"
	Share float64 // this share of what fits, chosen at random
}

// chaos is the faults that wait.
type chaos struct {
	mu      sync.Mutex // guards all below
	waiting []*standing
}

// standing is a fault that waits for what it fits.
type standing struct {
	Fault
	Target
	left  int       // negative: always
	until time.Time // zero: until Heal
}

// wireFaults are the faults of single messages.
type wireFaults struct {
	delay, coalesce time.Duration
	split, corrupt  bool
	duplicate       float64
}

// Inject does f to the target and returns how many connections it hit at once.
// With a [When], and for hosts, it is done to whatever fits later, until
// [Server.Heal].
func (s *Server) Inject(f Fault, t Target) int {
	switch f.Kind {
	case Refused, Unavailable, BlackHole, BadTLS:
		if f.At == Now {
			f.At = "host"
		}
	}
	if f.At != Now {
		left := f.Times
		if left <= 0 {
			left = -1
		}
		s.chaos.mu.Lock()
		defer s.chaos.mu.Unlock()
		s.chaos.waiting = append(s.chaos.waiting, &standing{Fault: f, Target: t, left: left})
		return 0
	}
	var hit []*conn // chosen before the first suffers, whose client may come back at once
	for _, c := range s.live() {
		if c.isGateway() && s.fits(c, t) {
			hit = append(hit, c)
		}
	}
	for _, c := range hit {
		c.suffer(f)
	}
	return len(hit)
}

// Heal ends all faults that wait or last, except those of connections that are
// silent already.
func (s *Server) Heal() {
	s.chaos.mu.Lock()
	s.chaos.waiting = nil
	s.chaos.mu.Unlock()
	for _, c := range s.live() {
		c.mu.Lock()
		c.wire, c.slow, c.noACK = wireFaults{}, 0, false
		c.mu.Unlock()
		c.poke()
	}
}

func (c *conn) isGateway() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stage != stHTTP && !c.closing && !c.ended
}

func (s *Server) fits(c *conn, t Target) bool {
	c.mu.Lock()
	b, x, host := c.b, c.sess, c.host
	c.mu.Unlock()
	switch {
	case t.Conn != 0 && t.Conn != c.id, t.Host != "" && t.Host != host:
		return false
	case t.Bot != "" && (b == nil || b.Name != t.Bot && !b.isToken(t.Bot)):
		return false
	case t.Shard != nil && (x == nil || *t.Shard != [2]int{x.shard, x.count}):
		return false
	case t.Guild != 0 && (x == nil || Place(t.Guild, x.count) != x.shard):
		return false
	}
	return t.Share <= 0 || s.rnd.chance(t.Share)
}

// take returns the waiting faults that fit.
func (s *Server) take(fit func(*standing) bool) []Fault {
	s.chaos.mu.Lock()
	now := time.Now()
	if slices.ContainsFunc(s.chaos.waiting, func(w *standing) bool { return w.left == 0 || reached(w.until, now) }) {
		s.chaos.waiting = slices.DeleteFunc(slices.Clone(s.chaos.waiting), func(w *standing) bool { return w.left == 0 || reached(w.until, now) })
	}
	waiting := s.chaos.waiting
	s.chaos.mu.Unlock()
	var hits []Fault
	for _, w := range waiting {
		if !fit(w) {
			continue
		}
		s.chaos.mu.Lock()
		ok := w.left != 0
		if w.left > 0 {
			w.left--
		}
		s.chaos.mu.Unlock()
		if ok {
			hits = append(hits, w.Fault)
		}
	}
	return hits
}

// meet does what waits for the connection at this point of its life, and
// reports whether the usual answer is left out.
func (c *conn) meet(at When) (instead bool) {
	for _, f := range c.s.take(func(w *standing) bool { return w.At == at && c.s.fits(c, w.Target) }) {
		c.suffer(f)
		switch f.Kind {
		case Drop, Hangup, HalfOpen, Mute, CloseWith, InvalidSession, Reconnect:
			instead = true
		}
	}
	return instead
}

// suffer does f to the connection.
func (c *conn) suffer(f Fault) {
	c.s.cfg.Logger.Debug().Str("fault", string(f.Kind)).Int("conn", c.id).Msg("fault")
	x := c.session()
	switch f.Kind {
	case Drop:
		c.end(reset)
	case Hangup:
		c.end(hangUp)
	case CloseWith:
		c.closeWith(f.Code)
	case Reconnect:
		c.say(`{"t":null,"s":null,"op":7,"d":null}`)
	case InvalidSession:
		if x != nil && !f.Resumable {
			c.disown(x) // before the client can answer
		}
		c.invalidSession(f.Resumable)
	case LoseSession:
		if x != nil {
			c.disown(x)
		}
	case Forget:
		if x != nil {
			x.forget()
		}
	case HeartbeatBurst:
		n := f.Size
		or(&n, 5)
		for range n {
			c.say(`{"t":null,"s":null,"op":1,"d":null}`)
		}
	case BigGuild:
		if x != nil {
			x.bigGuild(f.Size)
		}
	case RateLimited:
		if x != nil {
			c.rateLimited(x, opMembers, f.For, fmt.Sprintf(`{"guild_id":%s}`, quoteID(x.anyGuild())))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch f.Kind {
	case HalfOpen, Mute:
		c.deaf = c.deaf || f.Kind == HalfOpen
		c.dumb = true
		c.queue = nil
		c.beatBy, c.helloBy = time.Time{}, time.Time{}
		if c.goneAt.IsZero() {
			c.goneAt = now
		}
	case NoACK:
		c.noACK = true
	case Reconnect:
		d := f.For
		or(&d, c.s.cfg.ReconnectAfter)
		c.hangAt = now.Add(d)
		c.poke()
	case Delay:
		c.wire.delay = f.For
	case Coalesce:
		c.wire.coalesce = f.For
	case SlowReader:
		c.slow = f.Size
	case SplitFrames:
		c.wire.split = true
	case Corrupt:
		c.wire.corrupt = true
	case Duplicate:
		c.wire.duplicate = f.Rate
		if f.Rate <= 0 {
			c.wire.duplicate = 1
		}
	}
}

// disown ends the session but not the connection, which may identify again.
func (c *conn) disown(x *session) {
	x.finish("invalidated by the server", false)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sess, c.stage = nil, stHello
	c.helloBy = time.Now().Add(c.s.cfg.IdentifyTimeout)
}

// forget empties the replay buffer.
func (x *session) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ring, x.head = nil, 0
}

// anyGuild returns a guild of the session, or 0.
func (x *session) anyGuild() uint64 {
	x.b.mu.RLock()
	defer x.b.mu.RUnlock()
	for _, g := range x.b.order {
		if Place(g.id, x.count) == x.shard {
			return g.id
		}
	}
	return 0
}

// bigGuild sends a GUILD_CREATE of about n bytes.
func (x *session) bigGuild(n int) {
	or(&n, 20_000_000)
	if g := x.b.s.guild(x.anyGuild()); g != nil && g.id != 0 {
		x.push(&payload{t: "GUILD_CREATE", create: g, pad: n})
	}
}
