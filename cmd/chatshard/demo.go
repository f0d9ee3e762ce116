package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/irc/irctest"
	"github.com/spf13/cobra"
)

// demoOptions are what the flags of "chatshard demo" ask for.
type demoOptions struct {
	length           time.Duration
	channels         int // of Twitch; 0: no Twitch
	rate             float64
	channelsPerShard int
	maxShardCount    int

	guilds        int // of Discord; 0: no Discord
	guildRate     float64
	perShard      int // guilds
	maxShards     int // of Discord
	reshardAt     time.Duration
	faults        string
	network       string
	seed          uint64
	replay        irctest.Source
	noLog         bool
	format        string // text, json, ndjson
	shards, grown int    // of Discord at the start, and after --reshard-at
}

func newDemoCommand() *cobra.Command {
	o := demoOptions{}
	var replay string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show chatshard at work against a simulated Twitch and Discord, and count what gets lost",
		Long: `Start a simulated Twitch and a simulated Discord in this process, read their chat
as chatshard run would, and count what was lost, doubled or out of order. It
needs no token and no network, and no file but a log in a temporary directory,
which is removed at the end.

Twitch plays for an anonymous account with the limits of a verified bot: 2,000
JOINs and 200 logins in 10 seconds, and no cap on channels. Discord plays for a
bot with a max_concurrency of 16: 16 IDENTIFYs in 5 seconds, 1,000 a day. Both
know what they sent to whom and when, and so what could have been received. A
message is lost if it was neither received nor falls into a gap that was
reported, or if it falls into one but a live connection, or on Discord a session
that could be resumed, could have delivered it.

What is received goes to a relay, as with a section relay in the file of
chatshard run: into its log, and from there over HTTP, in memory, to three named
consumers with the policy block. One reads steadily; one pauses for six seconds
whenever it has caught up, and reads from the log then; one is killed every
second and started again, and tells what it knows already by its id. Of what the
relay was handed, a consumer has lost what it did not see, unless the relay
reported a gap; doubled is what it saw twice, but for what it had not yet
acknowledged when it was killed. With --no-log there is no relay.

--for counts from when every channel has been joined, or refused, and every
guild is available, for the first time: joining 20,000 channels takes about 100
seconds, since no more is allowed. Chat flows from the start, faults come when
the count begins and end shortly before it does, and then the fleet has up to 20
seconds to settle before it is judged, and the consumers a minute to catch up.
Ctrl-C ends the count early; a second one ends the program, and leaves its
directory behind.

With --reshard-at Discord's shards become half as many more while chat flows:
new ones come up beside the old ones, each with one IDENTIFY, and take over.

Faults of both levels are dropped connections, half-open ones, those that the
service asks to end, and refused JOINs; a storm adds muted connections, refused
ones, hang-ups, and doubled, swapped and cut lines, on Discord sessions that are
declared invalid, closes with all kinds of codes, a resume host that is down,
damaged messages and heartbeats without an answer, all the time. Rates are per
connection; for fleets so large that the JOIN budget could not mend what breaks,
they are lowered to what half of it can.

With -o json standard output is one object at the end, with -o ndjson the events
of all channels, one a line, and the summary goes to standard error. Exits with
1 if anything was lost, doubled or out of order, if a consumer lost or doubled
anything or has not caught up, if a channel was neither joined nor refused with a
reason or a guild is not available, if more IDENTIFYs were spent than new shards
and sessions that Discord ended account for, or if a limit of a service was
broken.`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.DurationVar(&o.length, "for", 10*time.Second, "how long, from when all channels have been joined")
	f.IntVar(&o.channels, "twitch-channels", 500, "number of channels of Twitch; 0: no Twitch")
	f.Float64Var(&o.rate, "rate", 2000, "messages a second over all channels of Twitch, the first of them busiest (Zipf)")
	f.IntVar(&o.channelsPerShard, "channels-per-shard", 25, "cap of one connection to Twitch")
	f.IntVar(&o.maxShardCount, "max-shard-count", 0, "cap of connections to Twitch; 0: what the channels need, and some to spare")
	f.IntVar(&o.guilds, "guilds", 5000, "number of guilds of Discord; 0: no Discord")
	f.Float64Var(&o.guildRate, "discord-rate", 2000, "messages a second over all guilds of Discord, the first of them busiest (Zipf)")
	f.IntVar(&o.perShard, "guilds-per-shard", 1250, "cap of one shard of Discord")
	f.IntVar(&o.maxShards, "discord-max-shard-count", 0, "cap of shards of Discord; 0: what the guilds need, and what --reshard-at grows to")
	f.DurationVar(&o.reshardAt, "reshard-at", 0, "when Discord's shards become half as many more; 0: never")
	faults := &oneOf{allowed: faultLevels, value: "gentle"}
	f.Var(faults, "faults", "what goes wrong: "+strings.Join(faultLevels, "|"))
	f.StringVar(&replay, "replay", "", "Twitch chat from this `file` of raw IRC lines, over and over, instead of made-up chat")
	network := &oneOf{allowed: []string{"memory", "tcp"}, value: "memory"}
	f.Var(network, "network", "how to connect: memory: the simulators see what was read, to the byte; tcp: sockets of 127.0.0.1")
	f.Uint64Var(&o.seed, "seed", 0, "of what the simulators do at random; 0: another each time")
	f.BoolVar(&o.noLog, "no-log", false, "without a relay: no log, no consumers, no directory")
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
	case o.channels < 0 || o.channels > maxChannels:
		return usagef("demo: --twitch-channels %d: use a number from 0 to %d", o.channels, maxChannels)
	case o.guilds < 0 || o.guilds > maxGuilds:
		return usagef("demo: --guilds %d: use a number from 0 to %d", o.guilds, maxGuilds)
	case o.channels+o.guilds == 0:
		return usagef("demo: neither channels nor guilds: give --twitch-channels or --guilds a number from 1")
	case o.rate < 0 || !(o.rate <= maxRate):
		return usagef("demo: --rate %v: use a number from 0 to %d", o.rate, int(maxRate))
	case o.guildRate < 0 || !(o.guildRate <= maxRate):
		return usagef("demo: --discord-rate %v: use a number from 0 to %d", o.guildRate, int(maxRate))
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
	return o.checkDiscord()
}

