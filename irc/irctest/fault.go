package irctest

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// FaultKind names what can go wrong with a connection.
type FaultKind string

// The faults of connections. See [Server.Refuse], [Server.RefuseJoin],
// [Server.Ban], [Server.Revoke], [Server.Rename] and [Server.SetCert] for those of
// other things.
const (
	// Drop resets the connection: what the client has not read is lost.
	Drop FaultKind = "drop"
	// Hangup closes the connection gracefully, without a warning.
	Hangup FaultKind = "hangup"
	// HalfOpen stops reading and writing. The socket stays; what the client
	// writes goes nowhere.
	HalfOpen FaultKind = "half-open"
	// Mute goes on reading but never says anything again, not even PONG.
	Mute FaultKind = "mute"
	// Delay delivers every line Fault.For later. 0 ends it.
	Delay FaultKind = "delay"
	// SlowReader reads Fault.Size bytes a second from the client. 0 ends it.
	SlowReader FaultKind = "slow reader"
	// Reconnect sends RECONNECT and closes the connection Fault.For later.
	Reconnect FaultKind = "reconnect"
	// SplitLines cuts what is written at arbitrary bytes, inside of UTF-8
	// sequences too.
	SplitLines FaultKind = "split lines"
	// Oversized sends a NOTICE of Fault.Size bytes (default 128 KiB) before a
	// share Fault.Rate of the channels' lines, at once if the rate is 0.
	Oversized FaultKind = "oversized"
	// InvalidUTF8 ends a share Fault.Rate of the channels' lines with bytes
	// that are not UTF-8.
	InvalidUTF8 FaultKind = "invalid utf-8"
	// Duplicate sends a share Fault.Rate of the channels' lines twice.
	Duplicate FaultKind = "duplicate"
	// Reorder lets a share Fault.Rate of the channels' lines be overtaken by
	// the next line of the connection.
	Reorder FaultKind = "reorder"
)

// Fault is one fault with its measure.
type Fault struct {
	Kind FaultKind
	For  time.Duration
	Rate float64 // 0 to 1; for what happens to single lines, 0 means always
	Size int
}

// Target says which connections a fault hits: those that fit every field that
// is set. The zero Target hits every connection.
type Target struct {
	Account string  // login; "justinfan" for anonymous connections
	Channel string  // joined to it
	Conn    int     // number of the connection, from 1 in the order of dialling
	Share   float64 // this share of those that fit, chosen at random
	New     bool    // those not dialled yet instead, until Heal
}

// chaos is the faults that concern the Server as a whole.
type chaos struct {
	wire atomic.Pointer[wireFaults] // of every connection without its own

	mu       sync.Mutex // guards all below
	fresh    []Fault    // of connections not dialled yet
	refuse   int        // connections to be refused; negative: all
	joins    map[string]*joinRefusal
	joinRate float64  // share of JOINs refused at random
	joinIDs  []string // with one of these
	caps     []string // plain IRC: announced with NotifyCap
}

// joinRefusal refuses JOINs of one channel.
type joinRefusal struct {
	notice string // msg-id, or numeric on plain IRC; "": silence
	left   int    // negative: always
}

// Apply does f to the connections of the target and returns how many it hit.
func (s *Server) Apply(f Fault, t Target) int {
	if t.New {
		s.chaos.mu.Lock()
		defer s.chaos.mu.Unlock()
		s.chaos.fresh = append(s.chaos.fresh, f)
		return 0
	}
	n := 0
	for _, c := range s.live() {
		if s.fits(c, t) {
			s.cfg.Logger.Debug().Str("fault", string(f.Kind)).Int("conn", c.id).Msg("fault")
			c.suffer(f)
			n++
		}
	}
	return n
}

// Heal ends the faults of connections to come, and the Delay, SlowReader and
// per-line faults of those that are there.
func (s *Server) Heal() {
	s.chaos.mu.Lock()
	s.chaos.fresh, s.chaos.refuse, s.chaos.joins, s.chaos.joinRate = nil, 0, nil, 0
	s.chaos.mu.Unlock()
	s.chaos.wire.Store(nil)
	for _, c := range s.live() {
		c.mu.Lock()
		c.wire, c.slow, c.delay = nil, 0, 0
		c.mu.Unlock()
		c.raw.Chop(nil)
	}
}

