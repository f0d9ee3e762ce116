package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/chatshard/chatshard/discord"
)

// discordConfig is one bot of Discord. A channel per shard is a guild here.
type discordConfig struct {
	Account          *botConfig      `yaml:"account,omitempty"`
	Intents          intentList      `yaml:"intents"`
	Shards           shardCount      `yaml:"shards"`
	ChannelsPerShard int             `yaml:"channels_per_shard"`
	MaxShardCount    int             `yaml:"max_shard_count"`
	ReshardAt        share           `yaml:"reshard_at"`
	Compression      compression     `yaml:"compression"`
	StateDir         string          `yaml:"state_dir"`
	API              string          `yaml:"api,omitempty"`     // base URL of REST; default Discord's
	Gateway          string          `yaml:"gateway,omitempty"` // URL; default: what the API says
	TLS              tlsConfig       `yaml:"tls"`
	Queue            queueConfig     `yaml:"queue"`
	Channels         []channelConfig `yaml:"channels,omitempty"` // that are output; none: all

	intents discord.Intents
}

// botConfig is a bot's account.
type botConfig struct {
	Name      string `yaml:"name,omitempty"` // what envelopes call it
	Token     secret `yaml:"token,omitempty"`
	TokenFile string `yaml:"token_file,omitempty"`
	TokenEnv  string `yaml:"token_env,omitempty"`
}

func (c *discordConfig) defaults() {
	var s sharding
	s.defaults()
	*c = discordConfig{
		Intents:          discord.IntentsChat.Names(),
		ChannelsPerShard: 1000,
		MaxShardCount:    16,
		ReshardAt:        0.8,
		Compression:      "zlib-stream",
		StateDir:         "state",
		Queue:            s.Queue,
	}
}

func (b *botConfig) defaults() { b.Name = "discord" }

// shown returns what may be printed.
func (c *discordConfig) shown() *discordConfig {
	out := *c
	if c.Account != nil && (c.Account.TokenFile != "" || c.Account.TokenEnv != "") {
		account := *c.Account
		account.Token = ""
		out.Account = &account
	}
	return &out
}

func (k *checker) discord(c *discordConfig) {
	const path = "discord"
	if c.Account == nil {
		c.Account = new(botConfig)
		c.Account.defaults()
		if !k.broken {
			k.failAt(path, "no account", "set discord.account.token_file to a file that holds the bot's token")
		}
	} else {
		k.bot(path+".account", c.Account)
	}
	k.intents(path+".intents", c)
	for _, n := range []struct {
		key   string
		value *int
		most  int
		std   int
		why   string
	}{
		{"channels_per_shard", &c.ChannelsPerShard, maxGuildsPerShard, 1000, ", Discord's limit of guilds on a shard"},
		{"max_shard_count", &c.MaxShardCount, 100_000, 16, ""},
	} {
		p := path + "." + n.key
		if *n.value < 1 || *n.value > n.most {
			if !k.failed(p) {
				k.failAt(p, fmt.Sprintf("%d is out of range", *n.value), fmt.Sprintf("use a number from 1 to %d%s", n.most, n.why))
			}
			*n.value = n.std
		}
	}
	if int(c.Shards) > c.MaxShardCount {
		k.failAt(path+".shards", fmt.Sprintf("%d is more than the %d shards allowed", c.Shards, c.MaxShardCount), "lower it, or raise max_shard_count")
	}
	k.stateDir(path+".state_dir", c)
	k.url(path+".api", c.API, "http", "https", "https://discord.com/api/v10")
	k.url(path+".gateway", c.Gateway, "ws", "wss", "wss://gateway.discord.gg")
	if c.TLS.Off {
		k.failAt(path+".tls", "false does not turn TLS off here", "remove the key: api and gateway say how to connect")
	} else {
		k.tls(path+".tls", &c.TLS)
	}
}

func (k *checker) bot(path string, b *botConfig) {
	if b.Name == "" {
		b.Name = "discord"
	}
	given, ok := k.secret(path, "token", &b.Token, b.TokenFile, b.TokenEnv)
	switch {
	case given == "" && !k.broken:
		k.failAt(path, "no token", "set "+path+".token_file to a file that holds it")
	case given != "" && ok:
		token := strings.TrimPrefix(string(b.Token), "Bot ")
		if why := badBotToken(token); why != "" {
			k.failAt(given, "the token "+why, "use the token alone, as the developer portal shows it under Bot, without quotes or line breaks")
			return
		}
		b.Token = secret(token)
	}
}

// badBotToken says what is wrong with a token; "" if it may be one. It never
// shows the token.
func badBotToken(token string) string {
	if token == "" {
		return "is empty"
	}
	if len(token) > 512 {
		return fmt.Sprintf("is %d characters long, which no token is", len(token))
	}
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return "contains a blank, a line break or a character that no token has"
		}
	}
	return ""
}

// intentNames are all names of intents.
func intentNames() []string {
	var names []string
	for _, name := range discord.Intents(1<<32 - 1).Names() {
		if !strings.HasPrefix(name, "bit ") {
			names = append(names, name)
		}
	}
	return append(names, "chat")
}

