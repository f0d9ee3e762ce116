package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/chatshard/chatshard/irc/irctest"
	"github.com/spf13/cobra"
)

// demoOptions are what the flags of "chatshard demo" ask for.
type demoOptions struct {
	length           time.Duration
	channels         int
	rate             float64
	channelsPerShard int
	maxShardCount    int
	faults           string
	network          string
	seed             uint64
	replay           irctest.Source
	format           string // text, json, ndjson
}

func newDemoCommand() *cobra.Command {
	o := demoOptions{}
	var replay string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show chatshard at work against a simulated Twitch, and count what gets lost",
		Long: `Start a simulated Twitch in this process, read its chat as chatshard run would,
and count what was lost, doubled or out of order. It needs no token, no network
and no file.

The simulator plays for an anonymous account with the limits of a verified bot:
2,000 JOINs and 200 logins in 10 seconds, and no cap on channels. It knows what
it sent to whom and when, and so what could have been received. A message is
lost if it was neither received nor falls into a gap that was reported, or if
it falls into one but a live connection could have delivered it.

--for counts from when every channel has been joined, or refused, for the first
time: joining 20,000 takes about 100 seconds, since no more is allowed. Chat
flows from the start, faults come when the count begins and end shortly before
it does, and then the fleet has up to 20 seconds to settle before it is judged.
Ctrl-C ends the count early; a second one ends the program.

Faults of both levels are dropped connections, half-open ones, RECONNECTs and
refused JOINs; a storm adds muted connections, refused ones, hang-ups, and
doubled, swapped and cut lines, all the time. Rates are per connection; for
fleets so large that the JOIN budget could not mend what breaks, they are
lowered to what half of it can.

With -o json standard output is one object at the end, with -o ndjson the
events of all channels, one a line, and the summary goes to standard error.
Exits with 1 if anything was lost, doubled or out of order, or if a channel was
neither joined nor refused with a reason.`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.DurationVar(&o.length, "for", 10*time.Second, "how long, from when all channels have been joined")
	f.IntVar(&o.channels, "twitch-channels", 500, "number of channels")
	f.Float64Var(&o.rate, "rate", 2000, "messages a second over all channels, the first of them busiest (Zipf)")
	f.IntVar(&o.channelsPerShard, "channels-per-shard", 25, "cap of one connection")
	f.IntVar(&o.maxShardCount, "max-shard-count", 0, "cap of connections; 0: what the channels need, and some to spare")
	faults := &oneOf{allowed: faultLevels, value: "gentle"}
	f.Var(faults, "faults", "what goes wrong: "+strings.Join(faultLevels, "|"))
	f.StringVar(&replay, "replay", "", "chat from this `file` of raw IRC lines, over and over, instead of made-up chat")
	network := &oneOf{allowed: []string{"memory", "tcp"}, value: "memory"}
	f.Var(network, "network", "how to connect: memory: the simulator sees what was read, to the byte; tcp: sockets of 127.0.0.1")
	f.Uint64Var(&o.seed, "seed", 0, "of what the simulator does at random; 0: another each time")
	format := outputFlag(cmd, "text", "json", "ndjson")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.faults, o.network, o.format = faults.value, network.value, *format
		if err := o.check(); err != nil {
			return err
		}
		if replay != "" {
			var err error
			if o.replay, err = replaySource("demo", replay); err != nil {
				return err
			}
		}
		return runDemo(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// check says what is wrong with the flags, and fills in what they leave open.
func (o *demoOptions) check() error {
	switch {
	case o.length <= 0:
		return usagef("demo: --for %v: use a duration from 1s, as in 10s", o.length)
	case o.channels < 1 || o.channels > maxChannels:
		return usagef("demo: --twitch-channels %d: use a number from 1 to %d", o.channels, maxChannels)
	case o.rate < 0 || !(o.rate <= maxRate):
		return usagef("demo: --rate %v: use a number from 0 to %d", o.rate, int(maxRate))
	case o.channelsPerShard < 1:
		return usagef("demo: --channels-per-shard %d: use a number from 1", o.channelsPerShard)
	case o.maxShardCount < 0:
		return usagef("demo: --max-shard-count %d: use a number from 1, or 0 for what is needed", o.maxShardCount)
	}
	need := o.needed()
	if o.maxShardCount == 0 {
		o.maxShardCount = need + max(2, need/10)
	}
	if o.maxShardCount < need {
		return usagef("demo: %d channels, and %d shards of %d hold %d; set --max-shard-count to %d or --channels-per-shard to %d",
			o.channels, o.maxShardCount, o.channelsPerShard, o.maxShardCount*o.channelsPerShard, need, (o.channels+o.maxShardCount-1)/o.maxShardCount)
	}
	if o.seed == 0 {
		o.seed = 1 + rand.Uint64N(1<<32)
	}
	return nil
}

// needed is how many shards the channels fill.
func (o *demoOptions) needed() int { return (o.channels + o.channelsPerShard - 1) / o.channelsPerShard }

// runDemo runs a demo and prints what came of it.
func runDemo(ctx context.Context, o demoOptions, stdout, stderr io.Writer) error {
	d, err := newDemo(&o)
	if err != nil {
		return err
	}
	var out *output
	titled := false
	show := func(demoState) {}
	switch {
	case o.format == "ndjson":
		out = newOutput(stdout)
	case o.format == "text" && isTerminal(stdout):
		fmt.Fprintf(stdout, "%s\n\n", o.intro())
		titled = true
		table := newTable(stdout)
		show = table.show
	}
	r := d.run(ctx, out, show)
	if out != nil {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
		defer cancel()
		if err := out.close(within); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	switch o.format {
	case "json":
		err = printJSON(stdout, r.summary())
	case "ndjson":
		err = r.print(stderr, titled)
	default:
		err = r.print(stdout, titled)
	}
	if err != nil {
		return err
	}
	return r.failure()
}
