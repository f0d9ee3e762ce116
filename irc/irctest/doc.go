// Package irctest is a fake Twitch chat server and a fake plain IRC server, in
// the spirit of net/http/httptest: test a bot against them with no network, no
// token and, in a testing/synctest bubble, no real time.
//
//	s := irctest.NewTwitch(nil)
//	defer s.Close()
//	bot.Dialer = s.DialContext // any client that takes a custom dialer
//	…
//	s.Say("somechannel", "viewer", "!hello")
//
// A server listens nowhere until it is told to: [Server.DialContext] connects
// in memory, [Server.Listen], [Server.ListenTLS] and [Server.ListenWebSocket]
// open ports for clients that want a real socket.
//
// # What it enforces
//
// The Twitch profile keeps Twitch's limits: 20 JOINs, 20 logins in 10 s,
// 100 joined channels per named account, 20 messages in 30 s with an hour of
// silence for those who send more, one message a second and channel, and so
// on. Limits belong to accounts, over all their connections; anonymous
// connections share one budget per client address. What Twitch documents it
// does as documented; what it is only seen to do (it closes connections that
// JOIN too fast, it closes those that read too slowly) it does as seen; where
// neither is known, doc comments say what was chosen. The plain profile is a
// small modern IRC network: CAP 302, SASL, 005, casemapping, nick collisions,
// flood control. Whatever a client does against the rules is counted:
// [Server.Violations].
//
// # What can go wrong
//
// [Server.Apply] does a [Fault] to the connections of a [Target], once or from
// now on. [Server.Inject] applies a [FaultPlan] ([Gentle], [Storm]) for as long
// as its context lives. Randomness is seeded by [Config.Seed].
//
// # Who lost what
//
// [Server.Judge] returns a [Judge] that knows what was sent to whom, whether
// the transport can have delivered it, and what the client says that it
// received; its [Verdict] counts what was lost, doubled or out of order.
// Messages carry ids from which the server reads channel and serial back, so
// the judge keeps no table: per channel it holds the messages not received
// yet, per connection those not read yet.
//
// # Goroutines and locks
//
// A connection has two goroutines: one reads and answers, one writes what is
// queued, sends PINGs and closes when it is time. [Server.Close] ends them and
// waits. [Server.Chat] and [Server.Inject] run in their caller's. A broadcast
// locks its channel, and for a moment each member's connection, so that all
// members see one order; nothing blocks on a client, whose queue is bounded
// ([Config.SendQueue]) and whose connection is closed when it is full.
//
// Locks are taken in this order: channel, account, server, connection, judge's
// track. In memory a connection is a pair of bounded buffers with deadlines.
// net.Pipe would not do: a write to it ends when the peer has read, whereas the
// question what was in a socket's buffer when the connection broke is the one
// that a judge has to answer.
//
// # Size
//
// The package is large because it is four things that need each other: two
// servers, the transports under them, the faults of those transports, and the
// judge, who has to know what each fault did to which byte.
//
// # Not done
//
// PASS and NICK may come in any number before the login; EventSub, Helix and
// slash commands do not exist; a text's length is checked against the 500
// characters of the API, and too long ones vanish, since nobody documents
// what IRC does. Bans, VIPs and such are set by [Server.SetRoom], not by chat.
package irctest
