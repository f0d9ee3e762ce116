package main

import (
	"testing"
	"time"

	"github.com/chatshard/chatshard/cmd/chatshard/relay"
)

// While a log cannot be written its end stands still, and what is received waits
// for it: a mark of that end must not say that nothing was.
func TestMarksWhileTheLogWaits(t *testing.T) {
	hub, err := relay.NewHub(t.Context(), nil, &relay.HubConfig{Epoch: "e"})
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	m := new(marks)
	begun := time.Now()
	m.begin(hub)
	m.mark(hub)
	if n := len(m.all); n != 1 {
		t.Errorf("%d marks of a log that nothing was added to, want the first", n)
	}
	enc := testEncoder("twitch", "")
	at := time.Now().Add(time.Minute).Truncate(time.Millisecond)
	enc.now = func() time.Time { return at }
	for seq := uint64(1); seq <= 3; seq++ {
		if err := hub.Append(seq, enc.appendBody(nil, testEvent(int(seq))), enc.places()); err != nil {
			t.Fatal(err)
		}
	}
	m.mark(hub) // however late that is
	m.mark(hub)
	for _, c := range []struct {
		seq    uint64
		after  time.Time
		latest time.Time
	}{{0, begun.Add(-2 * onTheWay), begun}, {2, begun.Add(-2 * onTheWay), begun}, {3, at.Add(-2 * onTheWay), at}, {9, at.Add(-2 * onTheWay), at}} {
		if got := m.since(relay.Cursor{Epoch: "e", Seq: c.seq}); got.Before(c.after) || got.After(c.latest) {
			t.Errorf("behind %d all was received after %v, want %v to %v", c.seq, got, c.after, c.latest)
		}
	}
	if got := m.since(relay.Cursor{Epoch: "other", Seq: 1}); !got.IsZero() {
		t.Errorf("of another epoch %v is known", got)
	}
	if n := len(m.all); n != 2 {
		t.Errorf("%d marks, want 2: nothing has come since the last", n)
	}
}
