package discord

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
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

// Transport is a [balancer.Transport] of fixed placement for the Discord
// gateway, as one bot. Events have a [*Dispatch] as Data.
type Transport struct {
	token TokenFunc
	cfg   Config
}
