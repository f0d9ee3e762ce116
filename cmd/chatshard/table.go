package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// table is a few lines of a terminal that are drawn again and again. It is
// used by one goroutine.
type table struct {
	w     io.Writer
	lines int // drawn, and to be drawn over

	at       time.Time // when it was drawn last
	received int64     // then
	perSec   float64
	lost     [3]int64 // deliverable and not received, when the judge was asked last
	looked   int64
}

// tableEvery is how often a table is drawn at most.
const tableEvery = 200 * time.Millisecond

func newTable(w io.Writer) *table { return &table{w: w} }

// show draws the state of a demo.
func (t *table) show(s demoState) {
	now := time.Now()
	if since := now.Sub(t.at); since >= tableEvery {
		if !t.at.IsZero() {
			rate := float64(s.received-t.received) / since.Seconds()
			t.perSec += (rate - t.perSec) / 3
		}
		t.at, t.received = now, s.received
	} else {
		return
	}
	t.draw(t.render(s))
}

// render returns the lines of the table.
func (t *table) render(s demoState) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "shards\tchannels joined\tmessages/s\tlost\tdoubled\tout of order\treconnects\tgaps\t")
	v := s.verdict
	fmt.Fprintf(w, "%d of %d\t%s of %s\t%s\t%s\t%s\t%s\t%s\t%s\t\n",
		s.shards, s.maxShards, thousands(s.joined), thousands(s.channels), thousands(int64(t.perSec+0.5)),
		thousands(t.surelyLost(v.Sent, v.LostLive)), thousands(v.Duplicated), thousands(v.OutOfOrder), thousands(s.reconnects), thousands(v.Gaps))
	w.Flush()
	fmt.Fprintf(&b, "%s: %v of %v\n", s.phase, s.elapsed.Round(time.Second), s.length.Round(time.Second))
	return b.String()
}

// surelyLost leaves out what is on its way at the moment: it is the least of
// what was missing at the last few looks.
func (t *table) surelyLost(sent, missing int64) int64 {
	if sent != t.looked { // another verdict
		t.looked = sent
		t.lost = [3]int64{missing, t.lost[0], t.lost[1]}
	}
	return min(t.lost[0], t.lost[1], t.lost[2])
}

// draw puts text where the text before it stands.
func (t *table) draw(text string) {
	if t.lines > 0 {
		text = fmt.Sprintf("\x1b[%dA\x1b[J", t.lines) + text
	}
	t.lines = strings.Count(text, "\n")
	io.WriteString(t.w, text)
}
