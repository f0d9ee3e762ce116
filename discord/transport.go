package discord

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/chatshard/chatshard/balancer"
)

// Compression is how the gateway compresses what it sends.
type Compression int

// The compressions. ZlibStream costs 40 KiB of memory per connection, ZstdStream
// some 445, and less CPU where a connection is busy.
const (
	ZlibStream Compression = iota
	ZstdStream
	Uncompressed
)

// String returns "zlib-stream", "zstd-stream" or "none".
func (c Compression) String() string {
	switch c {
	case ZlibStream:
		return "zlib-stream"
	case ZstdStream:
		return "zstd-stream"
	}
	return "none"
}

// Config is how a [Transport] connects. Nil and the zero value work.
type Config struct {
	Intents     Intents // default IntentsChat
	Compression Compression

	// LazyKeys leaves Event.Key and Event.ID empty, for a Handler that goes by
	// the type of an event alone: they are looked for only while shards are
	// resized, and by [Dispatch.GuildID] and its like.
	LazyKeys bool

	Presence *Presence // shown when a shard has identified; default: online

	// Store keeps sessions and the count of IDENTIFYs over restarts. Default:
	// none, and each start costs an IDENTIFY per shard.
	Store      Store
	SessionAge time.Duration // older stored sessions are not tried; default 3 min

	// Identify paces IDENTIFYs of the account over all processes; default: an
	// Identifier of this Transport's own, which goes by /gateway/bot and Store.
	Identify balancer.Limiter

	API         string       // base of the REST API; default "https://discord.com/api/v10"
	Gateway     string       // URL of the gateway; default: what /gateway/bot gives
	HTTPClient  *http.Client // for the REST API; default: one with a timeout of 15 s
	TLS         *tls.Config  // of the gateway; default: the system's roots
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	DialTimeout  time.Duration // to connect and upgrade; default 15 s
	HelloTimeout time.Duration // from there to HELLO; default 20 s
	ReadyTimeout time.Duration // from IDENTIFY or RESUME to the answer; default 30 s
	GuildTimeout time.Duration // without any guild becoming available, after which the rest are given up; default 10 s
	WriteTimeout time.Duration // for Discord to take in what is written; default 10 s

	Logger zerolog.Logger // default: disabled
}

// Presence is how the bot appears (op 3).
type Presence struct {
	Status string // "online", "dnd", "idle" or "invisible"
	Text   string // of a custom status; "": none
	AFK    bool
}

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	} else {
		d.Logger = zerolog.Nop()
	}
	if d.Intents == 0 {
		d.Intents = IntentsChat
	}
	if d.API == "" {
		d.API = defaultAPI
	}
	if d.DialContext == nil {
		d.DialContext = new(net.Dialer).DialContext
	}
	def := func(v *time.Duration, t time.Duration) {
		if *v <= 0 {
			*v = t
		}
	}
	def(&d.SessionAge, 3*time.Minute)
	def(&d.DialTimeout, 15*time.Second)
	def(&d.HelloTimeout, 20*time.Second)
	def(&d.ReadyTimeout, 30*time.Second)
	def(&d.GuildTimeout, 10*time.Second)
	def(&d.WriteTimeout, 10*time.Second)
	return d
}

// Transport is a [balancer.Transport] of fixed placement for the Discord
// gateway, as one bot. Its connections are [balancer.Prober]s. Events have a
// [*Dispatch] as Data, whose payload stands in memory shared with others: to keep
// one keeps a block of 64 KiB alive, [Dispatch.Clone] makes a copy that stands
// alone. An event of type [Available] says when a shard is ready for traffic.
//
// A connection is one goroutine, that which reads it, and a timer that sends
// heartbeats. While it waits it holds no buffer.
type Transport struct {
	token   TokenFunc
	cfg     Config
	rest    rest
	limiter balancer.Limiter // for IDENTIFYs
	own     *Identifier      // limiter, if it is the Transport's own
	turns   turns

	identified, resumed atomic.Int64

	asking   chan struct{} // holds a token while one asks /gateway/bot; others wait for it
	fresh    chan struct{} // has one when a session began by IDENTIFY: it is worth to be stored at once
	starting sync.Mutex    // held by the one that reads what is stored; others wait for it
	started  bool

	mu      sync.Mutex // guards all below
	shards  map[balancer.ShardID]*shardState
	stored  map[[2]int]Record           // of an earlier process, by shard and count
	gone    map[[2]int]Record           // those that were not fit to be resumed
	begun   map[balancer.ShardID]Record // sessions of which the Balancer has not heard yet
	gateway GatewayInfo
	dooms   map[int]doom // by shard count; 0: whatever the count

	unknown   error // of the last time that /gateway/bot did not answer
	unknownAt time.Time
}

// New returns a Transport for the bot with that token. It starts nothing and
// copies cfg.
func New(token TokenFunc, cfg *Config) *Transport {
	t := &Transport{token: token, cfg: cfg.withDefaults(), asking: make(chan struct{}, 1), fresh: make(chan struct{}, 1), shards: make(map[balancer.ShardID]*shardState), begun: make(map[balancer.ShardID]Record)}
	t.rest = rest{base: t.cfg.API, token: token, client: t.cfg.HTTPClient}
	t.limiter = t.cfg.Identify
	if t.limiter == nil {
		t.own = NewIdentifier(&IdentifierConfig{Store: t.cfg.Store, Logger: t.cfg.Logger})
		t.limiter = t.own
	}
	return t
}

// Place implements [balancer.Placer]: (guild_id >> 22) % count.
func (t *Transport) Place(k balancer.Key, count int) int { return Place(string(k), count) }