// maxGuilds is from where on Discord has rules for large bots.
const maxGuilds = 150_000

// maxGuildsPerShard is Discord's own limit.
const maxGuildsPerShard = 2500

func (o *demoOptions) checkDiscord() error {
	switch {
	case o.guilds > 0 && (o.perShard < 1 || o.perShard > maxGuildsPerShard):
		return usagef("demo: --guilds-per-shard %d: use a number from 1 to %d, Discord's limit", o.perShard, maxGuildsPerShard)
	case o.maxShards < 0:
		return usagef("demo: --discord-max-shard-count %d: use a number from 1, or 0 for what is needed", o.maxShards)
	case o.reshardAt < 0:
		return usagef("demo: --reshard-at %v: use a duration, as in 5s, or 0 for never", o.reshardAt)
	case o.reshardAt > 0 && o.guilds == 0:
		return usagef("demo: --reshard-at %v without Discord; give --guilds a number from 1", o.reshardAt)
	case o.reshardAt >= o.length && o.reshardAt > 0:
		return usagef("demo: --reshard-at %v is not within --for %v; use a shorter time", o.reshardAt, o.length)
	}
	if o.guilds == 0 {
		return nil
	}
	o.shards, _ = discord.ShardCount(o.guilds, o.perShard, o.guilds, 1)
	o.grown = o.shards
	if o.reshardAt > 0 {
		o.grown += max(1, o.shards/2)
	}
	if o.maxShards == 0 {
		o.maxShards = o.grown
	}
	switch {
	case o.maxShards < o.shards:
		or := ""
		if per := (o.guilds + o.maxShards - 1) / o.maxShards; per <= maxGuildsPerShard {
			or = fmt.Sprintf(" or --guilds-per-shard to %d", per)
		}
		return usagef("demo: %d guilds, and %d shards of %d hold %d; set --discord-max-shard-count to %d%s",
			o.guilds, o.maxShards, o.perShard, o.maxShards*o.perShard, o.shards, or)
	case o.maxShards < o.grown:
		return usagef("demo: --discord-max-shard-count %d: --reshard-at grows from %d shards to %d; set it to %d", o.maxShards, o.shards, o.grown, o.grown)
	}
	return nil
}

// needed is how many shards of Twitch the channels fill.
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
	if !o.noLog {
		if d.relay, err = openDemoRelay(ctx, d.cursor, out); err != nil {
			d.close()
			return err
		}
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
