package discord

import (
	"fmt"
	"strings"

	"github.com/chatshard/chatshard/balancer"
)

// Close codes of our own. 1000 and 1001 end the session; any other leaves it to
// be resumed ("Initiating a Disconnect", events/gateway).
const (
	closeKeeps = 4900 // our own: the session is to be resumed
	closeEnds  = 1000
)

// CloseError is a connection that Discord closed.
type CloseError struct {
	Code int
	Text string // what it said, without secrets
	err  error  // the sentinel that the code stands for, if any
	do   string
}

func (e *CloseError) Error() string {
	s := fmt.Sprintf("discord: closed with %d", e.Code)
	if e.Text != "" {
		s += fmt.Sprintf(" (%s)", e.Text)
	}
	if e.do != "" {
		s += ": " + e.do
	}
	return s
}

func (e *CloseError) Unwrap() error { return e.err }

// closing is what one close code means.
type closing struct {
	retry balancer.Retry
	slow  bool // slow down before the next connection
	err   error
	do    string // what to do, for those that are final
}

// closings is the one table of close codes (topics/opcodes-and-status-codes). A
// code that is not in it is resumed, as is a connection that broke: 1000 and
// 1001 from Discord's side too, which it sends when it restarts a node.
var closings = map[int]closing{
	4000: {retry: balancer.Resume}, // unknown error
	4001: {retry: balancer.Resume}, // unknown opcode
	4002: {retry: balancer.Resume}, // decode error, or a payload over 4096 bytes
	4003: {retry: balancer.Fresh},  // not authenticated, or the session was invalidated
	4004: {retry: balancer.Never, err: ErrToken, do: "the token is not valid: copy the bot's token from the developer portal, or reset it there"},
	4005: {retry: balancer.Resume},             // authenticated already
	4007: {retry: balancer.Fresh},              // sequence number too high
	4008: {retry: balancer.Resume, slow: true}, // rate limited
	4009: {retry: balancer.Fresh},              // session timed out
	4010: {retry: balancer.Never, err: ErrSharding, do: "shard number or count is not valid: use the count that /gateway/bot gives, or a multiple of it for a large bot"},
	4011: {retry: balancer.Never, err: ErrSharding, do: "too many guilds for this many shards: use more (channels_per_shard may be 2500 at most)"},
	4012: {retry: balancer.Never, err: ErrProtocol, do: "Discord has retired this version of the gateway: update the program"},
	4013: {retry: balancer.Never, err: ErrIntents, do: "a bit of the intents does not exist"},
	4014: {retry: balancer.Never, err: ErrIntents},
}

// closed returns the error of a connection that was closed with a code.
func (t *Transport) closed(code int, text string, token Secret) *balancer.ConnError {
	c := closings[code]
	e := &CloseError{Code: code, Text: hide(strings.ToValidUTF8(text, "?"), token), err: c.err, do: c.do}
	if code == 4014 {
		e.do = disallowed(t.cfg.Intents)
	}
	return &balancer.ConnError{Err: e, Retry: c.retry}
}
