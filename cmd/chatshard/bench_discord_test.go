package main

import (
	"encoding/json"
	"math"
	"testing"
)

// The load is what the limits were set for.
func TestDispatchesAreLikeDiscords(t *testing.T) {
	c := newDispatches()
	s := newDispatchStamp()
	type sum struct{ n, bytes int }
	byType := make(map[string]*sum)
	var all sum
	for i := range c.all {
		at := &c.all[i]
		s.dispatch(c, at)
		raw := c.text[at.payload:at.end]
		var p struct {
			T  string
			S  uint64
			Op int
			D  struct {
				ID      string
				Guild   string `json:"guild_id"`
				Channel string `json:"channel_id"`
			}
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatalf("%v\n%s", err, raw)
		}
		if p.T == "GUILD_CREATE" {
			p.D.Guild = p.D.ID
		}
		if p.S != 1_000_000_001+uint64(i) || len(p.D.Guild)+len(p.D.Channel) != at.keys {
			t.Fatalf("dispatch %d: s = %d, guild %q, channel %q, keys %d", i, p.S, p.D.Guild, p.D.Channel, at.keys)
		}
		if byType[p.T] == nil {
			byType[p.T] = new(sum)
		}
		for _, x := range []*sum{byType[p.T], &all} {
			x.n++
			x.bytes += len(raw)
		}
	}
	for _, want := range []struct {
		typ         string
		share, mean float64
	}{
		{"MESSAGE_CREATE", 0.60, 1394}, {"PRESENCE_UPDATE", 0.25, 417}, {"TYPING_START", 0.12, 731}, {"MESSAGE_REACTION_ADD", 0.03, 880},
		{"GUILD_CREATE", 137. / 300_000, 117_000},
	} {
		got := byType[want.typ]
		share, mean := float64(got.n)/float64(all.n), float64(got.bytes)/float64(got.n)
		t.Logf("%s: %.4f of all, %.0f bytes", want.typ, share, mean)
		if math.Abs(share-want.share) > 0.02 || math.Abs(mean-want.mean) > want.mean/10 {
			t.Errorf("%s: %.4f of all with %.0f bytes on average, want %.4f with %.0f", want.typ, share, mean, want.share, want.mean)
		}
	}
	t.Logf("mean %d bytes", all.bytes/all.n)
}
