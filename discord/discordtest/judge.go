package discordtest

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Judge compares what a client received with what the server sent it. The
// client's side reports every event that reaches its handler with
// [Judge.Received], every gap with [Judge.Gap] or [Judge.GapShard], and what it
// no longer wants with [Judge.Unwant]; [Judge.Verdict] says what was lost. Its
// definitions:
//
//   - Events with an id are judged: messages, interactions, and everything
//     else with [Config.EventIDs]. Their key is the guild's id in decimal, ""
//     for direct messages.
//   - An event is sent if it was published in a guild that the client knew to
//     be available in some session, from its first such GUILD_CREATE on
//     (READY of shard 0 for direct messages), outages and reconnects
//     included, and if the intents of its last IDENTIFY ask for such events.
//   - It is lost if it was not received and either lies in no reported gap of
//     its guild, or the client could have had it: some connection wrote it
//     and lived until the client read it; or a session that holds it for
//     replay can be resumed now; or the client gave such a session away, by
//     closing it with 1000 or 1001, or by an IDENTIFY for the same shard after
//     which the session expired.
//   - It is in a gap if it was not received, could not be had, and a gap was
//     reported.
//   - It is doubled if it was received more than once, whatever the reason: a
//     replay, two sessions that carry the guild, the [Duplicate] fault.
//   - It is out of order if a later event of its channel was received before.
//
// In memory the server knows what the client has read. On real sockets it does
// not: what was written within [Config.Unsure] of a connection's end may be
// missing if a gap covers it, and counts as lost otherwise. What was written
// after a [Corrupt] fault counts as not read.
//
// Safe for concurrent use.
type Judge struct {
	s    *Server
	bots []*bot

	foreign   atomic.Int64
	misrouted atomic.Int64

	mu       sync.RWMutex // guards what follows
	tracks   map[uint64]*track
	offences []Offence
}

// maxOffences is how many a Verdict describes.
const maxOffences = 20

// Offence describes one event that went wrong.
type Offence struct {
	Kind    string // "lost", "doubled", "out of order", "misrouted"
	Key     string
	Channel uint64
	ID      ID
	Sent    time.Time // to the millisecond
	Detail  string
}

func (o Offence) String() string {
	return fmt.Sprintf("%s: %v in guild %q sent %s: %s", o.Kind, o.ID, o.Key, o.Sent.UTC().Format("15:04:05.000"), o.Detail)
}

// Judge returns a judge of the client that uses the given bots, all of them
// together, by name or token; none means every bot. Make it before the client
// connects.
func (s *Server) Judge(bots ...string) *Judge {
	j := &Judge{s: s, tracks: make(map[uint64]*track)}
	for _, name := range bots {
		j.bots = append(j.bots, s.mustBot(name))
	}
	if len(bots) == 0 {
		j.bots = s.bots
	}
	for _, b := range j.bots {
		b.mu.Lock()
		b.judges = append(slices.Clip(b.judges), j)
		b.mu.Unlock()
	}
	return j
}

// track returns the judge's view of a guild.
func (j *Judge) track(g *guild) *track {
	j.mu.RLock()
	t := j.tracks[g.id]
	j.mu.RUnlock()
	if t != nil {
		return t
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if t = j.tracks[g.id]; t == nil {
		t = &track{j: j, guild: g.id, g: g}
		j.tracks[g.id] = t
	}
	return t
}

// known returns the track of a key, or nil.
func (j *Judge) known(key string) *track {
	guild := uint64(0)
	if key != "" {
		n, err := strconv.ParseUint(key, 10, 64)
		if err != nil {
			return nil
		}
		guild = n
	}
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.tracks[guild]
}

func (j *Judge) all() []*track {
	j.mu.RLock()
	defer j.mu.RUnlock()
	all := make([]*track, 0, len(j.tracks))
	for _, t := range j.tracks {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *track) int {
		switch {
		case a.guild < b.guild:
			return -1
		case a.guild > b.guild:
			return 1
		}
		return 0
	})
	return all
}

// Received reports that the event with the id reached the client's handler as
// one of the key, at the given time. Calls for one guild are made in the order
// in which the handler saw the events.
func (j *Judge) Received(key, id string, at time.Time) {
	n, err := strconv.ParseUint(id, 10, 64)
	t := j.known(key)
	if err != nil || t == nil {
		j.foreign.Add(1)
		return
	}
	o := Offence{Key: key, ID: ID(n), Sent: time.UnixMilli(j.s.mint.millis(ID(n)))}
	if !j.s.mint.of(ID(n), t.guild) {
		j.misrouted.Add(1)
		o.Kind, o.Detail = "misrouted", "no event of this guild"
		j.offend(o)
		return
	}
	if o.Kind, o.Channel, o.Detail = t.received(ID(n)); o.Kind != "" {
		o.Detail += ", received at " + at.UTC().Format("15:04:05.000")
		j.offend(o)
	}
}

func (j *Judge) offend(o Offence) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.offences) < maxOffences {
		j.offences = append(j.offences, o)
	}
}

// Gap reports that the client may have missed events of the keys sent after
// from and not after to. No key means every guild and direct messages; "" is
// direct messages.
func (j *Judge) Gap(from, to time.Time, keys ...string) {
	g := newGap(from, to)
	if len(keys) == 0 {
		for _, t := range j.all() {
			t.gap(g)
		}
	}
	for _, key := range keys {
		if t := j.known(key); t != nil {
			t.gap(g)
		}
	}
}

// GapShard reports a gap of everything that shard index of count carries.
func (j *Judge) GapShard(from, to time.Time, index, count int) {
	g := newGap(from, to)
	for _, t := range j.all() {
		if Place(t.guild, count) == index {
			t.gap(g)
		}
	}
}

// Unwant says that the client no longer wants the keys, all if there are none:
// what is sent from now on counts again only after another GUILD_CREATE. Call
// it before the client shuts down, since events on their way to it would
// count as lost.
func (j *Judge) Unwant(keys ...string) {
	if len(keys) == 0 {
		for _, t := range j.all() {
			t.unwant()
		}
	}
	for _, key := range keys {
		if t := j.known(key); t != nil {
			t.unwant()
		}
	}
}
