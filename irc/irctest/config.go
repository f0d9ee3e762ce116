package irctest

import (
	"time"

	"github.com/rs/zerolog"
)

// Config configures a [Server]. The zero Config works. It is copied by
// [NewTwitch] and [NewIRC].
type Config struct {
	Name string // of the server in its lines; default "tmi.twitch.tv", "irc.example.net" for IRC
	Seed uint64 // of everything random: ids, faults, load; default 1

	// Accounts that may log in. Nil: every login with any token may.
	Accounts []Account
	// Channels that exist. Nil: every channel does. [Server.AddChannel] and
	// [Server.SetRoom] add more.
	Channels []string

	Normal    Limits // of accounts without limits of their own; zero fields: Twitch's for normal bots
	Anonymous Limits // of all anonymous connections from one address together; zero fields: Normal's, and no cap on channels

	DropExcessJoins bool // JOINs over the budget are silently dropped; default: the connection is closed, as observed

	PingInterval time.Duration // between the server's PINGs; default 5 min; negative: none
	PongTimeout  time.Duration // for the answer; default 30 s

	SendQueue int // bytes that may wait for one client before the connection is closed; default 1 MiB
	Buffer    int // bytes of socket buffer each way of an in-memory connection; default 64 KiB

	// Unsure is for how long a message written to a real socket counts as not
	// certainly delivered, since nobody tells when the client reads; default 1 s.
	Unsure time.Duration

	Hosts []string // further host names in the TLS certificate

	IRC IRC // of the plain IRC profile alone

	Logger zerolog.Logger // one line per connection and fault; default: disabled
}

// Account is one account of the service.
type Account struct {
	Login    string
	Token    string // without "oauth:"; the SASL password on plain IRC. "": any
	Display  string // display-name; default Login
	Verified bool   // Twitch's limits for verified bots
	Limits   Limits // zero fields: those that Verified asks for
}

// Limits are what the service allows one account, over all of its connections.
// Zero fields take the default of the place where the Limits stand; a negative
// number means no limit.
type Limits struct {
	Joins    int // JOINs in 10 s, counted per channel; normal 20, verified 2,000
	Logins   int // logins in 10 s; normal 20, verified 200
	Sends    int // messages in 30 s; normal 20, verified 7,500
	ModSends int // where the account is moderator, VIP or broadcaster; normal 100, verified 7,500
	Channels int // joined at a time, broadcaster and moderator channels exempt; 100
}

// Twitch's limits for normal and for verified bots.
var (
	normalLimits   = Limits{Joins: 20, Logins: 20, Sends: 20, ModSends: 100, Channels: 100}
	verifiedLimits = Limits{Joins: 2000, Logins: 200, Sends: 7500, ModSends: 7500, Channels: 100}
	unlimited      = Limits{Joins: -1, Logins: -1, Sends: -1, ModSends: -1, Channels: -1}
)

const (
	joinWindow  = 10 * time.Second
	loginWindow = 10 * time.Second
	sendWindow  = 30 * time.Second
	penalty     = time.Hour // for which an account that sends too much is ignored
)

// Verified returns Twitch's limits for verified bots, for use as
// [Config.Normal] or [Config.Anonymous]. Its Channels are left to the default of
// that place.
func Verified() Limits {
	l := verifiedLimits
	l.Channels = 0
	return l
}

// Unlimited returns limits that limit nothing.
func Unlimited() Limits { return unlimited }

// or fills the zero fields of l from d.
func (l Limits) or(d Limits) Limits {
	def := func(n *int, d int) {
		if *n == 0 {
			*n = d
		}
	}
	def(&l.Joins, d.Joins)
	def(&l.Logins, d.Logins)
	def(&l.Sends, d.Sends)
	def(&l.ModSends, d.ModSends)
	def(&l.Channels, d.Channels)
	return l
}

// withDefaults returns a copy of cfg with every default filled in.
func (cfg *Config) withDefaults(name string, normal Limits) Config {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	if c.Name == "" {
		c.Name = name
	}
	if c.Seed == 0 {
		c.Seed = 1
	}
	c.Normal = c.Normal.or(normal)
	if c.Anonymous.Channels == 0 {
		c.Anonymous.Channels = -1
	}
	c.Anonymous = c.Anonymous.or(c.Normal)
	if c.PingInterval == 0 {
		c.PingInterval = 5 * time.Minute
	}
	if c.PongTimeout <= 0 {
		c.PongTimeout = 30 * time.Second
	}
	if c.SendQueue <= 0 {
		c.SendQueue = 1 << 20
	}
	if c.Buffer <= 0 {
		c.Buffer = 64 << 10
	}
	if c.Unsure <= 0 {
		c.Unsure = time.Second
	}
	c.IRC = c.IRC.withDefaults()
	return c
}
