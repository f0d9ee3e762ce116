package discordtest

import (
	"time"

	"github.com/rs/zerolog"
)

// Config configures a [Server]. The zero Config works. It is copied by [New].
type Config struct {
	Seed uint64 // of everything random: ids, faults, load; default 1
	Bots []Bot  // default: one with token "bot-token" in 10 guilds

	HeartbeatInterval time.Duration // announced in HELLO; default 41.25 s, as recorded
	IdentifyTimeout   time.Duration // from HELLO to IDENTIFY or RESUME; default 45 s
	ReplayMax         int           // events a session keeps for RESUME; default max(100, min(3500, 75 * its guilds))
	SessionLife       time.Duration // how long a session without a connection can be resumed; default 3 min
	GuildDelay        time.Duration // over which READY's guilds become available; default 5 ms a batch of 100
	ReconnectAfter    time.Duration // between op 7 and the close; default 5 s

	// GatewayURL is what /gateway/bot answers and ResumeURL what READY does.
	// Default in memory: ws://gateway.discord.test and
	// ws://resume-1.discord.test, wss: if that request came over TLS. Default
	// on a port: its address, and its address with the path /resume.
	GatewayURL, ResumeURL string

	EventIDs bool // adds "event_id" to events that have no id of their own, so that a [Judge] can know them
	NoLimits bool // REST never answers 429

	// Level is the zlib-stream compression level, 1 to 9. 0 keeps no encoder
	// per connection: thousands of connections cost 8 KiB each, and matches
	// reach 8 KiB back.
	Level int

	SendQueue int           // events that may wait for one client before it is cut off; default 20,000
	Buffer    int           // bytes of socket buffer each way of an in-memory connection; default 64 KiB
	Unsure    time.Duration // for how long what was written to a real socket is not certainly read; default 1 s
	Hosts     []string      // further host names in the TLS certificate

	Logger zerolog.Logger // one line per connection, fault and violation; default: disabled
}

// Bot is one application with its bot user. Zero fields take their default.
type Bot struct {
	Token         string // default "bot-token", then "bot-token-2" and so on
	Name          string // default "bot", then "bot2" and so on
	ApplicationID uint64 // default from the seed
	UserID        uint64 // default from the seed

	Guilds     []uint64 // where it is a member
	GuildCount int      // that many more, spread evenly over any number of shards; default 10 if Guilds is nil

	MaxConcurrency    int           // identifies per 5 s; default 1
	IdentifyTotal     int           // session starts a day; default 1000
	IdentifyRemaining int           // of them left; default IdentifyTotal; negative: none
	IdentifyReset     time.Duration // until they are refilled; default 24 h
	RecommendedShards int           // default one per 1000 guilds
	ShardMultiple     int           // a large bot's shard count is a multiple of it, else 4010; default 1
	MaxGuildsPerShard int           // else 4011; default 2500
	AllowedIntents    uint64        // privileged intents enabled in the portal; default all
	NoPrivileged      bool          // none is
}

func (cfg *Config) withDefaults() Config {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	if c.Seed == 0 {
		c.Seed = 1
	}
	if len(c.Bots) == 0 {
		c.Bots = []Bot{{}}
	}
	or(&c.HeartbeatInterval, 41250*time.Millisecond)
	or(&c.IdentifyTimeout, 45*time.Second)
	or(&c.SessionLife, 3*time.Minute)
	or(&c.ReconnectAfter, 5*time.Second)
	or(&c.SendQueue, 20_000)
	or(&c.Buffer, 64<<10)
	or(&c.Unsure, time.Second)
	return c
}

// or gives v a default.
func or[T ~int | ~int64](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}