func (s *Server) fits(c *conn, t Target) bool {
	if t.Conn != 0 && t.Conn != c.id {
		return false
	}
	if t.Account != "" && s.prof.casefold(c.account().name()) != s.prof.casefold(t.Account) {
		return false
	}
	if t.Channel != "" {
		if ch := s.lookup(t.Channel); ch == nil || c.membership(ch) == nil {
			return false
		}
	}
	return t.Share <= 0 || s.rnd.chance(t.Share)
}

// greet applies the faults that wait for new connections.
func (x *chaos) greet(c *conn) {
	x.mu.Lock()
	fresh := x.fresh
	x.mu.Unlock()
	for _, f := range fresh {
		c.suffer(f)
	}
}

// suffer does f to the connection.
func (c *conn) suffer(f Fault) {
	switch f.Kind {
	case Drop:
		c.end(reset)
		return
	case Hangup:
		c.end(hangUp)
		return
	case SplitLines:
		rate := f.Rate
		if rate <= 0 {
			rate = 1
		}
		c.raw.Chop(c.s.crumbs(rate))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch f.Kind {
	case HalfOpen, Mute:
		c.deaf = c.deaf || f.Kind == HalfOpen
		c.dumb = true
		if c.goneAt.IsZero() {
			c.goneAt = now
		}
	case Delay:
		c.delay = f.For
	case SlowReader:
		c.slow = f.Size
	case Reconnect:
		if !c.gone() {
			c.push([]byte(":" + c.s.cfg.Name + " RECONNECT"))
			c.closeAt = now.Add(f.For)
			c.nc.SetWriteDeadline(c.closeAt)
			c.poke()
		}
	case Oversized:
		if f.Rate <= 0 && !c.gone() {
			c.push(c.s.oversized(f.Size))
			return
		}
		fallthrough
	default:
		w := wireFaults{}
		if c.wire != nil {
			w = *c.wire
		}
		w.set(f)
		c.wire = &w
	}
}

// oversized returns a NOTICE of n bytes.
func (s *Server) oversized(n int) []byte {
	if n <= 0 {
		n = 128 << 10
	}
	head := ":" + s.cfg.Name + " NOTICE * :"
	return []byte(head + strings.Repeat("A", max(0, n-len(head))))
}

// Refuse refuses the next n connections, all of them if n is negative, until
// it is called with 0. In memory the dialer gets "connection refused"; on real
// sockets the connection is reset as soon as it is made.
func (s *Server) Refuse(n int) {
	s.chaos.mu.Lock()
	defer s.chaos.mu.Unlock()
	s.chaos.refuse = n
}

func (s *Server) refuses() bool {
	s.chaos.mu.Lock()
	defer s.chaos.mu.Unlock()
	if s.chaos.refuse > 0 {
		s.chaos.refuse--
		return true
	}
	return s.chaos.refuse < 0
}

// RefuseJoin refuses the next n JOINs of a channel, all if n is negative, none
// any more if it is 0. notice is the msg-id of the NOTICE that says so
// ("msg_banned"), or the numeric on plain IRC ("471"); "" means silence.
func (s *Server) RefuseJoin(channel, notice string, n int) {
	name := s.prof.fold(channel)
	s.chaos.mu.Lock()
	defer s.chaos.mu.Unlock()
	if s.chaos.joins == nil {
		s.chaos.joins = make(map[string]*joinRefusal)
	}
	if n == 0 {
		delete(s.chaos.joins, name)
		return
	}
	s.chaos.joins[name] = &joinRefusal{notice, n}
}

// refusal reports whether a JOIN of the folded name is to be refused, and how.
func (s *Server) refusal(name string) (notice string, refused bool) {
	s.chaos.mu.Lock()
	r := s.chaos.joins[name]
	if r != nil {
		if r.left--; r.left == 0 {
			delete(s.chaos.joins, name)
		}
		s.chaos.mu.Unlock()
		return r.notice, true
	}
	rate, ids := s.chaos.joinRate, s.chaos.joinIDs
	s.chaos.mu.Unlock()
	if !s.rnd.chance(rate) {
		return "", false
	}
	if len(ids) > 0 {
		notice = ids[s.rnd.intn(len(ids))]
	}
	return notice, true
}
