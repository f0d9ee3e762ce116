package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/channels"
	"github.com/spf13/cobra"
)

// What an idle shard and a joined channel take, as an estimate.
const (
	shardBytes   = 18 << 10 // TLS connection, its buffers and one goroutine
	channelBytes = 250
)

// plan is what "chatshard plan -o json" prints.
type plan struct {
	OK          bool       `json:"ok"` // everything fits its caps
	Problems    []string   `json:"problems"`
	Parts       []planPart `json:"parts"`
	Shards      int        `json:"shards"`
	Seconds     float64    `json:"seconds"` // from the start until the last JOIN is sent
	MemoryBytes int64      `json:"memory_bytes"`
	QueueBytes  int64      `json:"queue_bytes"`
}

// planPart is one account of Twitch, one bot of Discord, or one IRC network.
type planPart struct {
	Platform         string  `json:"platform"` // twitch, irc:libera
	Account          string  `json:"account,omitempty"`
	Channels         int     `json:"channels"`           // that it is to carry
	CapChannels      int     `json:"cap_channels"`       // of them, those that count towards the account's cap
	Cap              int     `json:"cap"`                // 0: none
	NotCarried       int     `json:"not_carried"`        // for lack of shards
	Shards           int     `json:"shards"`             // that are needed
	MaxShardCount    int     `json:"max_shard_count"`    // that are allowed
	ChannelsPerShard int     `json:"channels_per_shard"` //
	Logins           string  `json:"logins"`             // limit
	Joins            string  `json:"joins"`              // limit
	LoginSeconds     float64 `json:"login_seconds"`      // from the start until the last login
	Seconds          float64 `json:"seconds"`            // from the start until the last JOIN
	MemoryBytes      int64   `json:"memory_bytes"`       // idle, an estimate
	QueueBytes       int64   `json:"queue_bytes"`        // on top, while outputs lag: at most this

	Discord *discordPlan `json:"discord,omitempty"` // channels are guilds, logins IDENTIFYs
}

func newPlanCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Say how many shards are needed, and how long joining takes",
		Long: `Say how many connections the wanted channels need, how long logins and JOINs
take within the services' limits, what memory that takes (an estimate), and
whether it fits the caps. Exits with 1 if it does not.

Either for a configuration (-c FILE), or for a number of Twitch channels read by
one account, which is a named one unless --anonymous is given, or of guilds of a
Discord bot, or both. How many guilds a configured bot is in only Discord knows:
--online asks it, and --guilds says it; else what is configured is taken for
full. What was assumed is printed.`,
		Args: noArgs,
	}
	file := configFlag(cmd)
	format := outputFlag(cmd, "text", "json")
	var flags twitchConfig
	flags.defaults()
	var count int
	var verified, anonymous bool
	const needCount = "twitch-channels"
	cmd.Flags().IntVar(&count, needCount, 0, "number of Twitch channels, none exempt from the cap")
	cmd.Flags().IntVar(&flags.ChannelsPerShard, "channels-per-shard", flags.ChannelsPerShard, "cap of one connection")
	cmd.Flags().IntVar(&flags.MaxShardCount, "max-shard-count", flags.MaxShardCount, "cap of connections")
	cmd.Flags().BoolVar(&verified, "verified", false, "the account is a verified bot: higher limits")
	cmd.Flags().BoolVar(&anonymous, "anonymous", false, "the account is anonymous: no cap on channels")
	cmd.MarkFlagsMutuallyExclusive("verified", "anonymous")
	bot := discordPlanFlags(cmd)
	for _, f := range []string{needCount, "channels-per-shard", "max-shard-count", "verified", "anonymous"} {
		cmd.MarkFlagsMutuallyExclusive("config", f)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var p plan
		switch {
		case *file != "":
			c, err := loadConfig(*file, environ())
			var problems configError
			if errors.As(err, &problems) && len(problems.without()) > 0 {
				return problems
			}
			p = planFor(c)
			if c.Discord != nil {
				if err := p.addBot(cmd.Context(), c.Discord, bot); err != nil {
					return err
				}
			} else if bot.online || bot.guilds > 0 {
				return usagef("plan: %s has no section discord", *file)
			}
			for _, problem := range problems {
				p.Problems = append(p.Problems, problem.String())
			}
		case bot.online:
			return usagef("plan: --online needs -c FILE with a section discord")
		case !cmd.Flags().Changed(needCount) && !cmd.Flags().Changed("guilds"):
			return usagef("plan: for what? give -c FILE, --%s N or --guilds N", needCount)
		case !cmd.Flags().Changed(needCount):
			if err := p.addBot(cmd.Context(), nil, bot); err != nil {
				return err
			}
		case count < 1 || flags.ChannelsPerShard < 1 || flags.MaxShardCount < 1:
			return usagef("plan: --%s, --channels-per-shard and --max-shard-count are numbers from 1", needCount)
		default:
			account := accountConfig{Name: "anonymous"}
			if !anonymous {
				account = accountConfig{Name: "named", Login: "named", Verified: verified}
			}
			p.add(twitchPart(&flags, &account, count, count))
			if over := count - account.cap(); account.cap() > 0 && over > 0 {
				p.Problems = append(p.Problems, fmt.Sprintf("%d channels count towards Twitch's cap of %d for a named account: %d too many; read anonymously, use %d accounts, or have the account made moderator",
					count, account.cap(), over, (count+account.cap()-1)/account.cap()))
			}
			if left := p.Parts[0].NotCarried; left > 0 {
				p.Problems = append(p.Problems, fmt.Sprintf("%d shards of %d leave %d channels out; set --max-shard-count to %d",
					flags.MaxShardCount, flags.ChannelsPerShard, left, p.Parts[0].Shards))
			}
			if cmd.Flags().Changed("guilds") {
				if err := p.addBot(cmd.Context(), nil, bot); err != nil {
					return err
				}
			}
		}
		p.finish()
		if err := p.print(cmd.OutOrStdout(), *format); err != nil {
			return err
		}
		if !p.OK {
			return fmt.Errorf("plan: does not fit: %s", p.Problems[0])
		}
		return nil
	}
	return cmd
}

// planFor plans a configuration.
func planFor(c *config) plan {
	var p plan
	if c.Twitch != nil {
		pool := c.Twitch.pool()
		all, capped := map[string]int{}, map[string]int{}
		for n, by := range c.onTwitch {
			all[by]++
			if e, _ := c.wanted.Lookup(n); !e.Settings.CapExempt {
				capped[by]++
			}
		}
		for i := range pool {
			p.add(twitchPart(c.Twitch, &pool[i], all[pool[i].Name], capped[pool[i].Name]))
		}
	}
	for _, name := range c.networks() {
		n := 0
		for e := range c.wanted.All() {
			if e.Name.Platform == channels.IRC && e.Name.Network == name && !e.Settings.Disabled {
				n++
			}
		}
		net := c.IRC[name]
		p.add(planPartOf("irc:"+name, &net.sharding, net.Limits, n))
	}
	return p
}

func twitchPart(c *twitchConfig, a *accountConfig, all, capped int) planPart {
	part := planPartOf("twitch", &c.sharding, c.limitsOf(a), all)
	part.Account = a.Name
	part.Cap = a.cap()
	part.CapChannels = capped
	return part
}

