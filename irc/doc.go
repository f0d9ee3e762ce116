// Package irc reads and writes Twitch chat and any other IRC network: a
// [balancer.Transport] over TCP, TLS or WebSocket, a tokenizer, typed views of
// every message, and [Client], which ties them together for a bot.
//
// # Use
//
//	bot := irc.NewClient(irc.NewAccount("mybot", irc.FixedToken(token), nil), nil)
//	bot.Join("forsen")
//	h := &irc.Handlers{PrivMsg: func(ctx context.Context, m irc.PrivMsg) { … }}
//	err := bot.Run(ctx, h.Handle)
//
// A program that wants the Balancer's calls for itself makes a [Transport] and
// hands its [Transport.Balancer] to balancer.New. Reading needs no account:
// [Anonymous].
//
// # Accounts and budgets
//
// Services count per account, not per connection, so an [Account] holds the
// budgets: JOINs, logins and messages as sliding logs, and how many channels may
// be joined at a time. All connections of an account share it; all anonymous
// accounts of a process share one. Defaults keep a margin to Twitch's windows,
// because a window starts when the server sees a line and not when we write it.
// The token is asked for at each login, so that one which was refreshed is used,
// and nothing ever prints it: see [Secret].
//
// # One connection
//
// A connection has no goroutine of its own: one of the Balancer's calls Receive,
// which reads, answers PING and finds out when the server is gone; on a socket of
// the system's, while it is quiet, Poll, and one goroutine does that for many
// connections (poll.go). While channels
// move the Balancer has the server asked by PINGs (probe.go), whose answers show
// that all that was sent before has been delivered. On a socket of the system's it
// waits without holding a buffer (read_unix.go), under TLS as well, so that an idle
// connection costs little more than its TLS state. Writes
// go through one buffer (write.go): whoever finds nobody writing writes for all,
// PING and PONG go first, and the reader never waits for another writer. Plain
// IRC's flood control has a goroutine while lines wait for it, which Close ends.
//
// # Messages and memory
//
// Lines are read into chunks of 64 KiB that all connections of the process share,
// and are cut there: a [Message] is some offsets into its line, and every string
// that it returns is a part of that line. A Message may be kept as long as one
// likes, but it keeps its whole chunk, up to 75 KiB with the other Messages in it;
// [Message.Clone] is a copy that keeps nothing else. Where balancer.Config.Reuse is
// set a Message is valid until the Handler returns, its chunk is used again once
// all of its Messages are done with, and reading allocates nothing.
//
// Tags are looked up in the line when they are asked for. Nothing is kept of a
// lookup, so any number of goroutines may read a Message.
//
// # Joins
//
// A channel is joined when the server has sent our own JOIN back and the end of
// the names or the state of the room. Refusals are typed (notice.go has the table of
// NOTICE ids and numerics): those that will not change are final, others are
// tried again at the time that the table says. Twitch says nothing about a channel
// that does not exist: the Balancer's timeout and retries find that out.
//
// # Receipts
//
// [Client.Say] waits for the service's answer. Twitch gives none to a message that
// it took but a USERSTATE, on the connection that sent it; so one message is under
// way per account and channel, and five seconds of silence mean that nobody knows.
//
// # Where this departs from a rule, and why
//
//   - A token that is revoked while connected ends the connection, not the
//     account: the callback may have a newer one. Only if it gives the same one
//     again is that final, without spending a login on it.
//   - CLEARCHAT and CLEARMSG have no id. Their event ID is made of room, target
//     and time, or of the message that is deleted, which is the same on every
//     connection. A USERSTATE's id is that of the message it confirms, and is
//     marked, or it would make that message look like a repeat.
//   - Messages of Shared Chat have an id of their own in each room, so all copies
//     are delivered unless ClientConfig.SharedChat says otherwise.
package irc
