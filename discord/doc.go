// Package discord is a [balancer.Transport] for the Discord gateway, and what a
// bot of any size needs around it: sessions that outlive the process, IDENTIFYs
// that are never wasted, and a number of shards that can change while it runs.
//
// # Use
//
//	bot := discord.NewClient(discord.FixedToken(token), &discord.ClientConfig{
//		Transport: discord.Config{Store: discord.FileStore("state")},
//	})
//	err := bot.Run(ctx, (&discord.Handlers{
//		Message: func(ctx context.Context, e balancer.Event, m *discord.Message) { … },
//	}).Handle)
//
// A [Client] is a [Transport] and a [balancer.Balancer]; the two can be used
// without it. Events have a [*Dispatch] as Data: the payload as it was received,
// with what it is about found by scanning. [Dispatch.Decode] decodes it, into
// structs of this package, discordgo's or disgo's. [Handlers] decodes what there
// is a func for and nothing else.
//
// # Resume first
//
// A session is given up only for what Discord answered (op 9 with d false, or a
// close code that says so), or after three RESUMEs without an answer: never
// because a host could not be reached. The host of READY is tried first, the
// gateway's own address after that, turn by turn. Every connection that this
// package ends it ends with a close code that keeps the session, except where a
// shard is given up for good. With a [Store], the session of each shard is saved
// with the sequence number that was acknowledged last: a process that is started
// again resumes every shard, and what it had received and not handled comes
// again. A session is stored soon after it began, for a process that crashes as
// it starts, and a stop waits a few seconds for one whose IDENTIFY has been sent.
// What a session cost that could not be resumed is told by a [balancer.Gap], over
// restarts too.
//
// # IDENTIFY
//
// An [Identifier] lets IDENTIFYs through: one per 5 s and key shard_id %
// max_concurrency, as many a day as /gateway/bot and the count on disk allow,
// with a floor that starts and resharding leave to reconnects, and a breaker
// that holds back a crash loop, over restarts of the process. One shard per key
// connects at a time, shortly before its IDENTIFY is due: no connection waits
// for long without a session, and a silent server holds up nobody for longer
// than the deadlines of [Config]. An answer that all shards would get (a bad
// token, intents, the number of shards) is asked for once.
//
// # Resharding
//
// [Client.Resize] starts a new generation beside the old one; package balancer
// says how one takes over from the other. What it needs to know comes from here:
// a shard is ready when its guilds have become available or were waited for in
// vain ([Available]); both generations are asked for a heartbeat's answer before
// anything is believed of them; an interaction is delivered at once, whichever
// generation it came over first. Events are known by the service's ID where that
// comes once in a life, and by a hash of their payload elsewhere. An edit is
// known by its payload although it has a time: Discord sends it again with that
// same time when links were unfurled, and nothing that is not a copy may be taken
// for one.
//
// # Decisions
//
//   - Heartbeats are a timer's, and wait for nothing but a write under way. A
//     connection is dead if a heartbeat was not answered and nothing else came
//     either while it was being read: a Handler that blocks is no dead peer, and
//     neither is a gateway that forgets ACKs but delivers events.
//   - Of 120 payloads a minute heartbeats keep what they need; op 1 is answered at
//     once, but once in a second at most.
//   - What is compressed is inflated straight from the WebSocket's frames. The end
//     of a payload is told to the decompressor by a panic that is caught here:
//     decompressors keep an error for good, and get one where 32 KiB, their
//     window, end exactly with a message (inflate.go).
//   - The WebSocket library connects and writes. Its reader cannot be interrupted,
//     copies once more and allocates for each message, so frames are read here
//     (frames.go), and only messages that are there are begun (socket.go). A
//     connection that waits holds no buffer and is one goroutine.
//   - crypto/tls keeps the memory of the largest record for as long as a connection
//     lives: 36 KiB after one GUILD_CREATE, more than all else that an idle shard
//     takes. It is taken out while the connection waits (socket_raw.go), with
//     unsafe and only where the fields are what they were; a test tells when they
//     are not, and nothing else changes then.
//   - zlib-stream is the default: 40 KiB per connection against 445 for zstd-stream.
//   - Where stored sessions are of another number of shards than is asked for,
//     they are resumed and then resharded, so that a restart with another number
//     loses nothing either.
//   - Damage within a string of an uncompressed or deflated payload cannot be
//     seen; TLS would.
//
// # Goroutines
//
// A connection starts none: it is read by the Balancer's goroutine, and its
// timers end with it. [Client.Run] starts two, one that saves sessions and one
// that looks whether shards are full, and waits for both.
//
// # Size
//
// The package is larger than 3,000 lines because three things that could stand
// alone share the session and its secrets, which are not exported: the gateway,
// the budget of IDENTIFYs with what is stored, and the types that events decode
// into with the cache that reads them.
package discord
