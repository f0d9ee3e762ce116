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

	at   time.Time // when it was drawn last
	rows []tableRow
}

// tableRow is what a table remembers of one fleet.
type tableRow struct {
	received int64 // when it was drawn last
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
	since := now.Sub(t.at)
	if since < tableEvery {
		return
	}
	if t.rows == nil {
		t.rows = make([]tableRow, len(s.fleets))
	}
	for i, f := range s.fleets {
		row := &t.rows[i]
		if !t.at.IsZero() {
			rate := float64(f.received-row.received) / since.Seconds()
			row.perSec += (rate - row.perSec) / 3
		}
		row.received = f.received
	}
	t.at = now
	t.draw(t.render(s))
}

// render returns the lines of the table.
func (t *table) render(s demoState) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tshards\tchannels joined\tmessages/s\tlost\tdoubled\tout of order\treconnects\tgaps\t")
	for i, f := range s.fleets {
		row, v := &t.rows[i], f.verdict
		fmt.Fprintf(w, "%s\t%d of %d\t%s of %s\t%s\t%s\t%s\t%s\t%s\t%s\t\n",
			f.platform, f.shards, f.maxShards, thousands(f.joined), thousands(f.channels), thousands(int64(row.perSec+0.5)),
			thousands(row.surelyLost(v.sent, v.lostLive)), thousands(v.doubled), thousands(v.disordered), thousands(f.reconnects), thousands(v.gaps))
	}
	w.Flush()
	for i, c := range s.consumers {
		sep := ", "
		if i == 0 {
			sep = "consumers: "
		}
		fmt.Fprintf(&b, "%s%s %s behind", sep, c.name, thousands(int64(c.behind)))
		if c.restarts > 0 {
			fmt.Fprintf(&b, " after %s kills", thousands(c.restarts))
		}
	}
	if len(s.consumers) > 0 {
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%s: %v of %v\n", s.phase, s.elapsed.Round(time.Second), s.length.Round(time.Second))
	return b.String()
}

// surelyLost leaves out what is on its way at the moment: it is the least of
// what was missing at the last few looks.
func (r *tableRow) surelyLost(sent, missing int64) int64 {
	if sent != r.looked { // another verdict
		r.looked = sent
		r.lost = [3]int64{missing, r.lost[0], r.lost[1]}
	}
	return min(r.lost[0], r.lost[1], r.lost[2])
}

// draw puts text where the text before it stands.
func (t *table) draw(text string) {
	if t.lines > 0 {
		text = fmt.Sprintf("\x1b[%dA\x1b[J", t.lines) + text
	}
	t.lines = strings.Count(text, "\n")
	io.WriteString(t.w, text)
}
