// Package balancer spreads keys over connections ("shards") and keeps them
// there: Twitch or IRC channels over connections of a transport that joins
// them one by one, Discord guilds over shards whose number says which guild
// goes where. It knows no protocol; package irc and others implement
// [Transport].
//
// # Use
//
//	b := balancer.New(transport, &balancer.Config{ChannelsPerShard: 50, MaxShardCount: 20})
//	b.Join("forsen", "xqc")
//	err := b.Run(ctx, func(ctx context.Context, e balancer.Event) { … })
//
// Join, Part, Move, Resize and Acquire edit what is wanted, return at once and
// work before Run. One loop compares wanted with actual and starts the
// difference. Actual changes only when the service said so: a join that was
// sent is not a key that is joined. [Balancer.Locate], [Balancer.Keys] and
// [Balancer.Shards] tell where everything stands.
//
// # Goroutines
//
// Run owns them all and returns when the last has ended: the loop, one joiner
// that waits for the join budget so that nothing else does, the watcher, one
// goroutine per shard that dials and reads, and, only while there is work, one
// that drains a shard's queue into the Handler and one that writes a connection's
// joins and parts. An idle shard is one goroutine, or none if it is [Polled], and of
// those that wait for their first login 512 have one: with 10,000 connections the
// stacks of the others cost 2 to 3 % of each connect. Package tests end by checking
// that none is left.
//
// A reader that finds its queue empty calls the Handler itself, because waking
// another goroutine for a line or two costs more than all else that is done for
// them. The watcher sees to it that a Handler which takes long holds up nothing:
// within some 40 ms another goroutine reads on, and answers the service's PING;
// of more than 64 shards within 340 ms (watch.go). A worker of the poller is
// relieved as quickly, and where Handlers take more than 0.1 ms on average workers
// leave calling them to the queues (poll.go). 1,000 connections that receive 20,000
// lines/s together cost 0.85 of what they did with a goroutine each, and an idle
// one 2 to 4 KiB less. There are as many workers as it takes to come to each
// connection within some 50 ms, mostly one: with 100,000 lines/s through a relay a
// second one costs 9 % more CPU for the same lines.
//
// Locks: Balancer.mu guards what is wanted and placed; a handover, a queue and
// a link have one each, always taken in that order and never while waiting or
// calling out. On the event path a read takes its own link's and its own
// queue's lock once for all its events, and nothing that two shards share,
// except while a key moves between them. Policies are called without a lock.
//
// # Handover
//
// Moving a key, replacing a connection that the service wants to close, and
// letting a shard of a new generation take its keys over are one procedure
// (handover.go, move.go, resize.go):
//
//  1. What the source delivers is remembered, and the target is joined or dialled.
//  2. The service confirms. For one overlap what the target receives is held.
//  3. Both deliver; second copies are dropped (twins.go).
//  4. After another overlap the source is parted, or its generation ended.
//  5. After a last overlap the IDs are forgotten, and once the source's queue is
//     drained the target's own queue takes over.
//
// Holding the target in step 2 keeps the order: until then the source may still
// have to deliver what was sent before the target's first event. Everything of a
// moving key goes through one gate into one queue.
//
// Decisions that the tests of random faults forced; without each of them messages
// were lost, doubled or out of order:
//
//   - A handover given up keeps what its target was sent for one overlap: the
//     source may be dying too.
//   - A source that delivered nothing new for a while does not end a wait by
//     itself, but a target that delivers nothing of what the source does is never
//     believed: services do confirm joins that then stay silent.
//   - The clock of an overlap does not run while one of the ends waits for its
//     queue, or, under fixed placement, while one is reconnecting: what it still
//     has to replay is not on the others.
//   - An overlap is over only when both ends have shown a sign of life that they
//     were asked for in it ([Prober]), and have delivered what came before that: a
//     process without CPU to spare reads late, and so does whoever stands behind a
//     slow network (proof.go).
//   - Repeats of an ID are looked for on the connection before this one as well,
//     and among what the source saw before the handover began.
//   - A generation of shards takes over only from connections that have shown such
//     a sign too, and ends only when its own have: one that is dead without anybody
//     having noticed replays later.
//   - A shard of the old generation that loses its session meanwhile waits with
//     what the next one brings until the new generation has delivered what came before.
//   - What may not wait ([Urgent]) passes a target that is held back.
//   - A join that is under way is left to be answered before its key is moved.
//   - A key that lost its connection keeps its place among the account's keys
//     (Config.KeyCap), or a reconnect would hand it to whoever waits.
//
// Where the account's cap leaves no room for a double membership the move is
// break-first: the source is parted, then the target joined, and a [Gap] tells
// the time between.
//
// # What is lost, and how it is told
//
// A message is lost if it was neither received nor inside a reported [Gap]. A
// gap runs from the last event that the connection received, by the service's
// clock, or from an overlap before it where the service does not tell the time, to
// the confirmed rejoin, and is handed out before the first event that follows it. A key that is refused after an outage
// gets the gap up to its [Refused], and the rest when it is joined again.
//
// One limit of what can be promised: events that nothing tells apart (no ID,
// equal payload, within one overlap) may come twice around a handover; none is
// lost. The same holds of a transport of fixed placement whose connections are no
// [Prober]s.
//
// # Placement
//
// A [Policy] is a pure function from a [View] to a [Plan] over all keys that wait,
// so its cost is per batch: Joins are gathered for a millisecond. A million
// keys are planned in some 10 ms. Weighted's hysteresis needs no state of its own:
// a plan holds all moves down to the stop mark, and none is made while moves are
// under way.
//
// Keys of a shard that cannot connect are placed on shards that can after three
// failures in a row, as far as there is room; a shard that the service turned
// away for good keeps its slot, so that the same answer is not asked for again.
//
// # Size
//
// This is one package, of more than 3,000 lines, because what it promises holds
// only for the whole: the order of locks, who may touch what, and the phases of a
// handover run through placing, joining, reading and queueing alike.
package balancer