// Balancer returns cfg with what Discord asks for where cfg leaves it open:
// ChannelsPerShard is the guilds that a shard may have, 1000 by default, and
// DialTimeout none, since a Dial may wait for the day's IDENTIFYs.
func (t *Transport) Balancer(cfg *balancer.Config) *balancer.Config {
	c := balancer.Config{Logger: t.cfg.Logger}
	if cfg != nil {
		c = *cfg
	}
	if c.ChannelsPerShard == 0 {
		c.ChannelsPerShard = defaultGuildsPerShard
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = -1
	}
	return &c
}

const defaultGuildsPerShard = 1000

// Identifies returns how many IDENTIFYs and RESUMEs have succeeded or, for the
// former, were sent at least.
func (t *Transport) Identifies() (identifies, resumes int64) {
	return t.identified.Load(), t.resumed.Load()
}

// Store returns Config.Store.
func (t *Transport) Store() Store { return t.cfg.Store }

// Budget returns what is known of the day's IDENTIFYs. ok is false where
// Config.Identify keeps them.
func (t *Transport) Budget() (s IdentifyStatus, ok bool) {
	if t.own == nil {
		return s, false
	}
	return t.own.Status(), true
}

// shard returns what is remembered of a shard.
func (t *Transport) shard(id balancer.ShardID) *shardState {
	t.mu.Lock()
	defer t.mu.Unlock()
	sh := t.shards[id]
	if sh == nil {
		sh = &shardState{dialling: make(chan struct{}, 1)}
		t.shards[id] = sh
	}
	return sh
}

// infoFor is for how long what /gateway/bot said is gone by: it "should not be
// cached for extended periods" (events/gateway).
const infoFor = 5 * time.Minute

// unknownFor is for how long nobody asks again when /gateway/bot did not answer.
const unknownFor = 2 * time.Second

// info returns what /gateway/bot says.
func (t *Transport) info(ctx context.Context) (GatewayInfo, error) {
	g, ok := t.infoKnown()
	if ok {
		return g, nil
	}
	select {
	case t.asking <- struct{}{}:
		defer func() { <-t.asking }()
	case <-ctx.Done():
		return g, ctx.Err()
	}
	if g, ok = t.infoKnown(); ok { // somebody else has asked
		return g, nil
	}
	t.mu.Lock()
	failed, at := t.unknown, t.unknownAt
	t.mu.Unlock()
	if failed != nil && time.Since(at) < unknownFor {
		return g, failed // those who waited for the answer get it as well
	}
	fresh, err := t.rest.gateway(ctx)
	if err != nil && ctx.Err() == nil {
		t.mu.Lock()
		t.unknown, t.unknownAt = err, time.Now()
		t.mu.Unlock()
	}
	switch {
	case errors.Is(err, ErrToken):
		return g, never(err)
	case err != nil && !g.At.IsZero() && ctx.Err() == nil:
		return g, nil // better than nothing; the own count goes on
	case err != nil:
		return g, err
	}
	t.mu.Lock()
	t.gateway = fresh
	t.mu.Unlock()
	if u, ok := t.limiter.(interface{ Update(GatewayInfo) }); ok {
		u.Update(fresh)
	}
	return fresh, nil
}

// infoKnown returns what /gateway/bot said last, and whether that is still good.
func (t *Transport) infoKnown() (g GatewayInfo, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.gateway, !t.gateway.At.IsZero() && time.Since(t.gateway.At) < infoFor
}

// gatewayURL returns the gateway's own address, for an IDENTIFY or where a
// session's host cannot be reached.
func (t *Transport) gatewayURL() string {
	if t.cfg.Gateway != "" {
		return t.cfg.Gateway
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gateway.URL != "" {
		return t.gateway.URL
	}
	return defaultGateway
}

const defaultGateway = "wss://gateway.discord.gg"

// outcome tells the limiter what became of an IDENTIFY.
func (t *Transport) outcome(id balancer.ShardID, err error) {
	o, ok := t.limiter.(interface {
		Ready(balancer.ShardID)
		Failed(balancer.ShardID, error)
	})
	switch {
	case !ok:
	case err == nil:
		o.Ready(id)
	default:
		o.Failed(id, err)
	}
}

// doom is an answer to an IDENTIFY that every other shard would get as well.
type doom struct {
	err   *balancer.ConnError
	token string
}

// doom keeps an answer that is final for the bot, or for its number of shards.
func (t *Transport) doom(id balancer.ShardID, token Secret, ce *balancer.ConnError) {
	if ce.Retry != balancer.Never {
		return
	}
	count := 0
	if errors.Is(ce, ErrSharding) {
		count = id.Count
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dooms == nil {
		t.dooms = make(map[int]doom)
	}
	t.dooms[count] = doom{ce, token.Reveal()}
}

// doomed returns the answer that a shard would get, nil if that is not known or
// the token is another one now.
func (t *Transport) doomed(ctx context.Context, id balancer.ShardID) error {
	t.mu.Lock()
	d, ok := t.dooms[0]
	if !ok {
		d, ok = t.dooms[id.Count]
	}
	t.mu.Unlock()
	if !ok {
		return nil
	}
	token, err := t.token(ctx)
	if err != nil || token.Reveal() == d.token {
		return d.err
	}
	return nil
}

// turns let one shard per lane connect to IDENTIFY at a time.
type turns struct {
	mu    sync.Mutex // guards lanes
	lanes map[lane]chan struct{}
}

// wait waits for the lane's turn and returns what passes it on, which may be
// called more than once.
func (t *turns) wait(ctx context.Context, l lane) (pass func(), err error) {
	t.mu.Lock()
	turn := t.lanes[l]
	if turn == nil {
		if t.lanes == nil {
			t.lanes = make(map[lane]chan struct{})
		}
		turn = make(chan struct{}, 1)
		t.lanes[l] = turn
	}
	t.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return sync.OnceFunc(func() { <-turn }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
