package balancer

import "time"

// State is where a key stands between wanted and joined.
type State uint8

const (
	Wanted  State = iota // asked for, not yet placed on a shard
	Queued               // placed; its join waits for the connection or the budget
	Sent                 // the join was sent and is not yet confirmed
	Member               // the service confirmed the join
	Denied               // the service or a cap refused; see Err and Until
	Lost                 // was a member until its connection ended or the service ended it; will be joined again
	Parting              // no longer wanted; the service has not confirmed yet
)

var stateNames = [...]string{"wanted", "queued", "sent", "joined", "refused", "lost", "parting"}

// String returns "wanted", "queued", "sent", "joined", "refused", "lost" or "parting".
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "state(?)"
}

// KeyStatus is what is known of one key.
type KeyStatus struct {
	Key    Key
	State  State
	Shard  ShardID   // where it is placed
	Placed bool      // whether Shard means anything
	Moving bool      // a handover to another connection is under way
	Err    error     // why it was refused or lost
	Until  time.Time // when it will be tried again; zero: when there is room, or not by itself
	Tries  int       // joins sent since the last confirmation
}

// entry is a key's state. It is small, because there may be a million:
// what only keys in trouble need stands in trouble. Guarded by Balancer.mu;
// shard, pos and link are written by the loop alone.
type entry struct {
	key      Key
	shard    *shard    // where it is placed; nil: nowhere
	link     *link     // the connection that it was asked for on or is joined on
	move     *handover // under way
	trouble  *trouble
	pos      int32 // index in shard.keys
	stamp    uint32
	state    State
	wanted   bool
	exempt   bool // does not count against KeyCap
	inFresh  bool // stands in Balancer.fresh
	inJoins  bool // stands in Balancer.joins
	inCapped bool // stands in Balancer.capped
	on       bool // counts as a membership of link
	member   bool // has a place among the account's keys
}

type trouble struct {
	err     error
	until   time.Time
	gapFrom time.Time // when the last event came, if a gap is open
	gapErr  error
	tries   int
	rate    Rate
}

func (e *entry) bad() *trouble {
	if e.trouble == nil {
		e.trouble = new(trouble)
	}
	return e.trouble
}

func (e *entry) status() KeyStatus {
	st := KeyStatus{Key: e.key, State: e.state, Moving: e.move != nil}
	if e.shard != nil {
		st.Shard, st.Placed = e.shard.id, true
	}
	if e.trouble != nil {
		st.Err, st.Until, st.Tries = e.trouble.err, e.trouble.until, e.trouble.tries
		if e.state == Member {
			st.Err, st.Until = nil, time.Time{}
		}
	}
	return st
}

const slabEntries = 256

// entrySlab allocates entries by the hundred: a million keys are a few
// thousand allocations, and a parted key's entry is used again.
type entrySlab struct {
	free  []*entry
	chunk []entry
	all   [][]entry // every chunk; it only grows
}

func (s *entrySlab) take(k Key) *entry {
	if n := len(s.free); n > 0 {
		e := s.free[n-1]
		s.free = s.free[:n-1]
		*e = entry{key: k, stamp: e.stamp + 1}
		return e
	}
	if len(s.chunk) == 0 {
		s.chunk = make([]entry, slabEntries)
		s.all = append(s.all, s.chunk)
	}
	e := &s.chunk[0]
	s.chunk = s.chunk[1:]
	e.key = k
	return e
}

func (s *entrySlab) put(e *entry) {
	e.shard, e.link, e.move, e.trouble, e.key = nil, nil, nil, nil, ""
	s.free = append(s.free, e)
}
