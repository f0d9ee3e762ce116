package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/channels"
	"github.com/chatshard/chatshard/irc"
	"github.com/rs/zerolog"
)

// carrier is one account of Twitch or one IRC network: a Balancer, and the
// channels that it carries.
type carrier struct {
	name      string // for people: twitch account "bot"
	platform  channels.Platform
	account   string // its configured name; the network's on IRC
	client    *irc.Client
	transport *irc.Transport        // of client
	balancer  *balancer.Balancer    // likewise
	config    *irc.ClientConfig     // that client was made with
	encoder   *encoder              // nil: it sends alone
	sharding  *sharding             // as configured
	ended     atomic.Pointer[error] // why it carries nothing any more

	carried map[channels.Name]balancer.Key // used by who has the roster's turn
	noted   func([]balancer.Key)           // told of all wanted channels before they are joined; may be nil
	exempt  exemptions
}

// exemptions are the channels that do not count towards an account's cap. They
// change while the relay runs. Safe for concurrent use.
type exemptions struct {
	mu   sync.Mutex // guards keys
	keys map[balancer.Key]bool
}

func (x *exemptions) has(k balancer.Key) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.keys[k]
}

func (x *exemptions) set(k balancer.Key, exempt bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !exempt {
		delete(x.keys, k)
		return
	}
	if x.keys == nil {
		x.keys = make(map[balancer.Key]bool)
	}
	x.keys[k] = true
}

// newSender returns a carrier of no channel for the account that sends on Twitch
// instead of those that read; nil if there is none, or nobody asks to send.
func newSender(c *config, log zerolog.Logger) (*carrier, error) {
	if c.Relay == nil || c.Twitch == nil || c.Twitch.Sender == nil {
		return nil, nil
	}
	a := c.Twitch.Sender
	k := &carrier{name: fmt.Sprintf("twitch sender %q", a.Name), platform: channels.Twitch, account: a.Name}
	account := irc.NewAccount(a.Login, tokenOf(a.Token), &irc.AccountConfig{Verified: a.Verified, Limits: ircLimitsOf(c.Twitch.limitsOf(a))})
	one := sharding{ChannelsPerShard: 1, MaxShardCount: 1, InitialShardCount: 1}
	if err := k.connect(&irc.Config{WebSocket: c.Twitch.WebSocket}, account, &c.Twitch.endpoint, &one, log); err != nil {
		return nil, err
	}
	return k, nil
}

// newCarriers returns a carrier for each account of the Twitch pool and for
// each IRC network.
func newCarriers(c *config, cursor *cursor, log zerolog.Logger) ([]*carrier, error) {
	var all []*carrier
	if c.Twitch != nil {
		var anonymous *irc.Account // Twitch sees one, however many are configured
		for _, a := range c.Twitch.pool() {
			k := &carrier{name: fmt.Sprintf("twitch account %q", a.Name), platform: channels.Twitch, account: a.Name}
			account := anonymous
			if account == nil || !a.anonymous() {
				account = irc.NewAccount(a.Login, tokenOf(a.Token), &irc.AccountConfig{
					Verified: a.Verified, Limits: ircLimitsOf(c.Twitch.limitsOf(&a)), Exempt: k.exempt.has,
				})
			}
			if a.anonymous() {
				anonymous = account
			}
			cfg := irc.Config{WebSocket: c.Twitch.WebSocket}
			if err := k.connect(&cfg, account, &c.Twitch.endpoint, &c.Twitch.sharding, log); err != nil {
				return nil, err
			}
			k.encoder = &encoder{platform: "twitch", account: a.Name, cursor: cursor, now: now}
			all = append(all, k)
		}
	}
	for _, network := range c.networks() {
		n := c.IRC[network]
		k := &carrier{name: fmt.Sprintf("irc network %q", network), platform: channels.IRC, account: network}
		login, cfg := "", irc.Config{
			Profile: irc.Generic, Nick: n.Nick, User: n.User, RealName: n.RealName, Password: tokenOf(n.Password),
		}
		var password irc.TokenFunc
		if n.SASL != nil {
			login, password = n.SASL.User, tokenOf(n.SASL.Password)
			cfg.SASL = strings.ToUpper(string(n.SASL.Mechanism))
		}
		account := irc.NewIRCAccount(login, password, &irc.AccountConfig{Limits: ircLimitsOf(n.Limits)})
		if err := k.connect(&cfg, account, &n.endpoint, &n.sharding, log); err != nil {
			return nil, err
		}
		k.encoder = &encoder{platform: "irc", network: network, account: n.account(), cursor: cursor, now: now}
		all = append(all, k)
	}
	return all, nil
}

// account is what envelopes call the account of a network.
func (c *ircConfig) account() string {
	if c.SASL != nil && c.SASL.User != "" {
		return c.SASL.User
	}
	return strings.ReplaceAll(c.Nick, "{shard}", "")
}

