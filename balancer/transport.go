package balancer

import (
	"context"
	"syscall"
)

// Transport dials connections of one account of one service.
//
// Dial returns once the service has accepted the login, or resumed session s
// if s is not nil and can be resumed. ctx bounds the call alone; the Conn
// outlives it. An error that wraps [*ConnError] says what may be tried next; any
// other is tried again after a back-off. Dial is called by one goroutine per
// shard at a time, so by many at once.
type Transport interface {
	Dial(ctx context.Context, id ShardID, s *Session) (Conn, error)
}

// Placer is a Transport with fixed placement: the service decides which of
// count shards carries a key. Place is pure, fast, and returns a value in
// [0, count). It is called for the empty Key too: that is the shard which
// carries what concerns no key.
type Placer interface {
	Transport
	Place(k Key, count int) int
}

// Conn is one connection, logged in.
//
// Receive blocks until something has arrived, fills buf from the front and
// returns how many events it wrote. It may return without any before it blocks
// with a large buf: whoever calls may want to wait with a smaller one. The first
// event of a connection is [Up].
// One goroutine calls it. Close unblocks it. It is used up by its first error,
// which may come together with events and should be a [*ConnError]. Whatever
// keeps the connection alive happens inside Receive or beside it, and never
// waits for a caller of Send.
//
// Send queues or writes one frame of the service's own format and may be
// called by many goroutines. Close ends the connection in a way that leaves
// its session resumable, Quit ends the session politely as well. Both may be
// called more than once and by any goroutine, and both wait for what the Conn
// itself started.
type Conn interface {
	Receive(buf []Event) (int, error)
	Send(ctx context.Context, frame []byte) error
	Close() error
	Quit(ctx context.Context) error
}

// Prober is a Conn that can ask the service for a sign of life. Probe returns
// nil when the service has answered a question that was asked after the call
// began and Receive has been called again since: everything sent before the
// answer has been received, and has been delivered too. ctx bounds the call. A
// connection of a [Placer] ends where no answer comes while it is being read
// from. Connections are probed while keys move: those of a Placer one question
// at a time and every two seconds at most, others eight times an overlap.
type Prober interface {
	Conn
	Probe(ctx context.Context) error
}

// Polled is a Conn that needs no goroutine of its own while it is quiet: many are
// waited for together.
//
// Poll is Receive that returns 0 and nil where Receive would block. If it returns
// less than len(buf) without an error, nothing is left: there will be more when
// the socket can be read from, or when the Conn calls wake. Delivered says what
// the next call of Receive or Poll would, that all they returned was delivered,
// where there will be none before something arrives.
//
// Park returns the socket that Poll reads; nil if there is none, now or ever:
// then it is not called again. The Conn remembers wake, which is the same one at
// each call, and calls it, holding no lock, when there is something to receive or
// to see to that the socket does not tell: a time that has come, or that it is
// about to be closed. wake may be called by any goroutine and does not block.
//
// Receive, which may return nothing now and then so that the caller can do this,
// Poll, Delivered and Park are called by one goroutine at a time, not always the
// same.
type Polled interface {
	Conn
	Poll(buf []Event) (int, error)
	Delivered()
	Park(wake func()) syscall.RawConn
}

// Joiner is a Conn whose keys are joined and parted one by one: that of a
// Transport with free placement. Join and Part only ask; the answer is an
// Event with Joined, Parted or Refused. They are called when the budget
// allows, by one goroutine at a time, and do not block for longer than a write.
type Joiner interface {
	Conn
	Join(ctx context.Context, keys ...Key) error
	Part(ctx context.Context, keys ...Key) error
}
