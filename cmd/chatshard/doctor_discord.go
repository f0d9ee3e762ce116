package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chatshard/chatshard/discord"
)

// discordExam is the checks of one bot, in their order.
type discordExam struct {
	config *discordConfig
	checks []doctorCheck
}

func (x *discordExam) say(name, status, do, what string, args ...any) {
	x.checks = append(x.checks, doctorCheck{Platform: "discord", Name: name, Status: status, What: fmt.Sprintf(what, args...), Do: do})
}

func (x *discordExam) run(ctx context.Context) {
	r, err := recommend(ctx, x.config)
	gateway := x.config.Gateway
	switch {
	case errors.Is(err, discord.ErrToken):
		x.say("token", "fail", "copy the bot's token from the developer portal (Applications, the bot, Bot), or reset it there", "Discord does not know it")
	case err != nil:
		x.say("api", "fail", "check the network, proxies and api; https://discordstatus.com says whether Discord is well", "%v", err)
	default:
		x.say("token", "ok", "", "of %q, application %s, in about %d guilds", r.Application.Name, r.Application.ID, r.Guilds)
		x.intents(r)
		x.identifies(ctx, r)
		x.shards(r)
		if gateway == "" {
			gateway = r.Gateway.URL
		}
	}
	if gateway == "" && x.config.API == "" {
		gateway = "wss://gateway.discord.gg"
	}
	if gateway != "" {
		x.gateway(ctx, gateway)
	}
	if x.config.StateDir != "" {
		x.stateDir()
		if err == nil {
			x.sessions(ctx)
		}
	}
}

func (x *discordExam) intents(r discord.Recommendation) {
	const portal = "enable them in the developer portal (Applications, the bot, Bot, Privileged Gateway Intents), or take them out of intents"
	asked := x.config.intents
	const unread = discord.IntentGuildMessages | discord.IntentDirectMessages
	switch {
	case r.Missing != 0:
		x.say("intents", "fail", portal, "asked for and not enabled (4014): %v", r.Missing)
	case asked&unread != 0 && asked&discord.IntentMessageContent == 0:
		x.say("intents", "warn", "add message_content to intents, and enable it in the developer portal", "without message_content most messages come without their text")
	case asked&discord.IntentGuilds == 0:
		x.say("intents", "warn", "add guilds to intents", "without guilds nobody knows which guilds are available, and shards do not grow by themselves")
	default:
		x.say("intents", "ok", "", "%v; of the privileged ones %v are enabled", asked, r.Enabled)
	}
}

// budget returns what is left today by Discord's count and the own one.
func (x *discordExam) budget(ctx context.Context, r discord.Recommendation) discord.IdentifyStatus {
	cfg := discord.IdentifierConfig{}
	if x.config.StateDir != "" {
		cfg.Store = readOnly{discord.FileStore(x.config.StateDir)}
	}
	i := discord.NewIdentifier(&cfg)
	_ = i.Load(ctx) // what cannot be read is not known
	i.Update(r.Gateway)
	return i.Status()
}

// readOnly is a Store in which nothing is changed.
type readOnly struct{ discord.Store }

func (readOnly) Save(context.Context, string, []byte) error { return nil }

func (x *discordExam) identifies(ctx context.Context, r discord.Recommendation) {
	s := x.budget(ctx, r)
	need, _ := x.need(r)
	text := fmt.Sprintf("%d of %d left today, %d of them kept for emergencies", s.Left, s.Total, s.Floor)
	if !s.Resets.IsZero() {
		text += ", all again at " + s.Resets.UTC().Format(time.RFC3339)
	}
	starts := max(s.Left-s.Floor, 0) / max(need, 1)
	switch {
	case !s.HeldUntil.IsZero():
		x.say("identifies", "warn", "see in the log why; wait", "held back until %s: %d came to nothing lately; %s", s.HeldUntil.UTC().Format(time.RFC3339), s.Wasted, text)
	case starts == 0:
		x.say("identifies", "fail", "wait for the next day; only a restart that resumes stored sessions costs none", "a start of %d shards cannot be paid: %s", need, text)
	case starts < 3:
		x.say("identifies", "warn", "find out what restarts the bot without its sessions", "enough for %d starts of %d shards without stored sessions: %s", starts, need, text)
	default:
		x.say("identifies", "ok", "", "%s; enough for %d starts of %d shards; %d at once", text, starts, need, max(r.Gateway.Limit.MaxConcurrency, 1))
	}
}

// need returns how many shards a start has.
func (x *discordExam) need(r discord.Recommendation) (int, error) {
	n, err := discord.ShardCount(r.Guilds, x.config.ChannelsPerShard, x.config.MaxShardCount, r.Multiple)
	if x.config.Shards > 0 {
		return int(x.config.Shards), err
	}
	if err != nil {
		n = x.config.MaxShardCount
	}
	return n, err
}

