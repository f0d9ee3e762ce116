// Package discordtest is a fake Discord, gateway and the REST calls that
// gateway clients need, in the spirit of net/http/httptest: test a bot against
// it with no network, no token and, in a testing/synctest bubble, no real time.
//
//	s := discordtest.New(nil)
//	defer s.Close()
//	bot.Dialer = s.DialContext // any client that takes a custom dialer
//	…
//	s.Publish("", s.Guilds("")[0], discordtest.Message(0, "ann", "!hello"))
//
// A server listens nowhere until it is told to: [Server.DialContext] connects
// in memory, [Server.Listen] and [Server.ListenTLS] open ports for clients in
// any language. REST and gateway share a port; /gateway/bot says where the
// gateway is.
//
// # What it enforces
//
// Per key (shard_id % max_concurrency) one IDENTIFY in 5 s, else op 9; a daily
// budget, at whose end the token is dead: all sessions end and 4004 answers
// everything. Shard numbers and large bots' multiples (4010), 2,500 guilds a
// shard (4011), intents (4013, 4014), versions (4012), 120 sends in 60 s
// (4008), 4,096 bytes (4002), heartbeats: 1.5 intervals of silence are 4009.
// Op 8 for all members: one in 30 s per guild and bot, else RATE_LIMITED. REST:
// 5 requests in 5 s per channel and route, 50 a second per bot. Intents filter
// events and blank what MESSAGE_CONTENT would show. Whatever a client does
// against the rules is counted: [Server.Violations].
//
// # Sessions
//
// A session keeps its last events in a replay buffer, the size of which follows
// the only formula that Discord ever told: max(100, min(3500, 75 * guilds)). It
// lives on for [Config.SessionLife] without a connection, unless the client
// closed with 1000 or 1001. RESUME replays what came after the client's seq,
// then sends RESUMED, and costs no budget; a seq that the buffer does not reach
// is op 9, one from the future 4007. Sessions are independent: several with one
// [shard_id, num_shards], or with several num_shards, each get every event.
// READY's guilds are unavailable and become available by and by; until then a
// session gets none of a guild's events.
//
// # What can go wrong
//
// [Server.Inject] does a [Fault] to the connections or hosts of a [Target], at
// once or at a point of a connection's life. [Server.InjectPlan] applies a
// [FaultPlan] ([Gentle], [Storm]) for as long as its context lives. Randomness
// is seeded by [Config.Seed].
//
// # Who lost what
//
// [Server.Judge] returns a [Judge] that knows what was sent to whom, what the
// client has read or could still have, and what it says that it received; its
// [Verdict] counts what was lost, doubled or out of order. Ids grow within a
// guild and hold a hash of it, so the judge keeps no table: only what has not
// been received yet.
//
// # Decisions where Discord says nothing
//
// An IDENTIFY with a valid token costs budget whatever answers it. A close
// frame without a code keeps the session. A RESUME with another version or
// compression is let in and counted. A second connection that resumes a session
// ends the first one's with 4000. Between op 7 and the close pass 5 s. The
// encoding etf is refused with 4012, a code that nobody retries. RESUMED has a
// seq of its own and is not replayed. A client that does not identify in 45 s
// is closed with 4009. The events of an unavailable guild reach nobody.
//
// zlib-stream is made without an encoder per connection (klauspost's stateless
// deflate with the last 8 KiB as its dictionary), since a thousand encoders
// are a gigabyte; [Config.Level] chooses real ones. zstd-stream is one frame
// with a 256 KiB window, as recorded.
//
// # Goroutines and locks
//
// A gateway connection has two goroutines: one reads and answers, one writes
// what is queued, makes guilds available and closes when it is time. REST has
// one per connection. [Server.Close] ends them and waits. [Server.Load] and
// [Server.InjectPlan] run in their caller's. Publishing locks the guild, and
// for a moment each session and its connection, so that all sessions see one
// order; nothing blocks on a client, whose queue is bounded
// ([Config.SendQueue]) and which is cut off when it is full.
//
// Locks are taken in this order: guild, bot, session, connection, track. In
// memory a connection is a pair of bounded buffers that know what was read.
//
// # Size
//
// The package is large because it is five things that need each other: a
// gateway, REST, the transports under them, their faults, and the judge, who
// has to know what each fault did to which byte.
//
// # Not done
//
// etf, voice connections, permissions (a bot sees every channel of its
// guilds), threads, members beyond a handful, Cloudflare's ban after 10,000
// invalid requests, the order of identify buckets.
package discordtest