func (k *checker) intents(path string, c *discordConfig) {
	if len(c.Intents) == 0 {
		if !k.failed(path) {
			k.failAt(path, "none", "name those that are to be received, as in guilds, guild_messages, message_content, or remove this key")
		}
		return
	}
	for i, name := range c.Intents {
		at := path
		if p := fmt.Sprintf("%s[%d]", path, i); k.where(p) != k.where(path) {
			at = p
		}
		bits, err := discord.ParseIntents([]string{name})
		if err != nil {
			names := intentNames()
			fix := "use some of " + strings.Join(names, ", ")
			if near := nearest(name, names); near != "" {
				fix = "did you mean " + near + "?"
			}
			k.failAt(at, quote(name)+" is no intent", fix)
			continue
		}
		c.intents |= bits
	}
}

// stateDir checks that what is kept over restarts can be kept.
func (k *checker) stateDir(path string, c *discordConfig) {
	if c.StateDir == "" {
		k.failAt(path, "empty", "name a directory: without it each start costs an IDENTIFY per shard")
		return
	}
	c.StateDir = k.where(path).relative(c.StateDir)
	info, err := os.Stat(c.StateDir)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		k.failAt(path, fmt.Sprintf("%s cannot be used: %v", quote(c.StateDir), err), "check the path and its permissions")
	case !info.IsDir():
		k.failAt(path, quote(c.StateDir)+" is not a directory", "name a directory, or move the file away")
	}
}

// url checks an address of the service.
func (k *checker) url(path, text, plain, secure, example string) {
	if what, fix := badURL(text, plain, secure, example); what != "" {
		k.failAt(path, what, fix)
	}
}

// badURL says what is wrong with an address of the service: without TLS it may
// only be this machine's.
func badURL(text, plain, secure, example string) (what, fix string) {
	if text == "" {
		return "", ""
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != plain && u.Scheme != secure || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return quote(text) + " is not a " + secure + " URL", "write one as in " + example
	case u.Scheme == plain && !isLoopback(hostPort(u)):
		return plain + " would send the token unencrypted to " + clipped(u.Host, 60), "write " + secure + "; " + plain + " is for this machine's simulator"
	}
	return "", ""
}

func hostPort(u *url.URL) string {
	if u.Port() == "" {
		return u.Host + ":0"
	}
	return u.Host
}

// client returns what the configuration makes of the library's own.
func (c *discordConfig) client() (*discord.ClientConfig, error) {
	cfg := &discord.ClientConfig{Shards: int(c.Shards), ReshardAt: float64(c.ReshardAt)}
	if c.ReshardAt == 0 {
		cfg.ReshardAt = -1
	}
	cfg.Transport = discord.Config{
		Intents: c.intents, Compression: compressions[c.Compression], Store: discord.FileStore(c.StateDir),
		API: c.API, Gateway: c.Gateway,
	}
	var err error
	if cfg.Transport.TLS, err = c.TLS.client(); err != nil {
		return nil, err
	}
	cfg.Transport.HTTPClient = httpClient(cfg.Transport.TLS)
	cfg.Balancer.ChannelsPerShard, cfg.Balancer.MaxShardCount = c.ChannelsPerShard, c.MaxShardCount
	cfg.Balancer.Reuse = true // an event is encoded before the handler returns
	cfg.Balancer.Queue = c.Queue.balancer()
	return cfg, nil
}

// intentList is written as a list, or as words with commas between.
type intentList []string

func (l *intentList) UnmarshalText(text []byte) error {
	*l = nil
	for word := range strings.SplitSeq(string(text), ",") {
		if word = strings.TrimSpace(word); word != "" {
			*l = append(*l, word)
		}
	}
	return nil
}

// shardCount is a number, or auto, which is 0.
type shardCount int

func (n shardCount) MarshalText() ([]byte, error) {
	if n == 0 {
		return []byte("auto"), nil
	}
	return strconv.AppendInt(nil, int64(n), 10), nil
}

func (n *shardCount) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*n = 0
		return nil
	}
	v, err := strconv.Atoi(string(text))
	if err != nil || v < 1 || v > 100_000 {
		return &valueError{quote(text) + " is no number of shards", "write auto, or a number from 1"}
	}
	*n = shardCount(v)
	return nil
}

// share is a part of a whole, from 0 to 1.
type share float64

func (s share) MarshalText() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(s), 'g', -1, 64), nil
}

func (s *share) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return &valueError{quote(text) + " is not a share", "write a number from 0 to 1, as in 0.8"}
	}
	*s = share(v)
	return nil
}

type compression string

var compressions = map[compression]discord.Compression{
	"zlib-stream": discord.ZlibStream, "zstd-stream": discord.ZstdStream, "none": discord.Uncompressed,
}

func (v *compression) UnmarshalText(text []byte) error {
	return choose(v, text, "zlib-stream", "zstd-stream", "none")
}

// restTimeout is how long a request may take.
const restTimeout = 15 * time.Second

// configReason returns what an error of package discord about a configuration
// says, without whose it is.
func configReason(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), discord.ErrConfig.Error()+": "), "shards: ")
}
