package irc

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrClosed ends a connection that Close or Quit ended, and what waited for it.
	ErrClosed = errors.New("irc: connection closed")
	// ErrDead ends a connection whose peer answered no PING.
	ErrDead = errors.New("irc: nothing received and no answer to PING")
	// ErrToken is wrapped by errors of a login with a token or password that
	// the service does not accept.
	ErrToken = errors.New("token or password not accepted")
	// ErrNick is wrapped by errors of a login for which no nick could be had.
	ErrNick = errors.New("no nick to be had")
	// ErrCapability is wrapped by errors of a login to a server that lacks what
	// is needed.
	ErrCapability = errors.New("capability not available")
	// ErrBanned is wrapped by errors of a server that turns the account or the
	// address away, and of channels that turn the account away.
	ErrBanned = errors.New("banned")
	// ErrSuspended refuses a channel that does not exist (any more) or is
	// suspended.
	ErrSuspended = errors.New("channel does not exist or is suspended")
	// ErrTooMany refuses a channel because the account or the connection is in
	// as many as it may be.
	ErrTooMany = errors.New("too many channels")
	// ErrForbidden refuses a channel that lets only some in.
	ErrForbidden = errors.New("channel is not open to this account")
	// ErrLater refuses a channel that cannot be joined now.
	ErrLater = errors.New("channel cannot be joined now")
	// ErrSameChannel refuses a channel which for the network is another name of
	// one that is joined.
	ErrSameChannel = errors.New("another name of a channel that is joined")
	// ErrRemoved ends a membership that the service ended by itself.
	ErrRemoved = errors.New("removed from the channel")
	// ErrLineTooLong is why there is a Gap: a line had more than Config.MaxLine bytes.
	ErrLineTooLong = errors.New("irc: a line was too long to be taken in")
	// ErrReadOnly is returned by Say of a Client without an account that can
	// send.
	ErrReadOnly = errors.New("irc: an anonymous account cannot send: set ClientConfig.Sender")
	// ErrQueueFull is returned by Send if the server takes in too little.
	ErrQueueFull = errors.New("irc: too much is waiting to be sent")
	// ErrConfig is wrapped by the errors of a Config that cannot work.
	ErrConfig = errors.New("irc: config")
)

// BudgetError says that the account's budget had no room for a message before
// ctx ended: nothing was sent.
type BudgetError struct {
	After time.Duration // when there is room, if nobody else takes it
	Err   error         // of ctx
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("irc: the account's budget for messages has room in %v: %v", e.After.Round(time.Millisecond), e.Err)
}

func (e *BudgetError) Unwrap() error { return e.Err }

// LoginError says why a server did not let an account in. It never holds the
// token.
type LoginError struct {
	Login string // the account; the nick where there is none
	Text  string // what the server said
	Do    string // what to do about it
	Err   error  // ErrToken, ErrNick, ErrCapability, ErrBanned or nil
}

func (e *LoginError) Error() string {
	s := fmt.Sprintf("irc: login as %s", e.Login)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Text != "" {
		s += fmt.Sprintf(": the server says %q", clip(e.Text, 200))
	}
	if e.Do != "" {
		s += ": " + e.Do
	}
	return s
}

func (e *LoginError) Unwrap() error { return e.Err }

// ChannelError says why a channel was refused or left.
type ChannelError struct {
	Channel string
	Reason  string // the service's own: the msg-id of a NOTICE, a numeric, "PART" or "KICK"
	Text    string // what it said
	Err     error  // ErrBanned, ErrSuspended, ErrTooMany, ErrForbidden, ErrLater, ErrSameChannel or ErrRemoved
}

func (e *ChannelError) Error() string {
	s := fmt.Sprintf("irc: channel %s: %v (%s)", e.Channel, e.Err, e.Reason)
	if e.Text != "" {
		s += fmt.Sprintf(": %q", clip(e.Text, 200))
	}
	return s
}

func (e *ChannelError) Unwrap() error { return e.Err }

// ServerError is an ERROR that ended a connection.
type ServerError struct{ Text string }

func (e *ServerError) Error() string {
	return fmt.Sprintf("irc: the server closed the connection: %q", clip(e.Text, 200))
}

// clip bounds what a server can put into an error.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
