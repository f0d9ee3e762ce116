package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc/irctest"
)

// demoResult is what came of a demo.
type demoResult struct {
	opts       *demoOptions
	state      demoState
	verdict    irctest.Verdict
	violations []irctest.Violation
	keys       []balancer.KeyStatus
	peak       int
	length     time.Duration
	err        error // that ended it before its time
}

// demoSummary is what "chatshard demo -o json" prints.
type demoSummary struct {
	OK        bool                    `json:"ok"`
	Seconds   float64                 `json:"seconds"`
	Platforms map[string]demoPlatform `json:"platforms"`
}

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
}

func (r *demoResult) summary() demoSummary {
	v := r.verdict
	return demoSummary{
		OK: r.failure() == nil, Seconds: float64(r.length.Milliseconds()) / 1000,
		Platforms: map[string]demoPlatform{"twitch": {
			ChannelsWanted: r.opts.channels, ChannelsJoined: r.state.joined,
			Shards: r.state.shards, PeakChannelsOnAShard: r.peak,
			Sent: v.Sent, Received: v.Received, Lost: v.Lost, Duplicated: v.Duplicated, OutOfOrder: v.OutOfOrder,
			Refused: r.state.refused, Gaps: v.Gaps, InGaps: v.InGaps, Reconnects: r.state.reconnects,
		}},
	}
}

// missing returns the channels that are neither joined nor refused with a reason.
func (r *demoResult) missing() []balancer.KeyStatus {
	var out []balancer.KeyStatus
	for _, k := range r.keys {
		if k.State != balancer.Member && (k.State != balancer.Denied || k.Err == nil) {
			out = append(out, k)
		}
	}
	return out
}

// broken returns how many of the service's limits were broken.
func (r *demoResult) broken() (n int, first irctest.Violation) {
	for _, v := range r.violations {
		switch v.Kind {
		case irctest.TooManyJoins, irctest.TooManyLogins, irctest.TooManyChannels, irctest.QueueBackup, irctest.BadCommand:
			if n++; n == 1 {
				first = v
			}
		}
	}
	return n, first
}

// failure says in one line why the demo did not succeed; nil if it did.
func (r *demoResult) failure() error {
	if r.err != nil {
		return fmt.Errorf("demo: %w", r.err)
	}
	var why []string
	v := r.verdict
	for _, n := range []struct {
		n    int64
		what string
	}{{v.Lost, "lost"}, {v.Duplicated, "doubled"}, {v.OutOfOrder, "out of order"}, {v.Misrouted, "of the wrong channel"}} {
		if n.n > 0 {
			why = append(why, fmt.Sprintf("%d %s", n.n, n.what))
		}
	}
	if len(v.Offences) > 0 {
		why = append(why, "first "+v.Offences[0].String())
	}
	if missing := r.missing(); len(missing) > 0 {
		why = append(why, fmt.Sprintf("%d channels neither joined nor refused, first %s: %v", len(missing), missing[0].Key, missing[0].State))
	}
	if r.peak > r.opts.channelsPerShard {
		why = append(why, fmt.Sprintf("%d channels on one shard", r.peak))
	}
	if n, first := r.broken(); n > 0 {
		why = append(why, fmt.Sprintf("%d limits broken, first %s", n, first))
	}
	if len(why) == 0 {
		return nil
	}
	return errors.New("demo: not ok: " + strings.Join(why, "; ") + fmt.Sprintf("; again with --seed %d", r.opts.seed))
}

// print writes the summary for people; titled says that what the demo does has
// been said.
func (r *demoResult) print(w io.Writer, titled bool) error {
	v, s := r.verdict, r.state
	var b strings.Builder
	if !titled {
		b.WriteString(r.opts.intro() + "\n")
	}
	b.WriteString("\n")
	fmt.Fprintf(&b, "  channels    %s joined of %s wanted, %s refused; %d shards, at most %d channels on one\n",
		thousands(s.joined), thousands(s.channels), thousands(s.refused), s.shards, r.peak)
	fmt.Fprintf(&b, "  messages    %s sent, %s received, %s in %s reported gaps while a connection was down\n",
		thousands(v.Sent), thousands(v.Received), thousands(v.InGaps), thousands(v.Gaps))
	fmt.Fprintf(&b, "  connections %s made anew\n", thousands(s.reconnects))
	fmt.Fprintf(&b, "  lost %d, doubled %d, out of order %d\n", v.Lost, v.Duplicated, v.OutOfOrder)
	shown := 0
	for _, k := range r.keys {
		if k.State != balancer.Member && shown < 5 {
			shown++
			fmt.Fprintf(&b, "  %s is %v: %v\n", k.Key, k.State, k.Err)
		}
	}
	for _, o := range v.Offences[:min(5, len(v.Offences))] {
		fmt.Fprintf(&b, "  %v\n", o)
	}
	verdict := "ok: every message that a live connection could deliver was received once and in order"
	if r.failure() != nil {
		verdict = "not ok"
	}
	fmt.Fprintf(&b, "\n%s (%.1f s)\n", verdict, r.length.Seconds())
	_, err := io.WriteString(w, b.String())
	return err
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
	return fmt.Sprintf("Reading %s channels of a simulated Twitch, %s messages a second, %s (seed %d)",
		thousands(o.channels), thousands(int64(o.rate)), faults, o.seed)
}

// thousands writes 12345 as 12,345.
func thousands[T int | int64](n T) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
