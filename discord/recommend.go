package discord

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	mostGuilds  = 2500 // that Discord lets one shard carry, else 4011 (events/gateway, "Sharding")
	identifyPer = 5 * time.Second
	largeBot    = 150_000 // guilds from which on the count must be a multiple (events/gateway, "Sharding for Large Bots")
)

// Place returns the shard, of count, that carries a guild: (id >> 22) % count
// (events/gateway, "Sharding"). "" and what is not an ID are on shard 0, where
// Discord sends what belongs to no guild.
func Place(guildID string, count int) int {
	if count < 2 || len(guildID) == 0 || len(guildID) > 20 {
		return 0
	}
	var id uint64
	for i := range len(guildID) {
		c := guildID[i] - '0'
		if c > 9 || id > (1<<64-1-uint64(c))/10 {
			return 0
		}
		id = id*10 + uint64(c)
	}
	return int((id >> 22) % uint64(count))
}

// ShardCount returns how many shards carry so many guilds with at most
// channelsPerShard each (0: 1000, as Discord advises), rounded up to a multiple
// (of what /gateway/bot gives, for a large bot; 0 or 1: any). It is at least 1
// and at most maxShardCount; if that cannot be, the error, which wraps
// ErrConfig, says how high either of the two has to be.
func ShardCount(guilds, channelsPerShard, maxShardCount, multiple int) (int, error) {
	if channelsPerShard == 0 {
		channelsPerShard = 1000
	}
	multiple = max(multiple, 1)
	switch {
	case guilds < 0:
		return 0, fmt.Errorf("%w: %d guilds", ErrConfig, guilds)
	case channelsPerShard < 0 || channelsPerShard > mostGuilds:
		return 0, fmt.Errorf("%w: channels_per_shard: %d: Discord takes 1 to %d guilds on a shard", ErrConfig, channelsPerShard, mostGuilds)
	case maxShardCount < 1:
		return 0, fmt.Errorf("%w: max_shard_count: %d: at least 1 is needed", ErrConfig, maxShardCount)
	}
	n := roundUp(max(ceil(guilds, channelsPerShard), 1), multiple)
	if n <= maxShardCount {
		return n, nil
	}
	why := fmt.Sprintf("%d guilds at %d a shard need %d shards", guilds, channelsPerShard, n)
	if multiple > 1 {
		why += fmt.Sprintf(" (a multiple of %d)", multiple)
	}
	why = fmt.Sprintf("%s, and max_shard_count is %d: raise max_shard_count to %d", why, maxShardCount, n)
	most := maxShardCount / multiple * multiple // shards that may be
	if most == 0 {
		return 0, fmt.Errorf("%w: shards: %s", ErrConfig, why)
	}
	if per := ceil(guilds, most); per <= mostGuilds {
		return 0, fmt.Errorf("%w: shards: %s, or channels_per_shard to %d", ErrConfig, why, per)
	}
	least := roundUp(ceil(guilds, mostGuilds), multiple)
	return 0, fmt.Errorf("%w: shards: %s, or to %d and channels_per_shard to %d (Discord takes no more than %d on a shard)",
		ErrConfig, why, least, ceil(guilds, least), mostGuilds)
}

func ceil(a, b int) int { return a/b + min(a%b, 1) }

func roundUp(n, multiple int) int { return ceil(n, multiple) * multiple }

// StartTime returns how long it takes to IDENTIFY so many shards: as many as
// maxConcurrency (at least 1) at once, every 5 s and the default margin.
func StartTime(shards, maxConcurrency int) time.Duration {
	return time.Duration(ceil(max(shards, 0), max(maxConcurrency, 1))) * (identifyPer + defaultMargin)
}

// Recommendation is what Discord says of a bot, and what follows from it.
type Recommendation struct {
	Application Application
	Gateway     GatewayInfo

	Shards   int // as many as Discord advises
	Multiple int // that another number of shards must be of: Shards for a large bot, else 1
	Guilds   int // approximate

	Start    time.Duration // to start Shards without sessions
	Restarts int           // of Shards, without sessions, that the rest of the day pays for above the floor
	Resets   time.Time     // when the day ends; zero if nothing has been spent

	Asked   Intents // in the Config
	Enabled Intents // privileged intents enabled for the bot
	Missing Intents // privileged intents asked for and not enabled: 4014
}

// Recommend asks Discord's REST API what it advises for a bot. Nil cfg works;
// of its fields API, HTTPClient and Intents count. It costs no IDENTIFY. The
// error wraps ErrToken if the token is not valid.
func Recommend(ctx context.Context, token TokenFunc, cfg *Config) (Recommendation, error) {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	if token == nil {
		return Recommendation{}, errors.New("discord: Recommend: no token")
	}
	if c.Intents == 0 {
		c.Intents = IntentsChat
	}
	r := &rest{base: c.API, token: token, client: c.HTTPClient}
	g, err := r.gateway(ctx)
	if err != nil {
		return Recommendation{}, err
	}
	a, err := r.application(ctx)
	if err != nil {
		return Recommendation{}, err
	}
	return recommend(g, a, c.Intents), nil
}

func recommend(g GatewayInfo, a Application, asked Intents) Recommendation {
	rec := Recommendation{
		Application: a, Gateway: g,
		Shards: g.Shards, Multiple: 1, Guilds: a.Guilds,
		Start:    StartTime(g.Shards, g.Limit.MaxConcurrency),
		Restarts: max(g.Limit.Remaining-defaultFloor(g.Limit.Total), 0) / g.Shards,
		Asked:    asked, Enabled: a.Privileged(),
	}
	if a.Guilds > largeBot {
		rec.Multiple = g.Shards
	}
	if g.Limit.ResetAfter > 0 {
		rec.Resets = g.At.Add(g.Limit.ResetAfter)
	}
	rec.Missing = asked & IntentsPrivileged &^ rec.Enabled
	return rec
}
