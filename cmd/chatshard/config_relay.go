package main

import (
	"crypto/sha256"
	"crypto/tls"
	"net"
	"slices"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
)

// relayConfig is what programs read from over HTTP, and the log behind it.
type relayConfig struct {
	Listen      string          `yaml:"listen"` // host:port
	CertFile    string          `yaml:"cert_file,omitempty"`
	KeyFile     string          `yaml:"key_file,omitempty"`
	Tokens      []relayToken    `yaml:"tokens,omitempty"` // none, in the file neither: everybody who reaches this machine's own address
	TokensFile  string          `yaml:"tokens_file,omitempty"`
	Origins     []string        `yaml:"origins,omitempty"`
	Compress    bool            `yaml:"compress"`
	Stdout      bool            `yaml:"stdout"` // standard output as well
	Log         relayLog        `yaml:"log"`
	NATS        relayNATS       `yaml:"nats"`
	Webhooks    []webhookConfig `yaml:"webhooks,omitempty"`
	DeadLetters string          `yaml:"dead_letters"` // a directory

	fromFile   []relayToken        // of TokensFile
	fileSum    [sha256.Size]byte   // of its content
	tokenNames map[string]position // of Tokens
}

// relayLog is how much is kept.
type relayLog struct {
	Dir      string   `yaml:"dir"` // or none: only what is live, and a little of what was
	MaxAge   duration `yaml:"max_age"`
	MaxBytes size     `yaml:"max_bytes"`
	Buffer   size     `yaml:"buffer"` // what waits while the log cannot be written
}

// relayNATS is an engine in another process, or who may reach our own.
type relayNATS struct {
	URL       string `yaml:"url,omitempty"`    // of another engine
	Listen    string `yaml:"listen,omitempty"` // for NATS clients of the embedded one
	Token     secret `yaml:"token,omitempty"`
	TokenFile string `yaml:"token_file,omitempty"`
	TokenEnv  string `yaml:"token_env,omitempty"`
	Sends     rate   `yaml:"sends,omitempty"` // messages that all of them may ask for; default 300/1m
}

// sends returns the limit, nil for none.
func (n *relayNATS) sends() *balancer.Window {
	switch r := n.Sends; {
	case r.Off:
		return nil
	case r == rate{}:
		var std tokenLimits
		std.defaults()
		return balancer.NewWindow(std.Sends.N, std.Sends.Per)
	default:
		return balancer.NewWindow(r.N, r.Per)
	}
}

const noLog = "none"

func (c *relayConfig) defaults() {
	*c = relayConfig{
		Listen: "127.0.0.1:8787", DeadLetters: "state/dead",
		Log: relayLog{Dir: "state/log", MaxAge: duration(24 * time.Hour), MaxBytes: 1 << 30, Buffer: 64 << 20},
	}
}

// shown returns what may be printed.
func (c *relayConfig) shown() *relayConfig {
	out := *c
	if c.NATS.TokenFile != "" || c.NATS.TokenEnv != "" {
		out.NATS.Token = ""
	}
	out.Webhooks = slices.Clone(c.Webhooks)
	for i := range out.Webhooks {
		out.Webhooks[i] = out.Webhooks[i].shown()
	}
	return &out
}

func (k *checker) relay(c *relayConfig) {
	const path = "relay"
	host, _, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil:
		k.failAt(path+".listen", quote(c.Listen)+" is not an address", "write host:port, as in 127.0.0.1:8787")
	case len(c.Tokens) == 0 && c.TokensFile == "" && !isLoopback(net.JoinHostPort(host, "0")):
		k.failAt(path+".listen", quote(c.Listen)+" can be reached by others, and there are no tokens", "set relay.tokens, or listen on 127.0.0.1")
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		k.failAt(path, "TLS needs both cert_file and key_file", "set both or neither")
	}
	c.CertFile, c.KeyFile = k.where(path+".cert_file").relative(c.CertFile), k.where(path+".key_file").relative(c.KeyFile)
	if c.CertFile != "" && c.KeyFile != "" {
		if _, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
			k.failAt(path+".cert_file", "the certificate cannot be used: "+err.Error(), "check both files; they must be PEM and belong together")
		}
	}
	k.tokens(path, c)
	if c.Log.Dir == "" {
		k.failAt(path+".log.dir", "empty", "name a directory, or write none for no history")
	} else if c.Log.Dir != noLog {
		c.Log.Dir = k.where(path + ".log.dir").relative(c.Log.Dir)
	}
	given, _ := k.secret(path+".nats", "token", &c.NATS.Token, c.NATS.TokenFile, c.NATS.TokenEnv)
	switch {
	case c.NATS.URL != "" && c.NATS.Listen != "":
		k.failAt(path+".nats", "listen is for the embedded engine, and url names another one", "remove one of the two")
	case c.NATS.Listen != "" && given == "":
		k.failAt(path+".nats.listen", "no token for those who connect", "set relay.nats.token_file")
	case c.Log.Dir == noLog && c.NATS != (relayNATS{}):
		k.failAt(path+".nats", "there is no engine without a log", "remove the section, or set relay.log.dir")
	}
	k.webhooks(path, c)
}

// server returns what the configuration makes of the server's own.
func (c *relayConfig) server() *relay.ServerConfig {
	cfg := &relay.ServerConfig{Addr: c.Listen, CertFile: c.CertFile, KeyFile: c.KeyFile, Origins: c.Origins, Compress: c.Compress}
	cfg.Tokens = serverTokens(c.Tokens, c.fromFile)
	return cfg
}
