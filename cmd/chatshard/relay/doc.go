// Package relay is what stands between the connections of chatshard run and the
// programs that read its chat: one log of envelopes, a cursor in it, and outputs
// that each go on where they were.
//
// # Entries and cursors
//
// An [Entry] is one envelope as JSON without its cursor. The [Log] gives it its
// place: a sequence number that grows with each entry, of an epoch that changes
// when history was lost. Outputs write the cursor into the envelope as they hand
// it out ([AppendEnvelope]): what is stored cannot know it.
//
// # The log
//
// [NATSLog] keeps entries in a stream of an [Engine]: NATS in this process, or
// one by URL. It appends by itself and not through the client library's
// publisher: a batch asks for one acknowledgement, and as the only writer it
// knows which number the answer has to have. What became of entries without an
// answer is read from the end of the stream, over a new connection that cannot
// send anything late, so nothing is stored twice without the engine's own window
// of ids, which costs more than half of its rate. An engine whose disk is full or
// read-only answers nothing: after three seconds it is taken for sick, and
// restarted in place when a write works again. Entries wait in a bounded buffer
// meanwhile; what does not fit becomes a gap at its place. [NoLog] stands
// where there shall be no history.
//
// # Between two processes
//
// What was acknowledged to a service is in the log, and a log that is opened
// remembers the ids of its last minutes: what a service repeats after a resume
// is stored once although another process stored it. Twitch and IRC repeat
// nothing. So the command keeps, in a bucket of the engine, up to when all
// channels were heard and what they said was in the log, and which are not
// joined; it is written every two seconds. The next process takes, per channel,
// that or the last line of the channel at the end of the log, whichever is
// later, and puts a gap from there to the confirmed join before the first event
// of the channel. A stamp lies 45 seconds back, because a connection may be dead
// for as long before that shows: the gap of a channel that was quiet is longer
// by up to that than the time without a process, that of a busy one is exact.
//
// # Readers
//
// A [Hub] wakes all readers that wait together, once a millisecond or for 64
// KiB, and less often where there are very many. A reader pulls, has a queue of
// its own as a bound on how far it may fall behind, and a policy for when it has:
// its cursor waits (block), it skips with a gap (drop_oldest), or it is
// disconnected. Named consumers ([Consumers]) have a cursor that outlives both
// sides; several readers of a name share its channels, each channel at one
// reader. [Server] is all that over HTTP, [Webhook] over POST.
//
// # Programs outside
//
// A program in any language may read the stream itself, with a durable consumer
// of NATS: of the embedded engine where EngineConfig.Listen says so, or of the one
// that has a URL. It is the stream EV, and [Subject.Name] says how the subjects
// are made up that it filters by. Its consumer has to pull.
//
// A message is an envelope without its cursor. The cursor is the stream's
// sequence number, which NATS gives with each message, and the epoch, which is
// in the stream's metadata as chatshard-epoch and is asked for once a connection.
// It is the same cursor that the other outputs have: a program can change over
// from one to another. It stands in neither subject nor header, since what is
// stored is written before it is known, and an epoch in each message would cost
// more than it is worth. When the epoch is another than the one remembered, or
// a number comes that is not new and is not delivered again, history was lost: the
// consumer is made anew. A consumer that was away for longer than the log goes
// back finds first_seq of the stream beyond its own ack_floor, and goes on there.
//
// What is larger than 64 KiB is stored with the header Chatshard-Encoding: gzip.
// What is larger than 6 MiB even so, or than the server takes, stands in several
// messages, one behind the other, with Chatshard-Part: 1/3 and so on; the last
// one's number is the envelope's.
//
// Who connects with EngineConfig.Token has an account of NATS of his own. He reads
// the stream, plain subscriptions to what is live included, makes, asks about and
// removes consumers, 256 of them, and sends. The stream, the cursors and the rest
// of the API are not there for him. An engine elsewhere has permissions of its
// own: who may publish to ev.> or $JS.API.> there can spoil the log. Readers
// without an account of their own should have a user who may publish no more than
//
//	send send.> $JS.API.STREAM.INFO.EV $JS.API.CONSUMER.INFO.EV.*
//	$JS.API.CONSUMER.MSG.NEXT.EV.* $JS.ACK.EV.>
//
// with their consumers made for them by somebody who may; and be trusted, for
// answers go where they say.
//
// # History that is gone
//
// A cursor that is older than retention gets a gap of that reader alone, with
// the reason retention: up to when the oldest entry was received that there is,
// and from a time that [HubConfig].Since knows; the command marks one every
// minute, and keeps the marks. When the log has lost its history, its epoch
// changes, and the hub's with it ([Hub.Renew]): all readers end, and come back
// with a cursor of an epoch that is over to a gap with the reason epoch. A named
// consumer does so by itself; what it acknowledged of the epoch before is refused.
//
// # Sending
//
// A [Router] sends a text over the account that is for its channel and says
// what became of it: sent, refused with the service's reason, or unknown, never
// nothing, within 15 seconds. A request with a key is done once in ten minutes.
// Discord's messages have a nonce that Discord enforces, so one without an answer
// can be sent again.
//
// # Size
//
// The package is larger than 3,000 lines: engine and log, hub and outputs, and
// sending are three parts that meet in a few types. They stand in one package
// because a reader of the log and one of the ring are the same reader.
//
// # Live readers
//
// A live reader does not go through the log's engine. What was appended goes,
// once the log has acknowledged it, into a ring of entries that all outputs
// share; a reader that begins earlier reads the log until it has come to the
// ring, and goes on there: sequence numbers join without a seam. A batch is one
// write of less than 64 KiB, over HTTP/1.1 too, where a stream has no chunks and
// ends with its connection: on the way to a consumer on the same machine a write
// of more, or in pieces, costs half as much again. A block of the ring that is
// full and gone is the next one, unless somebody still reads it. Where the values
// are that filters ask for (Meta) is noted by who writes an envelope, of most; to
// find them again took a twentieth of a relay's time.
package relay
