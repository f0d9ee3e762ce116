package discord

import "fmt"

// login is the part of a connection's life before its session stands: HELLO,
// then IDENTIFY and READY, or RESUME and what was missed (events/gateway,
// "Connection Lifecycle"). It is pure: step takes what was received and says
// what is to be done.
type login struct {
	phase  phase
	resume bool
}

type phase uint8

const (
	awaitHello   phase = iota
	awaitReady         // IDENTIFY was sent
	awaitResumed       // RESUME was sent: what was missed comes first, RESUMED after it
	loggedIn
)

func (p phase) String() string {
	return [...]string{"waiting for HELLO", "waiting for READY", "waiting for RESUMED", "logged in"}[p]
}

// action is what a step asks for.
type action uint8

const (
	nothing action = iota
	sendIdentify
	sendResume
	sendHeartbeat
	begin     // the session stands: events follow
	cutOver   // connect again and resume
	tryAgain  // op 9 with d true: the session may be resumed on another connection
	startOver // op 9 with d false: the session is gone, or the IDENTIFY came to nothing
)

// step takes one payload: its op, the type of a dispatch, and d of op 9.
func (l login) step(op int, typ string, resumable bool) (login, action, error) {
	switch {
	case op == opReconnect:
		return l, cutOver, nil // before HELLO too ("Reconnect", events/gateway-events)
	case op == opInvalidSession && resumable && l.resume:
		return l, tryAgain, nil
	case op == opInvalidSession:
		return l, startOver, nil
	case op == opHeartbeat:
		if l.phase == awaitHello {
			return l, nothing, nil // how often is not known yet
		}
		return l, sendHeartbeat, nil
	case op == opHello && l.phase == awaitHello && l.resume:
		return login{awaitResumed, true}, sendResume, nil
	case op == opHello && l.phase == awaitHello:
		return login{awaitReady, false}, sendIdentify, nil
	case op == opDispatch && l.phase == awaitReady && typ == "READY":
		return login{loggedIn, l.resume}, begin, nil
	case op == opDispatch && l.phase == awaitResumed:
		return login{loggedIn, true}, begin, nil // the first of what was missed, or RESUMED
	case op == opDispatch:
		return l, nothing, fmt.Errorf("%w: dispatch %.64q while %v", ErrProtocol, typ, l.phase)
	}
	return l, nothing, nil // ACKs, and ops that are not known
}
