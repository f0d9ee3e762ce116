package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// demoResult is what came of a demo.
type demoResult struct {
	opts      *demoOptions
	fleets    []fleetDone
	consumers []consumerDone // none: there was no log
	length    time.Duration
	err       error // that ended it before its time
}

// fleetDone is what came of one service in a demo.
type fleetDone struct {
	state    fleetState
	verdict  verdict
	problems []string // for which the demo is not ok, beside the verdict
	remarks  []string // for people

	identified          bool // the service has sessions; the fields below are for such
	identifies, resumes int64
	kept                int64 // sessions that were resumed at least once
	due                 int64 // IDENTIFYs that could not be avoided
}

// demoSummary is what "chatshard demo -o json" prints.
type demoSummary struct {
	OK        bool                    `json:"ok"`
	Seconds   float64                 `json:"seconds"`
	Platforms map[string]demoPlatform `json:"platforms"`

	// Without a log there are none.
	Consumers []demoConsumer `json:"consumers,omitempty"`
	Restarts  *int64         `json:"restarts,omitempty"` // of the one that is killed
}

// demoConsumer is one reader of the relay.
type demoConsumer struct {
	Name       string `json:"name"`
	Received   int64  `json:"received"`   // messages
	Lost       int64  `json:"lost"`       // of those that were delivered to the relay, unless it reported a gap
	Duplicated int64  `json:"duplicated"` // but for what a restart had to repeat
	Gaps       int64  `json:"gaps"`       // that it was told of, those of connections among them
}

// demoPlatform is one service; on Discord a channel stands for a guild, joined
// for available.
type demoPlatform struct {
	ChannelsWanted       int   `json:"channels_wanted"`
	ChannelsJoined       int   `json:"channels_joined"`
	Shards               int   `json:"shards"`
	PeakChannelsOnAShard int   `json:"peak_channels_on_a_shard"`
	Sent                 int64 `json:"sent"`
	Received             int64 `json:"received"`
	Lost                 int64 `json:"lost"`
	Duplicated           int64 `json:"duplicated"`
	OutOfOrder           int64 `json:"out_of_order"`
	Refused              int   `json:"refused"`
	Gaps                 int64 `json:"gaps"`
	InGaps               int64 `json:"in_gaps"`
	Reconnects           int64 `json:"reconnects"`

	// Of Discord alone.
	Identifies   *int64 `json:"identifies,omitempty"`
	Resumes      *int64 `json:"resumes,omitempty"`
	SessionsKept *int64 `json:"sessions_kept,omitempty"`
}

func (r *demoResult) summary() demoSummary {
	out := demoSummary{OK: r.failure() == nil, Seconds: float64(r.length.Milliseconds()) / 1000, Platforms: map[string]demoPlatform{}}
	for _, f := range r.fleets {
		v, s := f.verdict, f.state
		p := demoPlatform{
			ChannelsWanted: s.channels, ChannelsJoined: s.joined,
			Shards: s.shards, PeakChannelsOnAShard: s.peak,
			Sent: v.sent, Received: v.received, Lost: v.lost, Duplicated: v.doubled, OutOfOrder: v.disordered,
			Refused: s.refused, Gaps: v.gaps, InGaps: v.inGaps, Reconnects: s.reconnects,
		}
		if f.identified {
			p.Identifies, p.Resumes, p.SessionsKept = &f.identifies, &f.resumes, &f.kept
		}
		out.Platforms[s.platform] = p
	}
	for i := range r.consumers {
		c := &r.consumers[i]
		out.Consumers = append(out.Consumers, demoConsumer{c.name, c.received, c.lost, c.duplicated, c.gaps})
		if c.killed {
			out.Restarts = &c.restarts
		}
	}
	return out
}

// failure says in one line why the demo did not succeed; nil if it did.
func (r *demoResult) failure() error {
	if r.err != nil {
		return fmt.Errorf("demo: %w", r.err)
	}
	var why []string
	for _, f := range r.fleets {
		var of []string
		v := f.verdict
		for _, n := range []struct {
			n    int64
			what string
		}{{v.lost, "lost"}, {v.doubled, "doubled"}, {v.disordered, "out of order"}, {v.misrouted, "of the wrong channel"}} {
			if n.n > 0 {
				of = append(of, fmt.Sprintf("%d %s", n.n, n.what))
			}
		}
		if len(v.offences) > 0 {
			of = append(of, "first "+v.offences[0])
		}
		if of = append(of, f.problems...); len(of) > 0 {
			why = append(why, f.state.platform+": "+strings.Join(of, "; "))
		}
	}
	for _, c := range r.consumers {
		why = append(why, c.problem()...)
	}
	if len(why) == 0 {
		return nil
	}
	return errors.New("demo: not ok: " + strings.Join(why, "; ") + fmt.Sprintf("; again with --seed %d", r.opts.seed))
}

