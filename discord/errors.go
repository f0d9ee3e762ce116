package discord

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrConfig is wrapped by every error about a Config.
	ErrConfig = errors.New("discord: configuration")
	// ErrToken says that Discord does not know the token (4004, HTTP 401).
	ErrToken = errors.New("discord: the token is not valid: copy the bot's token from the developer portal, or reset it there")
	// ErrIntents says that the bot may not have the intents that it asked for (4013, 4014).
	ErrIntents = errors.New("discord: intents not allowed")
	// ErrSharding says that the number of shards is not one that Discord takes (4010, 4011).
	ErrSharding = errors.New("discord: shard count")
	// ErrBudget says that the IDENTIFYs of the day do not suffice; see [BudgetError].
	ErrBudget = errors.New("discord: identify budget")
	// ErrBreaker says that IDENTIFYs were held back because too many came to nothing.
	ErrBreaker = errors.New("discord: crash loop")
	// ErrSessionFile says that stored sessions cannot be used; see [SessionFileError].
	ErrSessionFile = errors.New("discord: stored sessions")
	// ErrDead says that neither an answer to a heartbeat nor anything else came.
	ErrDead = errors.New("discord: zombie: no heartbeat ACK and no traffic")
	// ErrInvalidSession says that Discord does not know the session any more (op 9).
	ErrInvalidSession = errors.New("discord: session invalid")
	// ErrTimeout says that Discord left a state of the login unanswered.
	ErrTimeout = errors.New("discord: no answer in time")
	// ErrProtocol says that Discord sent what it should not have.
	ErrProtocol = errors.New("discord: protocol")
	// ErrTooLarge says that a frame exceeds the 4096 bytes that Discord takes.
	ErrTooLarge = errors.New("discord: payload over 4096 bytes")
	// ErrReconnect says that Discord asked for a new connection (op 7).
	ErrReconnect = errors.New("discord: reconnect asked for (op 7)")
	// ErrClosed is returned by calls on a connection that was closed.
	ErrClosed = errors.New("discord: connection closed")
)

// BudgetError says how many IDENTIFYs are wanted and left, and until when.
// It wraps ErrBudget.
type BudgetError struct {
	Want, Left, Floor int
	Reset             time.Time
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("discord: identify budget: %d wanted, %d left and %d of them kept for emergencies: wait until %s, or lower the number of shards",
		e.Want, e.Left, e.Floor, e.Reset.UTC().Format(time.RFC3339))
}

func (e *BudgetError) Unwrap() error { return ErrBudget }

// SessionFileError says what is wrong with stored sessions and what to do. It
// wraps ErrSessionFile.
type SessionFileError struct {
	Where string // the store and name
	Why   string
}

func (e *SessionFileError) Error() string {
	return fmt.Sprintf("discord: stored sessions: %s: %s; move it away to start with new sessions (one IDENTIFY per shard)", e.Where, e.Why)
}

func (e *SessionFileError) Unwrap() error { return ErrSessionFile }
