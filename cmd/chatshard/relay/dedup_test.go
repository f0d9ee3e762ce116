package relay

import (
	"fmt"
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	w := newWindow(30*time.Second, 1000)
	now := time.Unix(0, 0)
	key := func(id string) uint64 { return w.key(&Entry{ID: id, Subject: Subject{Platform: "twitch"}}) }
	for range 2 {
		if w.add(key(""), now) {
			t.Error("an entry without an ID is a copy")
		}
	}
	if w.add(key("a"), now) {
		t.Error("the first is a copy")
	}
	for _, s := range []int{0, 15, 29, 30, 45} {
		if !w.add(key("a"), now.Add(time.Duration(s)*time.Second)) {
			t.Errorf("after %d s the second is none", s)
		}
	}
	if w.add(key("a"), now.Add(61*time.Second)) {
		t.Error("after 61 s it is still known")
	}
	w.forget(key("a"))
	if w.add(key("a"), now.Add(61*time.Second)) {
		t.Error("what was forgotten is known")
	}
	for i := range 10_000 {
		w.add(key(fmt.Sprint(i)), now.Add(62*time.Second))
	}
	if n := len(w.young) + len(w.old); n > 2000 {
		t.Errorf("%d are remembered, want at most 2000", n)
	}
	for i := 9000; i < 10_000; i++ {
		if !w.add(key(fmt.Sprint(i)), now.Add(63*time.Second)) {
			t.Fatalf("%d of 10000 is forgotten", i)
		}
	}
}

// The same ID elsewhere is another one; what was stored has the same key.
func TestWindowKeys(t *testing.T) {
	w := newWindow(time.Minute, 10)
	seen := map[uint64]Subject{}
	for _, s := range []Subject{{Platform: "twitch"}, {Platform: "discord"}, {Platform: "irc", Network: "A"}, {Platform: "irc", Network: "b"}, {Platform: "irc"}} {
		k := w.key(&Entry{ID: "1", Subject: s})
		if other, ok := seen[k]; ok {
			t.Errorf("%+v and %+v share an ID", s, other)
		}
		seen[k] = s
		s.Channel, s.Kind = "#x.y", "message"
		if s.Platform != "irc" {
			s.Account = "bot"
		}
		if got := w.storedKey(s.Name(), "1"); got != k {
			t.Errorf("storedKey(%q) is another than that of %+v", s.Name(), s)
		}
	}
}
