package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chatshard/chatshard/channels"
)

// config is the configuration file, version 1, as "chatshard config init"
// explains it. loadConfig fills in defaults, so that what stands here is in
// force; the fields below the line are what it made of the rest.
type config struct {
	Version      int                   `yaml:"version"`
	Log          logConfig             `yaml:"log"`
	Twitch       *twitchConfig         `yaml:"twitch,omitempty"`  // nil: no Twitch
	IRC          map[string]*ircConfig `yaml:"irc,omitempty"`     // by the network's name in irc:NETWORK/#channel
	Discord      *discordConfig        `yaml:"discord,omitempty"` // nil: no Discord
	ChannelsFile string                `yaml:"channels_file,omitempty"`
	Output       outputConfig          `yaml:"output"`
	Relay        *relayConfig          `yaml:"relay,omitempty"` // nil: standard output alone

	listed   channels.Set // the channels of all sections, in their order
	wanted   channels.Set // those of the channels file as well
	onTwitch channels.Assignment
}

type logConfig struct {
	Level  logLevel  `yaml:"level"`
	Format logFormat `yaml:"format"`
}

type outputConfig struct {
	Format outputFormat `yaml:"format"`
}

// endpoint says where and how to connect.
type endpoint struct {
	Address string    `yaml:"address"` // host:port
	TLS     tlsConfig `yaml:"tls"`
	Proxy   proxyURL  `yaml:"proxy,omitempty"`
}

// tlsConfig is written as true, false, or a mapping that implies true.
type tlsConfig struct {
	Off        bool   `yaml:"-"`
	CAFile     string `yaml:"ca_file,omitempty"`     // PEM, in place of the system's authorities
	ServerName string `yaml:"server_name,omitempty"` // default: the host of the address
	CertFile   string `yaml:"cert_file,omitempty"`   // client certificate
	KeyFile    string `yaml:"key_file,omitempty"`
	Insecure   bool   `yaml:"insecure,omitempty"` // does not verify the server; for tests
}

// sharding says how channels are spread over connections. The caps hold for
// each account and each network by itself.
type sharding struct {
	ChannelsPerShard  int          `yaml:"channels_per_shard"`
	MaxShardCount     int          `yaml:"max_shard_count"`
	InitialShardCount int          `yaml:"initial_shard_count"`
	Policy            policyName   `yaml:"policy"`
	Limits            limitsConfig `yaml:"limits"`
	Queue             queueConfig  `yaml:"queue"`
}

// limitsConfig is what an account or a network allows.
type limitsConfig struct {
	Joins  rate `yaml:"joins"`
	Logins rate `yaml:"logins"`
	Sends  rate `yaml:"sends"`
}

// queueConfig is the queue of one shard between its socket and the output.
type queueConfig struct {
	Bytes    size     `yaml:"bytes"`
	WhenFull whenFull `yaml:"when_full"`
	BlockFor duration `yaml:"block_for"`
}

type twitchConfig struct {
	endpoint  `yaml:",inline"`
	WebSocket bool            `yaml:"websocket"`
	Account   *accountConfig  `yaml:"account,omitempty"`  // one account, or
	Accounts  []accountConfig `yaml:"accounts,omitempty"` // a pool; neither: anonymous
	Sender    *accountConfig  `yaml:"sender,omitempty"`   // sends instead of the account that reads
	sharding  `yaml:",inline"`
	Channels  []channelConfig `yaml:"channels,omitempty"`
}

// accountConfig is a Twitch account; one without a login is anonymous.
type accountConfig struct {
	Name      string `yaml:"name,omitempty"` // what channels call it; default: the login
	Login     string `yaml:"login"`
	Token     secret `yaml:"token,omitempty"` // without "oauth:", once loaded
	TokenFile string `yaml:"token_file,omitempty"`
	TokenEnv  string `yaml:"token_env,omitempty"`
	Verified  bool   `yaml:"verified"`
}

func (a *accountConfig) anonymous() bool { return a.Login == "" }

// cap is how many channels the account may have joined at once; 0: no cap.
func (a *accountConfig) cap() int {
	if a.anonymous() {
		return 0
	}
	return channels.TwitchCap
}

type ircConfig struct {
	endpoint     `yaml:",inline"`
	Nick         string      `yaml:"nick"` // {shard} stands for the shard's number
	User         string      `yaml:"user"`
	RealName     string      `yaml:"realname"`
	Password     secret      `yaml:"password,omitempty"` // the server's, sent as PASS
	PasswordFile string      `yaml:"password_file,omitempty"`
	PasswordEnv  string      `yaml:"password_env,omitempty"`
	SASL         *saslConfig `yaml:"sasl,omitempty"`
	sharding     `yaml:",inline"`
	Channels     []channelConfig `yaml:"channels,omitempty"`
}

type saslConfig struct {
	Mechanism    mechanism `yaml:"mechanism"`
	User         string    `yaml:"user,omitempty"`
	Password     secret    `yaml:"password,omitempty"`
	PasswordFile string    `yaml:"password_file,omitempty"`
	PasswordEnv  string    `yaml:"password_env,omitempty"`
}