// print writes the summary for people; titled says that what the demo does has
// been said.
func (r *demoResult) print(w io.Writer, titled bool) error {
	var b strings.Builder
	if !titled {
		b.WriteString(r.opts.intro() + "\n")
	}
	for _, f := range r.fleets {
		f.print(&b)
	}
	if len(r.consumers) > 0 {
		b.WriteString("\nrelay\n")
	}
	for _, c := range r.consumers {
		c.print(&b)
	}
	verdict := "ok: every message that a live connection could deliver was received once and in order"
	if r.failure() != nil {
		verdict = "not ok"
	}
	fmt.Fprintf(&b, "\n%s (%.1f s)\n", verdict, r.length.Seconds())
	_, err := io.WriteString(w, b.String())
	return err
}

// problem says why the demo is not ok, if it is not for this consumer.
func (c *consumerDone) problem() []string {
	var of []string
	if c.lost > 0 {
		of = append(of, fmt.Sprintf("%d lost", c.lost))
	}
	if c.duplicated > 0 {
		of = append(of, fmt.Sprintf("%d doubled", c.duplicated))
	}
	if c.behind > 0 {
		of = append(of, fmt.Sprintf("%d events not read in time", c.behind))
	}
	switch {
	case len(of) == 0:
		return nil
	case c.err != nil:
		of = append(of, c.err.Error())
	}
	return []string{"consumer " + c.name + ": " + strings.Join(of, "; ")}
}

func (c *consumerDone) print(b *strings.Builder) {
	fmt.Fprintf(b, "  %-11s %s messages, lost %d, doubled %d; %s gaps; at most %s events behind",
		c.name, thousands(c.received), c.lost, c.duplicated, thousands(c.gaps), thousands(int64(c.most)))
	if c.killed {
		fmt.Fprintf(b, "; killed %s times, told %s repeats by their ids", thousands(c.restarts), thousands(c.repeats))
	}
	b.WriteString("\n")
}

func (f *fleetDone) print(b *strings.Builder) {
	v, s := f.verdict, f.state
	fmt.Fprintf(b, "\n%s\n", s.platform)
	if s.platform == "discord" {
		fmt.Fprintf(b, "  guilds      %s available of %s; %d shards, at most %s guilds on one\n",
			thousands(s.joined), thousands(s.channels), s.shards, thousands(s.peak))
	} else {
		fmt.Fprintf(b, "  channels    %s joined of %s wanted, %s refused; %d shards, at most %d channels on one\n",
			thousands(s.joined), thousands(s.channels), thousands(s.refused), s.shards, s.peak)
	}
	fmt.Fprintf(b, "  messages    %s sent, %s received, %s in %s reported gaps while a connection was down\n",
		thousands(v.sent), thousands(v.received), thousands(v.inGaps), thousands(v.gaps))
	fmt.Fprintf(b, "  connections %s made anew\n", thousands(s.reconnects))
	if f.identified {
		fmt.Fprintf(b, "  sessions    %s IDENTIFYs of %s that were due, %s RESUMEs; %s sessions kept\n",
			thousands(f.identifies), thousands(f.due), thousands(f.resumes), thousands(f.kept))
	}
	fmt.Fprintf(b, "  lost %d, doubled %d, out of order %d\n", v.lost, v.doubled, v.disordered)
	for _, list := range [][]string{f.remarks, v.offences} {
		for _, line := range list[:min(5, len(list))] {
			fmt.Fprintf(b, "  %s\n", line)
		}
	}
}

// intro says in one line what the demo does.
func (o *demoOptions) intro() string {
	faults := "no faults"
	switch o.faults {
	case "gentle":
		faults = "a few faults"
	case "storm":
		faults = "a storm of faults"
	}
	var of []string
	if o.channels > 0 {
		of = append(of, fmt.Sprintf("%s channels of a simulated Twitch, %s messages a second", thousands(o.channels), thousands(int64(o.rate))))
	}
	if o.guilds > 0 {
		of = append(of, fmt.Sprintf("%s guilds of a simulated Discord, %s messages a second", thousands(o.guilds), thousands(int64(o.guildRate))))
	}
	return fmt.Sprintf("Reading %s, %s (seed %d)", strings.Join(of, ", and "), faults, o.seed)
}

// thousands writes 12345 as 12,345.
func thousands[T int | int64](n T) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