func planPartOf(platform string, s *sharding, limits limitsConfig, n int) planPart {
	part := planPart{
		Platform:         platform,
		Channels:         n,
		Shards:           max((n+s.ChannelsPerShard-1)/s.ChannelsPerShard, s.InitialShardCount),
		MaxShardCount:    s.shards(),
		ChannelsPerShard: s.ChannelsPerShard,
		Logins:           limits.Logins.String(),
		Joins:            limits.Joins.String(),
	}
	shards := min(part.Shards, part.MaxShardCount)
	carried := min(n, shards*s.ChannelsPerShard)
	part.NotCarried = n - carried
	logins, joins := schedule(carried, shards, s.ChannelsPerShard, limits.Logins, limits.Joins)
	part.LoginSeconds, part.Seconds = logins.Seconds(), joins.Seconds()
	part.MemoryBytes = int64(shards)*shardBytes + int64(carried)*channelBytes
	part.QueueBytes = int64(shards) * int64(s.Queue.Bytes)
	return part
}

// schedule returns when the last of shards logins and the last of n JOINs may
// be sent, counted from the start: the time that the limits' own sliding logs
// take, on a clock that only they move. A JOIN waits for the shard that has
// room for it.
func schedule(n, shards, perShard int, logins, joins rate) (lastLogin, lastJoin time.Duration) {
	start := time.Unix(0, 0)
	up := make([]time.Time, shards)
	window := windowOf(logins)
	now := start
	for i := range up {
		now = spend(window, now)
		up[i] = now
	}
	lastLogin = now.Sub(start)
	window = windowOf(joins)
	now = start
	for i := range n {
		if ready := up[i/perShard]; ready.After(now) {
			now = ready
		}
		now = spend(window, now)
	}
	return lastLogin, max(lastLogin, now.Sub(start))
}

// windowOf returns the sliding log that keeps a rate; nil for no limit.
func windowOf(r rate) *balancer.Window {
	if r.N == 0 {
		return nil
	}
	return balancer.NewWindow(r.N, r.Per)
}

// spend takes one from a window at the first moment from now that allows it.
func spend(w *balancer.Window, now time.Time) time.Time {
	for w != nil {
		wait, err := w.Take(now, 1)
		if err != nil {
			panic("plan: " + err.Error()) // a window grants one
		}
		if wait == 0 {
			break
		}
		now = now.Add(wait)
	}
	return now
}

func (p *plan) add(part planPart) {
	p.Parts = append(p.Parts, part)
	p.Shards += min(part.Shards, part.MaxShardCount)
	p.Seconds = max(p.Seconds, part.Seconds) // accounts and networks join side by side
	p.MemoryBytes += part.MemoryBytes
	p.QueueBytes += part.QueueBytes
}

func (p *plan) finish() {
	p.OK = len(p.Problems) == 0
	if p.Problems == nil {
		p.Problems = []string{}
	}
}

func (p *plan) print(w io.Writer, format string) error {
	if format == "json" {
		return printJSON(w, p)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PLATFORM\tACCOUNT\tCHANNELS\tOF CAP\tSHARDS\tLOGINS\tLOGGED IN\tJOINS\tALL JOINED\tMEMORY")
	for _, part := range p.Parts {
		account, ofCap := part.Account, "no cap"
		if part.Account == "" {
			account = "-"
		}
		if part.Cap > 0 {
			ofCap = fmt.Sprintf("%d of %d", part.CapChannels, part.Cap)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d of %d\t%s\t%v\t%s\t%v\t%s\n",
			part.Platform, account, part.Channels, ofCap, part.Shards, part.MaxShardCount,
			part.Logins, seconds(part.LoginSeconds), part.Joins, seconds(part.Seconds), kibibytes(part.MemoryBytes))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, part := range p.Parts {
		if part.Discord != nil {
			part.printDiscord(w)
		}
	}
	_, err := fmt.Fprintf(w, "in all: %d shards; all joined after %v; about %s idle, and up to %s more while outputs lag\n",
		p.Shards, seconds(p.Seconds), kibibytes(p.MemoryBytes), kibibytes(p.QueueBytes))
	for _, problem := range p.Problems {
		fmt.Fprintf(w, "does not fit: %s\n", problem)
	}
	return err
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func kibibytes(n int64) string {
	if n < 10<<20 {
		return fmt.Sprintf("%d KiB", (n+1023)>>10)
	}
	return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20)
}
