package irc

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/chatshard/chatshard/balancer"
)

// Profile says which kind of server a [Transport] speaks to.
type Profile int

// The profiles.
const (
	Twitch  Profile = iota // Twitch chat: keys are logins, "forsen"
	Generic                // any IRC network: keys are channels, "#go"
)

func (p Profile) String() string {
	if p == Generic {
		return "irc"
	}
	return "twitch"
}

// DialFunc connects; that of a [net.Dialer] is one.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Config is how a [Transport] connects. Nil and the zero value read Twitch over
// TLS.
type Config struct {
	Profile Profile

	// Address is "host:port", or "wss://host:port" for WebSocket. Required for
	// Generic; default for Twitch "irc.chat.twitch.tv:6697", or
	// "wss://irc-ws.chat.twitch.tv:443" with WebSocket. The schemes irc:// and
	// ws:// are without TLS.
	Address     string
	WebSocket   bool        // the default address is that for WebSocket
	Plain       bool        // no TLS
	TLS         *tls.Config // default: the system's roots; the server's name is that in Address
	Proxy       string      // socks5:// or http:// URL; default: none
	DialContext DialFunc    // default: a net.Dialer

	Membership bool     // Twitch: ask for JOIN and PART of others
	Caps       []string // Generic: capabilities to ask for beside those that are needed, where the server has them

	// Nick is the nick of each connection, "{shard}" being its number, and
	// "{login}" the account's. Default: "{login}" and the number if it is not
	// 0, with "chatshard" for an empty login. Generic only.
	Nick     string
	User     string    // Generic: default the nick
	RealName string    // Generic: default the nick
	Password TokenFunc // Generic: of the server (PASS); default: none

	// SASL is PLAIN, EXTERNAL or SCRAM-SHA-256. Default: for an account with a
	// login the best that the server offers; PLAIN not without TLS. Generic only.
	SASL string

	Flood Rate // Generic: lines of one connection; default 5 per 10 s; negative: no limit

	PingInterval time.Duration // silence after which the server is asked whether it is there; default 30 s
	PingTimeout  time.Duration // for its answer, or anything else; default 10 s
	WriteTimeout time.Duration // for the server to take in what is written; default 10 s
	MaxLine      int           // bytes of the longest line taken in; one that is longer becomes a Gap; default 16 KiB, at most MaxLine
	Pings        bool          // PING and PONG are delivered as well

	Logger zerolog.Logger // default: disabled
}

func (c *Config) withDefaults() Config {
	if c == nil {
		return (&Config{Logger: zerolog.Nop()}).withDefaults()
	}
	d := *c
	if d.Address == "" && d.Profile == Twitch {
		d.Address = "irc.chat.twitch.tv:6697"
		if d.WebSocket {
			d.Address = "wss://irc-ws.chat.twitch.tv:443"
		}
	}
	if d.DialContext == nil {
		d.DialContext = new(net.Dialer).DialContext
	}
	def := func(v *time.Duration, t time.Duration) {
		if *v <= 0 {
			*v = t
		}
	}
	def(&d.PingInterval, 30*time.Second)
	def(&d.PingTimeout, 10*time.Second)
	def(&d.WriteTimeout, 10*time.Second)
	if d.MaxLine <= 0 {
		d.MaxLine = 16 << 10
	}
	d.MaxLine = min(d.MaxLine, MaxLine)
	if d.Flood.N == 0 {
		d.Flood = Rate{5, 10 * time.Second}
	}
	return d
}

// Transport is a [balancer.Transport] of free placement for Twitch chat or
// another IRC network. Its connections are [balancer.Joiner]s and
// [balancer.Prober]s: a PING asks for the sign of life.
//
// Events have a [*Message] as Data. The messages of all connections are cut in
// place out of blocks of 64 KiB that they share, so to keep one Message, or a
// string of it, keeps such a block and the 8 KiB of Messages of it alive;
// [Message.Clone] makes a copy that stands alone. With balancer.Config.Reuse a
// Message lasts until the Handler returns and nothing is allocated for it. What the server says before
// the login is complete is not delivered, and PING and PONG only with
// [Config.Pings].
//
// A connection starts no goroutine: reading, answering PING and noticing that
// the server is gone happen inside Receive. (On a plain IRC server one writes
// what [Config.Flood] makes wait, for as long as something does.) While it
// waits it holds no buffer: on unix it is parked on the bare socket, under TLS
// too. There is room behind [balancer.Conn] for a reader that serves many
// connections with one goroutine.
type Transport struct {
	account *Account
	cfg     Config
	tls     *tls.Config
	addr    address
	err     error // of the Config

	oversized atomic.Uint64
	broken    atomic.Uint64
	targets   atomic.Int32 // channels that the server takes in one JOIN, once known
}

// New returns a Transport that logs in as account. It starts nothing; what is
// wrong with cfg, which it copies, is said by [Transport.Check] and every Dial.
func New(account *Account, cfg *Config) *Transport {
	t := &Transport{account: account, cfg: cfg.withDefaults()}
	t.addr, t.err = parseAddress(&t.cfg)
	if t.err == nil {
		t.err = t.check()
	}
	t.tls = t.cfg.TLS
	if t.tls == nil {
		t.tls = &tls.Config{}
	}
	if t.tls.ServerName == "" && !t.tls.InsecureSkipVerify {
		t.tls = t.tls.Clone()
		t.tls.ServerName = t.addr.host
	}
	return t
}

// Check returns what is wrong with the Config, an error that wraps [ErrConfig].
func (t *Transport) Check() error { return t.err }

// Account returns the account that the Transport logs in as.
func (t *Transport) Account() *Account { return t.account }

// Skipped counts lines that were not delivered: those longer than
// [Config.MaxLine], and those that are no IRC messages.
func (t *Transport) Skipped() (oversized, broken uint64) {
	return t.oversized.Load(), t.broken.Load()
}

// Key returns the key of a channel as a user writes it: "#Forsen" is "forsen"
// on Twitch. The error says why there can be no such channel. Of a plain IRC
// channel only ASCII letters are folded here; names that are equal by the
// network's CASEMAPPING are found out when they are joined.
func (t *Transport) Key(channel string) (balancer.Key, error) {
	if t.cfg.Profile == Twitch {
		login := strings.ToLower(strings.TrimPrefix(channel, "#"))
		if err := ValidLogin(login); err != nil {
			return "", err
		}
		return balancer.Key(login), nil
	}
	if err := ValidChannel(channel); err != nil {
		return "", err
	}
	return balancer.Key(CaseASCII.Fold(channel)), nil
}

// Balancer returns cfg with what the account and the service ask for where cfg
// leaves it open: KeyCap, Exempt and Limiter.
func (t *Transport) Balancer(cfg *balancer.Config) *balancer.Config {
	c := balancer.Config{Logger: t.cfg.Logger}
	if cfg != nil {
		c = *cfg
	}
	if c.KeyCap == 0 {
		c.KeyCap = t.account.KeyCap()
	}
	if c.Exempt == nil {
		c.Exempt = t.account.Exempt
	}
	if c.Limiter == nil {
		c.Limiter = t.account
		if t.cfg.Profile == Generic && t.cfg.Flood.N > 0 {
			c.Limiter = &joinPace{t: t}
		}
	}
	return &c
}