func (x *discordExam) shards(r discord.Recommendation) {
	c := x.config
	n, err := x.need(r)
	per := (r.Guilds + n - 1) / n
	advised := fmt.Sprintf("Discord advises %d for about %d guilds", r.Shards, r.Guilds)
	switch {
	case n%r.Multiple != 0:
		x.say("shards", "fail", fmt.Sprintf("set shards to auto, or to a multiple of %d", r.Multiple), "%d are no multiple of %d, which Discord wants of a bot of this size (4010)", n, r.Multiple)
	case per > maxGuildsPerShard:
		x.say("shards", "fail", fmt.Sprintf("use %d shards at least", (r.Guilds+maxGuildsPerShard-1)/maxGuildsPerShard), "%d make %d guilds a shard, and Discord takes %d (4011)", n, per, maxGuildsPerShard)
	case err != nil:
		x.say("shards", "fail", "raise max_shard_count or channels_per_shard", "%s", configReason(err))
	case per > c.ChannelsPerShard:
		x.say("shards", "warn", "set shards to auto", "%d make %d guilds a shard, and channels_per_shard is %d; %s", n, per, c.ChannelsPerShard, advised)
	case c.ReshardAt > 0 && float64(r.Guilds) > float64(c.ReshardAt)*float64(n*c.ChannelsPerShard) && n == c.MaxShardCount:
		x.say("shards", "warn", "raise max_shard_count", "%d are fuller than reshard_at (%v), and max_shard_count has no room for more; %s", n, float64(c.ReshardAt), advised)
	default:
		x.say("shards", "ok", "", "%d, about %d guilds each; %s", n, per, advised)
	}
}

// gateway connects to the gateway, and says nothing to it.
func (x *discordExam) gateway(ctx context.Context, at string) {
	const do = "check the network, firewalls and proxies; api and gateway in the configuration say where to connect"
	u, err := url.Parse(at)
	if err != nil || u.Host == "" {
		x.say("gateway", "fail", do, "%s is no address", quote(at))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	port := u.Port()
	if port == "" {
		port = map[string]string{"wss": "443", "ws": "80"}[u.Scheme]
	}
	addr := net.JoinHostPort(u.Hostname(), port)
	begin := time.Now()
	var nc net.Conn
	how := "TCP"
	if u.Scheme == "wss" {
		how = "TCP and TLS"
		var cfg *tls.Config
		if cfg, err = x.config.TLS.client(); err == nil {
			nc, err = (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", addr)
		}
	} else {
		nc, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	if err != nil {
		x.say("gateway", "fail", do, "%s cannot be reached: %v", addr, err)
		return
	}
	nc.Close()
	x.say("gateway", "ok", "", "%s reached by %s in %v", addr, how, time.Since(begin).Round(time.Millisecond))
}

// stateDir checks that sessions could be stored.
func (x *discordExam) stateDir() {
	const do = "give it to the user that chatshard runs as, or name another directory"
	dir := x.config.StateDir
	there := dir
	for {
		_, err := os.Stat(there)
		if err == nil {
			break
		}
		up := filepath.Dir(there)
		if !errors.Is(err, os.ErrNotExist) || up == there {
			x.say("state_dir", "fail", do, "%v", err)
			return
		}
		there = up
	}
	f, err := os.CreateTemp(there, ".chatshard-doctor-*")
	if err != nil {
		x.say("state_dir", "fail", do, "nothing can be stored: %v", err)
		return
	}
	f.Close()
	os.Remove(f.Name())
	if there != dir {
		x.say("state_dir", "ok", "", "%s is not there yet, and can be made", dir)
		return
	}
	x.say("state_dir", "ok", "", "%s can be written", dir)
}

// sessions looks at what an earlier process has stored.
func (x *discordExam) sessions(ctx context.Context) {
	cfg, err := x.config.client()
	if err != nil {
		x.say("sessions", "fail", "", "%v", err)
		return
	}
	cfg.Transport.Store = readOnly{cfg.Transport.Store}
	ctx, cancel := context.WithTimeout(ctx, restTimeout)
	defer cancel()
	t := discord.New(discord.FixedToken(string(x.config.Account.Token)), &cfg.Transport)
	if err := t.Start(ctx); err != nil {
		what, do, _ := strings.Cut(err.Error(), "; ")
		x.say("sessions", "fail", do, "%s", what)
		return
	}
	if count, n := t.StoredCount(); n > 0 {
		x.say("sessions", "ok", "", "%d of %d shards would be resumed if chatshard started now", n, count)
		return
	}
	x.say("sessions", "ok", "", "none that could be resumed: a start costs an IDENTIFY per shard")
}
