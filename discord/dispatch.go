package discord

// Dispatch is one op 0 payload of the gateway, as Event.Data. It is peeked, not
// decoded: what it says of itself was found by scanning.
type Dispatch struct {
	Type string // "MESSAGE_CREATE"
	Seq  uint64
	Raw  []byte // the payload as it was received: {"op":0,"s":…,"t":…,"d":{…}}
	Data []byte // its d

	Backfill bool // GUILD_CREATE: a guild of READY that became available, not one that the bot was added to
}

// GuildID returns the guild that the event belongs to, "" if it belongs to none.
func (d *Dispatch) GuildID() string { return "" }

// ChannelID returns the channel that the event belongs to, "" if none is named.
func (d *Dispatch) ChannelID() string { return "" }

// Decode unmarshals d into a struct of the caller's, such as discordgo's or disgo's.
func (d *Dispatch) Decode(into any) error { return nil }
