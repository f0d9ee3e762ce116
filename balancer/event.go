package balancer

import (
	"fmt"
	"strconv"
	"time"
)

// Key is what a Balancer places: a Twitch login, an IRC "#channel", or a
// Discord guild ID in decimal. A transport folds case before it hands a Key
// out, and callers pass Keys already folded. The empty Key is that of events
// which concern no channel; it cannot be joined.
type Key string

// ShardID names one shard. Under free placement Gen and Count are 0 and Index
// alone tells shards apart. Under fixed placement Count is num_shards, and Gen
// tells the generations of a resize apart even where their counts are equal.
type ShardID struct{ Gen, Index, Count int }

// String returns "3" under free placement and "3/16" or "3/16#2" under fixed.
func (id ShardID) String() string {
	s := strconv.Itoa(id.Index)
	if id.Count > 0 {
		s += "/" + strconv.Itoa(id.Count)
	}
	if id.Gen > 0 {
		s += "#" + strconv.Itoa(id.Gen)
	}
	return s
}

// Session is what a transport needs to resume a connection where it left off.
// State is a secret: no method of Session prints it. Seq is the last sequence
// number received when the process itself reconnects, and the last one
// acknowledged when the session was taken with [Balancer.Session] or
// [Balancer.Release] to be stored.
type Session struct {
	State []byte
	Seq   uint64
}

// String prints the sequence number and never the state.
func (s Session) String() string { return fmt.Sprintf("session(seq %d)", s.Seq) }

// GoString is String, so that %#v does not print the state.
func (s Session) GoString() string { return s.String() }

// MarshalJSON prints what String prints: a Session is stored by writing its
// fields out on purpose, never by marshalling whatever holds it.
func (s Session) MarshalJSON() ([]byte, error) { return strconv.AppendQuote(nil, s.String()), nil }

// Event is what a Handler receives: one message of the service, with Data of a
// type of the transport's, or one of [Up], [Down], [Joined], [Parted],
// [Refused], [CutOver] and [Gap].
//
// ID identifies a message for the service as a whole, so that the same message
// seen over two connections has the same ID. It is empty where the service
// gives none; Data may then implement [Fingerprinter]. Strings and Data may
// share memory with other events of the same read: keeping one event keeps its
// whole chunk (the transport says how large that is), so copy what is kept for
// long.
type Event struct {
	Shard ShardID
	Key   Key
	ID    string
	Seq   uint64 // sequence number for Ack; 0 where the service numbers nothing
	Size  int    // bytes on the wire; what the queue's bound counts
	Data  any

	link *link // the connection that received it
	at   int64 // when, in Unix nanoseconds
}

// Ack acknowledges e and nothing else, with Config.ManualAck: the session is
// stored with the number up to which every event is acknowledged. Unlike
// [Balancer.Ack] it knows the session that e belongs to. Any goroutine may call it.
func (e *Event) Ack() { e.link.handled(e.Seq) }

// received is when e was received.
func (e *Event) received() time.Time { return time.Unix(0, e.at) }

// Releaser is implemented by Data that stands in memory which can be used again
// once the Handler is done with it. Release is called where Config.Reuse is set.
type Releaser interface{ Release() }

// Keyed is implemented by an Event's Data where the transport leaves Key and ID
// empty because finding them costs and few ask. The Balancer asks only while a
// new generation of shards takes over from another one.
type Keyed interface{ KeyID() (k Key, id string) }

// Urgent is implemented by an Event's Data that may not wait, such as what the
// service wants answered within seconds: a handover delivers it at once, once,
// and before what was received earlier if need be. It needs an ID.
type Urgent interface{ Urgent() bool }

// Fingerprinter is implemented by an Event's Data where the service gives a
// message no ID. Equal messages have equal fingerprints whatever connection
// they came over. It is called during a handover only.
type Fingerprinter interface{ Fingerprint() uint64 }

// Up is the first event of every connection.
type Up struct {
	Session *Session // what resumes this connection later; nil where nothing does
	Resumed bool     // a session was taken up, that given to Dial or one that the transport had stored: the service replays what came after Session.Seq
	Cap     int      // keys this connection may hold where the service allows fewer than configured; 0: no limit of its own

	// Partial says that the service has yet to begin with some of the shard's
	// keys: Settled follows when it has, or will not.
	Partial bool
	// Since is when the last event was received of a session of this shard from
	// before this process, if that was not resumed: a Gap starts there. Zero:
	// there was none.
	Since time.Time
}

// Settled says that a connection whose Up was Partial carries all of its keys.
// A generation of shards does not take over before that.
type Settled struct{}

// Down is the last event of a connection that ended by itself. Events of the
// keys that it held follow as Gaps once the keys are joined again.
type Down struct{ Err error }

// Joined says that the service confirmed the membership of Event.Key.
type Joined struct{}

// Parted says that the service ended the membership of Event.Key: because it
// was asked to if Err is nil, by itself otherwise. Last is when the service sent
// the last event before it on this connection, zero if it does not say.
type Parted struct {
	Err  error
	Last time.Time
}

// Refused says that Event.Key is not joined and why. Until is when it will be
// tried again; the zero time means that only a new Join will.
type Refused struct {
	Err   error
	Until time.Time
}

// CutOver says that the service is about to close this connection and wants
// another one dialled (Twitch's RECONNECT, Discord's op 7). The Balancer
// replaces it make-before-break where budgets and caps allow.
type CutOver struct{}

// Gap says that events of Event.Key may be missing: those that the service
// sent after From and not after To. An empty Key means every key of the shard.
// From is when the service sent the last event received (or when that was
// received, for services that do not say), To when the membership was
// confirmed again. Dropped counts events that were received and dropped
// because a queue was full; it is 0 for what never arrived.
type Gap struct {
	From, To time.Time
	Dropped  int
	Err      error // why: what ended the connection, or ErrOverflow
}
