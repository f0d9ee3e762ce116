package discord

import (
	"bytes"
	"hash/maphash"
	"slices"

	"github.com/chatshard/chatshard/balancer"
)

// Dispatch is one op 0 payload of the gateway, as Event.Data. It is peeked, not
// decoded: what it says of itself was found by scanning. Raw and Data may stand
// in memory shared with other dispatches: [Dispatch.Clone] makes one that stands
// alone. With balancer.Config.Reuse it lasts until the Handler returns.
type Dispatch struct {
	Type string // "MESSAGE_CREATE"
	Seq  uint64
	Raw  []byte // the payload as it was received: {"op":0,"s":…,"t":…,"d":{…}}
	Data []byte // its d; where the service puts something behind d, that follows

	Backfill bool // GUILD_CREATE: a guild of READY that became available, not one that the bot was added to

	chunk              *chunk
	at                 int  // where Data begins in Raw
	alone              bool // nothing follows d in the payload, as far as that is known
	searched           bool
	kind               *kind // nil: not looked up yet
	guild, channel, id string
}

// GuildID returns the guild that the event belongs to, "" if it belongs to none.
func (d *Dispatch) GuildID() string {
	d.find()
	return d.guild
}

// ChannelID returns the channel that the event belongs to, "" if none is named.
func (d *Dispatch) ChannelID() string {
	d.find()
	return d.channel
}

// find searches d once.
func (d *Dispatch) find() {
	if d.searched {
		return
	}
	d.searched = true
	k := d.known()
	want := k.fields
	if want == 0 {
		want = fieldsAll
	}
	var w within
	ok := false
	if d.alone {
		w, ok = searchBack(d.Data, want)
	}
	if !ok {
		w, _ = search(d.Data, space(d.Data, 0), want)
	}
	d.guild, d.channel, d.id = view(w.guild), view(w.channel), view(w.id)
	if k.isGuild {
		d.guild = d.id
	} else if k.isChannel {
		d.channel = d.id
	}
}

// KeyID implements [balancer.Keyed].
//
// Events have an ID where the service's own comes once in a life: a message,
// its deletion, an interaction. An edit has none, although it has a time: the
// service sends it again with that time when links were unfurled, and nothing
// that is not a copy may be taken for one. Such events are known by their
// payload.
func (d *Dispatch) KeyID() (balancer.Key, string) {
	d.find()
	return balancer.Key(d.guild), d.known().eventID(d)
}

// eventID is what Event.ID is for d, which has been searched.
func (k *kind) eventID(d *Dispatch) string {
	switch {
	case !k.unique || d.id == "":
		return ""
	case k.mark != "":
		return k.mark + d.id
	}
	return d.id
}

// Urgent implements [balancer.Urgent]: an interaction has to be answered within
// three seconds (interactions/receiving-and-responding).
func (d *Dispatch) Urgent() bool { return d.known().urgent }

var payloadSeed = maphash.MakeSeed()

// Fingerprint implements [balancer.Fingerprinter]: a hash of type and payload.
func (d *Dispatch) Fingerprint() uint64 {
	var h maphash.Hash
	h.SetSeed(payloadSeed)
	h.WriteString(d.Type)
	data := d.Data
	if end := skip(data, 0); end > 0 {
		data = data[:end]
	}
	h.Write(data)
	return h.Sum64()
}

// Clone returns a copy that shares no memory with d.
func (d *Dispatch) Clone() *Dispatch {
	c := &Dispatch{Type: d.Type, Seq: d.Seq, Raw: slices.Clone(d.Raw), Backfill: d.Backfill, at: d.at}
	if d.at > 0 {
		c.Data = c.Raw[d.at : d.at+len(d.Data)]
	} else {
		c.Data = slices.Clone(d.Data)
	}
	return c
}

// object returns d without what follows it.
func (d *Dispatch) object() []byte {
	if end := skip(d.Data, 0); end > 0 {
		return d.Data[:end]
	}
	return bytes.TrimSpace(d.Data)
}