// connect makes the carrier's Transport and Balancer. Nothing is dialled yet.
func (k *carrier) connect(cfg *irc.Config, account *irc.Account, e *endpoint, s *sharding, log zerolog.Logger) error {
	log = log.With().Str("platform", string(k.platform)).Str("account", k.account).Logger()
	k.sharding = s
	cfg.Address, cfg.Plain, cfg.Proxy, cfg.Logger = e.Address, e.TLS.Off, string(e.Proxy), log
	if cfg.WebSocket {
		cfg.Address = "wss://" + e.Address
		if e.TLS.Off {
			cfg.Address = "ws://" + e.Address
		}
	}
	var err error
	if cfg.TLS, err = e.TLS.client(); err != nil {
		return fmt.Errorf("%s: %w", k.name, err)
	}
	k.config = &irc.ClientConfig{Transport: *cfg, Balancer: *s.balancer(log)}
	k.client = irc.NewClient(account, k.config)
	k.transport, k.balancer = k.client.Transport(), k.client.Balancer()
	if err := k.transport.Check(); err != nil {
		return fmt.Errorf("%s: %w", k.name, err)
	}
	k.carried = make(map[channels.Name]balancer.Key)
	return nil
}

// client returns the settings of a TLS connection; nil for the standard ones.
func (t tlsConfig) client() (*tls.Config, error) {
	if t == (tlsConfig{}) || t.Off {
		return nil, nil
	}
	cfg := &tls.Config{ServerName: t.ServerName, InsecureSkipVerify: t.Insecure}
	if t.CAFile != "" {
		pem, err := readFile(t.CAFile, 16*maxSecretFile)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file %s %w", t.CAFile, err)
		}
		cfg.RootCAs = x509.NewCertPool()
		cfg.RootCAs.AppendCertsFromPEM([]byte(pem))
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls.cert_file: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}

func (s *sharding) balancer(log zerolog.Logger) *balancer.Config {
	cfg := &balancer.Config{
		ChannelsPerShard:  s.ChannelsPerShard,
		MaxShardCount:     s.shards(),
		InitialShardCount: s.InitialShardCount,
		Reuse:             true, // an event is encoded before the handler returns
		Queue:             s.Queue.balancer(),
		Logger:            log,
	}
	switch s.Policy {
	case "single":
		cfg.Policy = balancer.Single
	case "weighted":
		cfg.Policy = balancer.Weighted
	}
	return cfg
}

func (q queueConfig) balancer() balancer.QueueConfig {
	cfg := balancer.QueueConfig{Bytes: int(q.Bytes), BlockFor: time.Duration(q.BlockFor)}
	if q.WhenFull == "drop_oldest" {
		cfg.WhenFull = balancer.DropOldest
	}
	return cfg
}

// tokenOf returns nil for no secret.
func tokenOf(s secret) irc.TokenFunc {
	if s == "" {
		return nil
	}
	return irc.FixedToken(string(s))
}

func ircLimitsOf(l limitsConfig) irc.Limits {
	conv := func(r rate) irc.Rate {
		if r.Off {
			return irc.Rate{N: -1}
		}
		return irc.Rate{N: r.N, Per: r.Per}
	}
	return irc.Limits{Joins: conv(l.Joins), Logins: conv(l.Logins), Sends: conv(l.Sends)}
}

// carry makes the carrier carry exactly those channels of set that are its own.
func (k *carrier) carry(set channels.Set, own func(channels.Name) bool, log zerolog.Logger) {
	var join, part []balancer.Key
	kept := make(map[channels.Name]balancer.Key, len(k.carried))
	for e := range set.All() {
		n := e.Name
		if e.Settings.Disabled || !own(n) {
			continue
		}
		key, have := k.carried[n]
		if !have {
			var err error
			if key, err = k.transport.Key(n.Channel); err != nil {
				log.Warn().Stringer("key", n).Err(err).Msg("channel left out")
				continue
			}
			join = append(join, key)
		}
		k.exempt.set(key, e.Settings.CapExempt)
		kept[n] = key
	}
	wanted := make(map[balancer.Key]bool, len(kept)) // two names of a network may be one channel
	for _, key := range kept {
		wanted[key] = true
	}
	for _, key := range k.carried {
		if !wanted[key] {
			part = append(part, key)
			k.exempt.set(key, false)
		}
	}
	k.carried = kept
	if len(join)+len(part) > 0 {
		log.Info().Str("account", k.account).Int("join", len(join)).Int("part", len(part)).Msg("channels wanted")
	}
	if k.noted != nil {
		k.noted(slices.Collect(maps.Keys(wanted)))
	}
	k.balancer.Part(part...)
	k.balancer.Join(join...)
}

func (k *carrier) who() string                     { return k.account }
func (k *carrier) drain(ctx context.Context) error { return k.balancer.Drain(ctx) }

// run relays until the Balancer is drained, ctx ends, or the service turns the
// account away.
func (k *carrier) run(ctx context.Context, out sink) error {
	err := k.client.Run(ctx, func(_ context.Context, e balancer.Event) {
		if k.encoder != nil {
			out.write(k.encoder, e, nil)
		}
	})
	var login *irc.LoginError
	switch {
	case errors.As(err, &login):
		err = fmt.Errorf("%s: %w", k.name, login) // on every shard
	case err != nil:
		err = fmt.Errorf("%s: %w", k.name, err)
	default:
		return nil
	}
	k.ended.Store(&err)
	return err
}
