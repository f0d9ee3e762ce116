package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/chatshard/chatshard/discord"
	"github.com/spf13/cobra"
)

// reshardRoom is how full shards are once they have become more by themselves,
// as a share of reshard_at.
const reshardRoom = 0.8

// What an idle shard of Discord takes at most, over TLS and with its one
// goroutine, as measured.
var discordShardBytes = map[compression]int64{"none": 22 << 10, "zlib-stream": 65 << 10, "zstd-stream": 480 << 10}

// discordPlan is what a plan says of a bot beside the rest.
type discordPlan struct {
	MaxConcurrency int      `json:"max_concurrency"`
	Identifies     int      `json:"identifies"`      // that a start without stored sessions costs
	IdentifiesLeft int      `json:"identifies_left"` // today
	Floor          int      `json:"floor"`           // of those, what starts leave
	Restarts       int      `json:"restarts"`        // without stored sessions that the rest pays for
	ReshardsTo     int      `json:"reshards_to"`     // shards that follow these when they are reshard_at full; 0: none
	AtOnce         bool     `json:"at_once"`         // they are so full from the start
	Online         bool     `json:"online"`          // Discord was asked
	Assumed        []string `json:"assumed"`
}

// discordPlanOptions are what flags say of a bot.
type discordPlanOptions struct {
	guilds, perShard, maxShards int
	concurrency, identifies     int
	compression                 oneOf
	online                      bool
	changed                     func(flag string) bool
}

func discordPlanFlags(cmd *cobra.Command) *discordPlanOptions {
	o := &discordPlanOptions{compression: oneOf{allowed: []string{"zlib-stream", "zstd-stream", "none"}, value: "zlib-stream"}, changed: cmd.Flags().Changed}
	f := cmd.Flags()
	f.IntVar(&o.guilds, "guilds", 0, "number of guilds of a Discord bot")
	f.IntVar(&o.perShard, "guilds-per-shard", 1000, "cap of one shard of Discord")
	f.IntVar(&o.maxShards, "discord-max-shard-count", 16, "cap of shards of Discord")
	f.IntVar(&o.concurrency, "max-concurrency", 1, "IDENTIFYs that Discord allows the bot in 5 seconds")
	f.IntVar(&o.identifies, "identifies", 1000, "IDENTIFYs that the bot has left today, of 1000")
	f.Var(&o.compression, "compression", "of Discord's gateway: zlib-stream|zstd-stream|none")
	f.BoolVar(&o.online, "online", false, "ask Discord about the configured bot; it costs no IDENTIFY")
	for _, flag := range []string{"guilds-per-shard", "discord-max-shard-count", "compression"} {
		cmd.MarkFlagsMutuallyExclusive("config", flag)
	}
	for _, flag := range []string{"guilds", "max-concurrency", "identifies"} {
		cmd.MarkFlagsMutuallyExclusive("online", flag)
	}
	return o
}