// channelConfig is written as a name, or as a mapping with more. The name is
// the service's own (forsen, "#go") or a qualified one (twitch:forsen).
type channelConfig struct {
	Name      string `yaml:"name"`
	Account   string `yaml:"account,omitempty"`
	CapExempt bool   `yaml:"cap_exempt,omitempty"`
	Enabled   bool   `yaml:"enabled"`
}

// A type with defaults has them before its mapping is read.
type defaulter interface{ defaults() }

func (c *config) defaults() {
	c.Log = logConfig{Level: "info", Format: "auto"}
	c.Output = outputConfig{Format: "ndjson"}
}

func (s *sharding) defaults() {
	*s = sharding{
		ChannelsPerShard:  50,
		InitialShardCount: 1,
		Policy:            "distributed",
		Queue:             queueConfig{Bytes: 1 << 20, WhenFull: "block", BlockFor: duration(30 * time.Second)},
	}
}

func (c *twitchConfig) defaults() {
	c.sharding.defaults()
	c.MaxShardCount = 20
}

func (c *ircConfig) defaults()     { c.sharding.defaults() }
func (c *saslConfig) defaults()    { c.Mechanism = "plain" }
func (c *channelConfig) defaults() { c.Enabled = true }

// The services' limits, with a margin: Twitch counts 20 JOINs and 20 logins in
// 10 s and 20 messages in 30 s, for verified accounts 2000, 200 and 7500.
var (
	twitchLimits = limitsConfig{
		Joins:  rate{N: 20, Per: 11 * time.Second},
		Logins: rate{N: 18, Per: 11 * time.Second},
		Sends:  rate{N: 20, Per: 32 * time.Second},
	}
	verifiedLimits = limitsConfig{
		Joins:  rate{N: 2000, Per: 11 * time.Second},
		Logins: rate{N: 180, Per: 11 * time.Second},
		Sends:  rate{N: 7500, Per: 32 * time.Second},
	}
	ircLimits = limitsConfig{
		Joins:  rate{N: 10, Per: 20 * time.Second},
		Logins: rate{N: 1, Per: 5 * time.Second},
		Sends:  rate{N: 10, Per: 20 * time.Second},
	}
)

// or returns l with what is left to us taken from d.
func (l limitsConfig) or(d limitsConfig) limitsConfig {
	pick := func(r, d rate) rate {
		if r == (rate{}) {
			return d
		}
		return r
	}
	return limitsConfig{Joins: pick(l.Joins, d.Joins), Logins: pick(l.Logins, d.Logins), Sends: pick(l.Sends, d.Sends)}
}

// limitsOf returns the limits in force for one account.
func (c *twitchConfig) limitsOf(a *accountConfig) limitsConfig {
	if a.Verified {
		return c.Limits.or(verifiedLimits)
	}
	return c.Limits.or(twitchLimits)
}

// pool returns the accounts that read; loadConfig has made sure that there is
// one and that each has a name of its own.
func (c *twitchConfig) pool() []accountConfig {
	if c.Account != nil {
		return []accountConfig{*c.Account}
	}
	return c.Accounts
}

// shards returns how many connections an account or network may have.
func (s *sharding) shards() int {
	if s.Policy == "single" {
		return 1
	}
	return s.MaxShardCount
}

// networks returns the names of the IRC networks in order.
func (c *config) networks() []string {
	var names []string
	for name := range c.IRC {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// source returns the wanted channels of all platforms: those listed in the
// configuration, and those of the channels file if there is one. Settings in
// the configuration take precedence.
func (c *config) source(onError func(error)) channels.Source {
	if c.ChannelsFile == "" {
		return channels.Fixed(c.listed)
	}
	return channels.Merged(channels.Fixed(c.listed), channels.File{Path: c.ChannelsFile, OnError: onError})
}

// position says where a value was written: in a file, or in an environment
// variable, which has no lines.
type position struct {
	file      string
	line, col int
}

func (p position) String() string {
	if p.line == 0 {
		return "environment variable " + p.file
	}
	return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.col)
}

// relative returns a path written at p: in a file it is relative to that file.
func (p position) relative(path string) string {
	if path == "" || p.line == 0 || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(p.file), path)
}

// problem is one thing wrong with a configuration.
type problem struct {
	at       position
	what     string // "key: what: why"
	fix      string // what to do
	capacity bool   // more is wanted than caps allow; "chatshard plan" shows it in full
}

func (p problem) String() string { return fmt.Sprintf("%v: %s; %s", p.at, p.what, p.fix) }

// configError is everything wrong with a configuration, in the order of the file.
type configError []problem

func (e configError) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// without returns the problems that are not for lack of capacity.
func (e configError) without() configError {
	return slices.DeleteFunc(slices.Clone(e), func(p problem) bool { return p.capacity })
}
