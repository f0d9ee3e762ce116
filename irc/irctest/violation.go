package irctest

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// ViolationKind names a rule of the service.
type ViolationKind string

// What a Server counts against a client.
const (
	TooManyJoins    ViolationKind = "too many JOINs"            // over Limits.Joins in a window
	TooManyLogins   ViolationKind = "too many logins"           // over Limits.Logins in a window
	TooManyChannels ViolationKind = "too many channels"         // over Limits.Channels, or CHANLIMIT
	TooManySends    ViolationKind = "too many messages"         // over Limits.Sends or ModSends
	TooFast         ViolationKind = "two messages in a second"  // to one channel, not as moderator or VIP
	DuplicateText   ViolationKind = "duplicate text"            // within 30 s to one channel
	TooLong         ViolationKind = "message too long"          // over 500 characters, or a line over its limit
	Flood           ViolationKind = "flood"                     // plain IRC: commands faster than allowed
	NoPong          ViolationKind = "no PONG"                   // the server's PING stayed unanswered
	QueueBackup     ViolationKind = "send queue backed up"      // the client read too slowly
	TooManyTargets  ViolationKind = "too many targets"          // plain IRC: over TARGMAX
	BadCommand      ViolationKind = "unknown or broken command" // not understood
)

// Violation is one breach of a rule by a client.
type Violation struct {
	Kind    ViolationKind
	Account string // login; "justinfan" for anonymous connections
	Channel string // where one is concerned
	Time    time.Time
	Detail  string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s %s: %s %s %s", v.Time.Format("15:04:05.000"), v.Account, v.Kind, v.Channel, v.Detail)
}

// maxViolations is how many are kept; more are only counted.
const maxViolations = 10_000

type violations struct {
	mu    sync.Mutex // guards all below
	list  []Violation
	count map[ViolationKind]int
}

// Violations returns what clients did against the rules, oldest first: the
// first 10,000. Tests assert that there are none.
func (s *Server) Violations() []Violation {
	s.viol.mu.Lock()
	defer s.viol.mu.Unlock()
	return slices.Clone(s.viol.list)
}

// ViolationCount returns how many there were of a kind.
func (s *Server) ViolationCount(kind ViolationKind) int {
	s.viol.mu.Lock()
	defer s.viol.mu.Unlock()
	return s.viol.count[kind]
}

func (s *Server) violate(kind ViolationKind, c *conn, channel, detail string) {
	v := Violation{Kind: kind, Account: c.account().name(), Channel: channel, Time: time.Now(), Detail: detail}
	s.cfg.Logger.Warn().Str("kind", string(kind)).Str("account", v.Account).
		Str("channel", channel).Str("detail", detail).Msg("violation")
	s.viol.mu.Lock()
	defer s.viol.mu.Unlock()
	if s.viol.count == nil {
		s.viol.count = make(map[ViolationKind]int)
	}
	s.viol.count[kind]++
	if len(s.viol.list) < maxViolations {
		s.viol.list = append(s.viol.list, v)
	}
}
