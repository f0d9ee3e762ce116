package discordtest

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
	IdentifyTooEarly  ViolationKind = "identify too early"            // second of its key within 5 s; answered op 9
	BudgetExceeded    ViolationKind = "identify budget exceeded"      // the token is dead
	DeadToken         ViolationKind = "dead token used"               // after that
	WrongToken        ViolationKind = "wrong token"                   // 4004
	SendRate          ViolationKind = "more than 120 sends in 60 s"   // 4008
	PayloadTooLong    ViolationKind = "payload over 4096 bytes"       // 4002
	BadPayload        ViolationKind = "broken payload"                // 4002
	UnknownOp         ViolationKind = "unknown opcode"                // 4001
	NotAuthenticated  ViolationKind = "sent before identify"          // 4003
	AlreadyAuth       ViolationKind = "identified twice"              // 4005
	BadShard          ViolationKind = "invalid shard"                 // 4010
	NeedsSharding     ViolationKind = "too many guilds on a shard"    // 4011
	BadVersion        ViolationKind = "invalid version or encoding"   // 4012
	BadIntents        ViolationKind = "invalid intents"               // 4013
	DisallowedIntents ViolationKind = "disallowed intents"            // 4014
	BadSeq            ViolationKind = "seq from the future on resume" // 4007
	BadHeartbeat      ViolationKind = "heartbeat with a wrong seq"    // counted only
	NoHeartbeat       ViolationKind = "no heartbeat"                  // 4009
	IdentifyTimeout   ViolationKind = "no identify"                   // 4009
	ResumeAfterClose  ViolationKind = "resume after close 1000"       // the client ended that session itself; op 9
	ResumeMismatch    ViolationKind = "resume with other parameters"  // version or compression differ; counted only
	WrongShard        ViolationKind = "request for another shard"     // op 3, 4, 8, 31, 43; ignored
	MembersTooOften   ViolationKind = "all members twice in 30 s"     // op 8; RATE_LIMITED
	BadRequest        ViolationKind = "bad member request"            // op 8 with impossible fields; ignored
	QueueBackup       ViolationKind = "send queue backed up"          // the client read too slowly
	RESTLimit         ViolationKind = "REST limit exceeded"           // 429
	Unauthorized      ViolationKind = "REST without a valid token"    // 401
	LateInteraction   ViolationKind = "interaction answered late"     // after 3 s
)

// Violation is one breach of a rule by a client.
type Violation struct {
	Kind   ViolationKind
	Bot    string // its name, if it is known
	Shard  [2]int // of its session, if it has one
	Time   time.Time
	Detail string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s %s %v: %s: %s", v.Time.Format("15:04:05.000"), v.Bot, v.Shard, v.Kind, v.Detail)
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

func (s *Server) violate(kind ViolationKind, b *bot, shard [2]int, detail string) {
	v := Violation{Kind: kind, Shard: shard, Time: time.Now(), Detail: detail}
	if b != nil {
		v.Bot = b.Name
	}
	s.cfg.Logger.Warn().Str("kind", string(kind)).Str("bot", v.Bot).Ints("shard", shard[:]).Str("detail", detail).Msg("violation")
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
