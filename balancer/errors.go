package balancer

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrFull refuses a key because every shard that may exist is full. The
	// key waits for room.
	ErrFull = errors.New("balancer: no room: every shard is full and no more may be opened")
	// ErrKeyCap refuses a key because the account may not join more
	// (Config.KeyCap). The key waits for room.
	ErrKeyCap = errors.New("balancer: the account's cap on joined keys is reached")
	// ErrUnconfirmed refuses a key whose joins the service left unanswered.
	ErrUnconfirmed = errors.New("balancer: join not confirmed by the service")
	// ErrOverflow is the cause of a Gap of events dropped by a full queue.
	ErrOverflow = errors.New("balancer: queue full")
	// ErrBlocked ends a connection whose handler left its queue full for
	// longer than QueueConfig.BlockFor.
	ErrBlocked = errors.New("balancer: handler blocked for too long")
	// ErrNotReady is returned by Send where no shard can carry the frame now.
	ErrNotReady = errors.New("balancer: no shard is ready")
	// ErrClosed is returned by calls that need a running Balancer.
	ErrClosed = errors.New("balancer: not running")
	// ErrUnknownShard is returned for a ShardID that this Balancer does not run.
	ErrUnknownShard = errors.New("balancer: no such shard")
	// ErrUnknownKey is returned for a Key that is not wanted.
	ErrUnknownKey = errors.New("balancer: key is not wanted")
	// ErrPlacement refuses a call that the transport's law of placement rules out.
	ErrPlacement = errors.New("balancer: not possible under this placement")
)

// Retry says what may be tried after a connection ended.
type Retry int

// The zero Retry is Resume: it suits a connection that merely broke.
const (
	Resume Retry = iota // dial again with the session
	Fresh               // dial again without the session: it is gone
	Never               // do not dial again: the same answer would come
)

func (r Retry) String() string {
	switch r {
	case Resume:
		return "resume"
	case Fresh:
		return "fresh"
	case Never:
		return "never"
	}
	return fmt.Sprintf("retry(%d)", int(r))
}

// ConnError is how a transport says why a connection ended or was not made.
// Last is when the service sent the last event received, by the service's
// clock; zero if the service does not say. A Gap starts there.
type ConnError struct {
	Err   error
	Retry Retry
	Last  time.Time
}

func (e *ConnError) Error() string { return e.Err.Error() }
func (e *ConnError) Unwrap() error { return e.Err }

// ShardError is the error of one shard: what Run returns when no shard can go on.
type ShardError struct {
	Shard ShardID
	Err   error
}

func (e *ShardError) Error() string { return fmt.Sprintf("balancer: shard %v: %v", e.Shard, e.Err) }
func (e *ShardError) Unwrap() error { return e.Err }