// addBot plans a bot: the configured one, or with nil one of flags alone.
func (p *plan) addBot(ctx context.Context, c *discordConfig, o *discordPlanOptions) error {
	if o.changed("guilds") && (o.guilds < 1 || o.guilds > 10_000_000) || o.perShard < 1 || o.perShard > maxGuildsPerShard || o.maxShards < 1 || o.concurrency < 1 || o.identifies < 0 || o.identifies > 1000 {
		return usagef("plan: --guilds, --discord-max-shard-count and --max-concurrency are numbers from 1, --guilds-per-shard is one from 1 to %d, and --identifies one from 0 to 1000", maxGuildsPerShard)
	}
	account := ""
	if c == nil {
		c = new(discordConfig)
		c.defaults()
		c.ChannelsPerShard, c.MaxShardCount, c.Compression = o.perShard, o.maxShards, compression(o.compression.value)
	} else {
		account = c.Account.Name
	}
	d := &discordPlan{Online: o.online, Assumed: []string{}}
	guilds, multiple := o.guilds, 1
	info := discord.GatewayInfo{Limit: discord.StartLimit{Total: 1000, Remaining: o.identifies, MaxConcurrency: o.concurrency}, At: time.Now()}
	if o.online {
		r, err := recommend(ctx, c)
		if err != nil {
			return fmt.Errorf("plan: discord account %q: %w", account, err)
		}
		guilds, multiple, info = r.Guilds, r.Multiple, r.Gateway
	} else {
		if guilds == 0 {
			shards := c.MaxShardCount
			if c.Shards > 0 {
				shards = int(c.Shards)
			}
			guilds = shards * c.ChannelsPerShard
			d.assume("%d guilds: as many as %d shards of %d hold", guilds, shards, c.ChannelsPerShard)
		}
		if !o.changed("max-concurrency") {
			d.assume("a max_concurrency of 1: one IDENTIFY in 5 s")
		}
		if !o.changed("identifies") {
			d.assume("1000 IDENTIFYs a day, none of them spent")
		}
		if guilds > maxGuilds {
			d.assume("any number of shards will do: from %d guilds on Discord may want a multiple of what it advises", maxGuilds)
		}
	}
	n, err := discord.ShardCount(guilds, c.ChannelsPerShard, c.MaxShardCount, multiple)
	needed := n
	if err != nil {
		p.Problems = append(p.Problems, fmt.Sprintf("discord: %s", configReason(err)))
		needed, _ = discord.ShardCount(guilds, c.ChannelsPerShard, max(guilds, multiple), multiple)
		n = c.MaxShardCount
	}
	if c.Shards > 0 {
		n = int(c.Shards)
		if err == nil && n < needed {
			p.Problems = append(p.Problems, fmt.Sprintf("discord: %d guilds, and %d shards of %d hold %d; set shards to auto, or to %d", guilds, n, c.ChannelsPerShard, n*c.ChannelsPerShard, needed))
		}
		if n%multiple != 0 {
			p.Problems = append(p.Problems, fmt.Sprintf("discord: %d shards are no multiple of %d, which Discord wants of a bot of this size; set shards to auto", n, multiple))
		}
	}
	budget := discord.NewIdentifier(nil)
	budget.Update(info)
	left := budget.Status()
	d.MaxConcurrency, d.Identifies, d.IdentifiesLeft, d.Floor = max(info.Limit.MaxConcurrency, 1), n, left.Left, left.Floor
	d.Restarts = max(d.IdentifiesLeft-d.Floor, 0) / n
	if full := float64(c.ReshardAt) * float64(c.ChannelsPerShard); full > 0 && n < c.MaxShardCount {
		d.AtOnce = float64(guilds) > full*float64(n)
		d.ReshardsTo = min(int(math.Ceil(max(float64(guilds), full*float64(n))/(full*reshardRoom))), c.MaxShardCount)
	}
	if d.Restarts == 0 {
		p.Problems = append(p.Problems, fmt.Sprintf("discord: a start costs %d IDENTIFYs, and of the %d left today %d are kept for emergencies; wait for the next day, or lower the number of shards", n, d.IdentifiesLeft, d.Floor))
	}
	start := discord.StartTime(n, d.MaxConcurrency).Seconds()
	p.add(planPart{
		Platform: "discord", Account: account, Channels: guilds, NotCarried: max(0, guilds-n*c.ChannelsPerShard),
		Shards: max(n, needed), MaxShardCount: max(n, c.MaxShardCount), ChannelsPerShard: c.ChannelsPerShard,
		Logins: fmt.Sprintf("%d/5s", d.MaxConcurrency), Joins: "-", LoginSeconds: start, Seconds: start,
		MemoryBytes: int64(n) * discordShardBytes[c.Compression], QueueBytes: int64(n) * int64(c.Queue.Bytes), Discord: d,
	})
	return nil
}

func (d *discordPlan) assume(format string, args ...any) {
	d.Assumed = append(d.Assumed, fmt.Sprintf(format, args...))
}

// recommend asks Discord about a configured bot.
func recommend(ctx context.Context, c *discordConfig) (discord.Recommendation, error) {
	cfg, err := c.client()
	if err != nil {
		return discord.Recommendation{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, restTimeout)
	defer cancel()
	return discord.Recommend(ctx, discord.FixedToken(string(c.Account.Token)), &cfg.Transport)
}

// printDiscord writes what the table has no column for.
func (part *planPart) printDiscord(w io.Writer) {
	d := part.Discord
	fmt.Fprintf(w, "discord: %d IDENTIFYs at a start without stored sessions, done within %v; a restart within 3 minutes costs none\n", d.Identifies, seconds(part.Seconds))
	fmt.Fprintf(w, "discord: %d IDENTIFYs left today, %d of them kept for emergencies: enough for %d such starts\n", d.IdentifiesLeft, d.Floor, d.Restarts)
	if d.ReshardsTo > 0 {
		when := "when these shards are as full as reshard_at says"
		if d.AtOnce {
			when = "these shards are fuller than reshard_at says from the start, so"
		}
		fmt.Fprintf(w, "discord: %s %d take over from the %d, for %d IDENTIFYs more\n", when, d.ReshardsTo, d.Identifies, d.ReshardsTo)
	}
	for _, a := range d.Assumed {
		fmt.Fprintf(w, "assumed: %s\n", a)
	}
}
