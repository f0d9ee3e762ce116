package relay

import (
	"strings"
	"testing"
)

// A block that left the ring is used again, but not while somebody reads it.
func TestRingReusesBlocksThatNobodyReads(t *testing.T) {
	h := newTestHub(t, &HubConfig{RingBytes: 4 * blockBytes})
	text := strings.Repeat("x", 1000)
	turn := func() { h.say(t, 4*blockBytes/len(text), text) } // all that is in the ring
	blocks := map[*block]bool{}
	for range 10 {
		turn()
		for _, b := range h.ring.blocks {
			blocks[b] = true
		}
	}
	if len(blocks) > 6 {
		t.Errorf("%d blocks were made for a ring of four", len(blocks))
	}
	r := subscribe(t, h, SubscribeOptions{})
	h.say(t, 1, "looked at")
	err := r.Next(t.Context(), func(it *Item) bool {
		before := string(it.Line)
		turn()
		turn()
		if string(it.Line) != before {
			t.Errorf("a line that is looked at became %.100s", it.Line)
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	turn()
	turn()
	for _, b := range h.ring.blocks {
		if b.using != 0 {
			t.Errorf("block %d is used by %d readers that are gone", b.first, b.using)
		}
	}
}
