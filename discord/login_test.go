package discord

import (
	"errors"
	"testing"
)

// heardOp is one payload of a transcript.
type heardOp struct {
	op        int
	typ       string
	resumable bool
}

func TestLogin(t *testing.T) {
	hello, ack, beat := heardOp{op: opHello}, heardOp{op: opHeartbeatACK}, heardOp{op: opHeartbeat}
	event := func(typ string) heardOp { return heardOp{op: opDispatch, typ: typ} }
	for _, c := range []struct {
		name   string
		resume bool
		heard  []heardOp
		want   []action
		end    phase
	}{
		{"identify", false, []heardOp{hello, ack, event("READY")}, []action{sendIdentify, nothing, begin}, loggedIn},
		{"resume, nothing missed", true, []heardOp{hello, event("RESUMED")}, []action{sendResume, begin}, loggedIn},
		{"resume, missed events first", true, []heardOp{hello, event("MESSAGE_CREATE")}, []action{sendResume, begin}, loggedIn},
		{"a heartbeat is asked for", false, []heardOp{hello, beat, event("READY")}, []action{sendIdentify, sendHeartbeat, begin}, loggedIn},
		{"a heartbeat before HELLO has no interval yet", false, []heardOp{beat, hello}, []action{nothing, sendIdentify}, awaitReady},
		{"op 7 before HELLO", true, []heardOp{{op: opReconnect}}, []action{cutOver}, awaitHello},
		{"op 7 instead of READY", false, []heardOp{hello, {op: opReconnect}}, []action{sendIdentify, cutOver}, awaitReady},
		{"op 9 true for a resume", true, []heardOp{hello, {op: opInvalidSession, resumable: true}}, []action{sendResume, tryAgain}, awaitResumed},
		{"op 9 false for a resume", true, []heardOp{hello, {op: opInvalidSession}}, []action{sendResume, startOver}, awaitResumed},
		{"op 9 true for an identify is no session either", false, []heardOp{hello, {op: opInvalidSession, resumable: true}}, []action{sendIdentify, startOver}, awaitReady},
		{"ops that are not known", false, []heardOp{{op: 99}, hello, {op: 31}}, []action{nothing, sendIdentify, nothing}, awaitReady},
		{"HELLO twice", false, []heardOp{hello, hello}, []action{sendIdentify, nothing}, awaitReady},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := login{resume: c.resume}
			for i, h := range c.heard {
				next, act, err := l.step(h.op, h.typ, h.resumable)
				if err != nil || act != c.want[i] {
					t.Fatalf("step %d: action %d, %v, want %d", i, act, err, c.want[i])
				}
				l = next
			}
			if l.phase != c.end {
				t.Errorf("ended %v, want %v", l.phase, c.end)
			}
		})
	}
	for _, l := range []login{{phase: awaitHello}, {phase: awaitReady}} {
		if _, _, err := l.step(opDispatch, "MESSAGE_CREATE", false); !errors.Is(err, ErrProtocol) {
			t.Errorf("a dispatch while %v: %v, want ErrProtocol", l.phase, err)
		}
	}
}
