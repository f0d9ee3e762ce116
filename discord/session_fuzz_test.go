package discord

import (
	"bytes"
	"testing"
	"time"
)

func FuzzSessions(f *testing.F) {
	now := time.UnixMilli(1_763_000_000_123)
	whole := encodeSessions([]Record{aRecord(0, now), aRecord(1, now)})
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(encodeSessions(nil))
	f.Add(encodeState(aRecord(0, now)))
	f.Add([]byte(`{"version":1,"sha256":"","records":null}`))
	f.Add([]byte(`{"version":1e400,"records":[[[[]]]]}`))
	f.Add([]byte(`{"app":"1","shard":0,"count":1,"session":"s","url":"wss://%zz"}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if rs, err := decodeSessions(data, "fuzz"); err == nil {
			again := encodeSessions(rs)
			back, err := decodeSessions(again, "fuzz")
			if err != nil || !bytes.Equal(encodeSessions(back), again) {
				t.Errorf("%q is not stable: %v", again, err)
			}
			resumable(rs, "fuzz", sessionsWanted{appID: "1", now: now})
		} else if bytes.Contains([]byte(err.Error()), []byte("s3cret")) {
			t.Errorf("%v", err)
		}
		if r, err := decodeState(data); err == nil {
			again := encodeState(r)
			if back, err := decodeState(again); err != nil || !bytes.Equal(encodeState(back), again) {
				t.Errorf("%q is not stable: %v", again, err)
			}
		}
		if l, err := decodeLedger(data, now, rules{breaker: Breaker{}.withDefaults()}); err == nil {
			l.pass(now, rules{breaker: Breaker{}.withDefaults()})
			l.wait(now, shard(1, 2), rules{breaker: Breaker{}.withDefaults()}, false)
			if _, err := l.encode(); err != nil {
				t.Error(err)
			}
		}
	})
}
