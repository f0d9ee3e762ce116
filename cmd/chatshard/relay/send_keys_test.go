package relay

import (
	"strconv"
	"testing"
	"time"
)

func TestKeyWindowIsBounded(t *testing.T) {
	var w keyWindow
	now := time.Now()
	for i := range maxKeys {
		k, isNew, _ := w.begin(digestOf(strconv.Itoa(i)), digest{}, now)
		if !isNew {
			t.Fatalf("key %d is not new", i)
		}
		if i != 1 { // is under way for ever
			w.end(k, SendResult{Status: StatusSent}, true, now)
		}
	}
	if k, _, wait := w.begin(digestOf("one more"), digest{}, now.Add(time.Minute)); k != nil || wait != keyLife-time.Minute {
		t.Errorf("begin = %v, %v in a full window", k, wait)
	}
	if k, isNew, _ := w.begin(digestOf("7"), digest{}, now.Add(time.Minute)); k == nil || isNew || k.result.Status != StatusSent {
		t.Errorf("begin = %v, %v of a key that is there", k, isNew)
	}
	k, isNew, _ := w.begin(digestOf("7"), digest{}, now.Add(keyLife))
	if !isNew || len(w.entries) != 2 || len(w.answered) != 0 {
		t.Errorf("%d entries after their time, %d answered, want 2 and 0", len(w.entries), len(w.answered))
	}
	w.end(k, SendResult{}, false, now)
	if len(w.entries) != 1 {
		t.Errorf("%d entries, want the one under way", len(w.entries))
	}
}

func TestDigestOf(t *testing.T) {
	seen := map[digest][]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"ab"}, {"a", "b"}, {"a\x00", "b"}, {"a", "\x00b"}, {"a\x00\x00b"}, {"a\x00\x01", "b"}, {"a", "b", ""}} {
		d := digestOf(parts...)
		if other, ok := seen[d]; ok {
			t.Errorf("digestOf(%q) = digestOf(%q)", parts, other)
		}
		seen[d] = parts
	}
}
