package main

// envelope is version 1 of the JSON object that stands for one event of any
// platform, one a line wherever events leave chatshard:
//
//	{"v":1,"cursor":{"epoch":"9f2c41d07ab35e68","seq":42},"id":"b34c…",
//	 "time":"2026-01-02T15:04:05.678Z","received":"2026-01-02T15:04:05.702Z",
//	 "platform":"twitch","account":"anonymous","shard":"3",
//	 "channel":{"id":"22484632","name":"forsen"},"kind":"message",
//	 "user":{"id":"123","login":"ann","name":"Ann","color":"#FF0000","badges":[{"name":"subscriber","version":"12"}]},
//	 "text":"hi Kappa","fragments":[{"type":"text","text":"hi "},{"type":"emote","id":"25","text":"Kappa"}],
//	 "raw":"@badge-info=… :ann!ann@ann.tmi.twitch.tv PRIVMSG #forsen :hi Kappa"}
//
// What does not apply, or what the service does not say, is left out, except
// for v, id, cursor, received, platform, account, shard and kind. Readers must
// bear keys and kinds that they do not know: those may be added within version
// 1, none will be removed or change its meaning.
//
// This type reads it and the encoder writes it; envelope.schema.json says it
// to others. Tests hold the three together.
type envelope struct {
	V int `json:"v"` // 1
	// The service's id of the event, the same over every connection and after
	// every restart, and unique for platform and network. Where the service
	// gives none it is "EPOCH:SEQ", from the cursor, and new each time.
	ID       string         `json:"id"`
	Cursor   envelopeCursor `json:"cursor"`
	Time     string         `json:"time,omitempty"` // when the service sent it, by its clock; RFC 3339, UTC, milliseconds
	Received string         `json:"received"`       // when chatshard wrote this envelope, likewise
	Platform string         `json:"platform"`       // twitch, irc, discord; chatshard: a gap of one reader
	Network  string         `json:"network,omitempty"`
	Account  string         `json:"account"` // the account that read it: its configured name
	Shard    string         `json:"shard"`   // "3"

	Guild   *envelopeGuild   `json:"guild,omitempty"`   // Discord's: what a channel belongs to; none: a direct message, or as channel
	Channel *envelopeChannel `json:"channel,omitempty"` // none: it concerns all channels of the guild or shard, or none

	// Kind and what there is of each, platform by platform, are in the schema.
	Kind string `json:"kind"`
	Type string `json:"type,omitempty"` // the service's own word within the kind

	User       *envelopeUser      `json:"user,omitempty"` // who did it
	Target     *envelopeTarget    `json:"target,omitempty"`
	Text       string             `json:"text,omitempty"` // without the frame of an action; bytes that are not UTF-8 are U+FFFD
	SystemText string             `json:"system_text,omitempty"`
	Params     map[string]string  `json:"params,omitempty"`    // of a user notice, as the service calls them
	Fragments  []envelopeFragment `json:"fragments,omitempty"` // text cut at its emotes; none: there are no emotes
	ReplyTo    *envelopeReply     `json:"reply_to,omitempty"`
	Emoji      *envelopeEmoji     `json:"emoji,omitempty"`
	Shared     *envelopeShared    `json:"shared,omitempty"` // the message is part of a shared chat

	Flags []string `json:"flags,omitempty"`

	Bits     int           `json:"bits,omitempty"`
	RewardID string        `json:"reward_id,omitempty"`
	Seconds  int           `json:"seconds,omitempty"` // of a timeout
	Room     *envelopeRoom `json:"room,omitempty"`
	Gap      *envelopeGap  `json:"gap,omitempty"`
	Guilds   *guildCount   `json:"guilds,omitempty"`
	Error    string        `json:"error,omitempty"`
	Until    string        `json:"until,omitempty"`

	// Raw is the line as it was received, without CR LF; on Discord the payload,
	// but for READY, which tells how to take a session over. If it is not UTF-8
	// it has U+FFFD for each byte that is wrong, and raw_base64 has all bytes as
	// they were. If the log does not take so much, RawOmitted says how many bytes
	// it had, and both are left out.
	Raw        string `json:"raw,omitempty"`
	RawBase64  []byte `json:"raw_base64,omitempty"`
	RawOmitted int    `json:"raw_omitted,omitempty"`
}

// envelopeCursor is the place of an event in what one relay wrote. Seq grows by
// one with each event; another epoch begins when the relay starts, and says
// that events in between may not be there.
type envelopeCursor struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

type envelopeGuild struct {
	ID string `json:"id"`
}

type envelopeChannel struct {
	ID   string `json:"id,omitempty"`   // survives a rename
	Name string `json:"name,omitempty"` // forsen on Twitch, #go on IRC; events of Discord do not say
}

// envelopeEmoji is one of Unicode or, with an id, one of a guild.
type envelopeEmoji struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// guildCount says how many guilds a shard carries, and how many of them are not
// available.
type guildCount struct {
	All     int `json:"all"`
	Missing int `json:"missing"`
}

type envelopeUser struct {
	ID      string          `json:"id,omitempty"`    // survives a rename
	Login   string          `json:"login,omitempty"` // on IRC the nick
	Name    string          `json:"name,omitempty"`  // as the user spells it, where that differs from the login
	Account string          `json:"account,omitempty"`
	Color   string          `json:"color,omitempty"`
	Badges  []envelopeBadge `json:"badges,omitempty"`
}

type envelopeBadge struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type envelopeTarget struct {
	MessageID  string        `json:"message_id,omitempty"`
	MessageIDs []string      `json:"message_ids,omitempty"`
	User       *envelopeUser `json:"user,omitempty"`
}

type envelopeFragment struct {
	Type string `json:"type"` // text, emote
	ID   string `json:"id,omitempty"`
	Text string `json:"text"`
}

type envelopeReply struct {
	ID       string        `json:"id"`
	ThreadID string        `json:"thread_id,omitempty"` // the message that the thread began with
	User     *envelopeUser `json:"user,omitempty"`
	Text     string        `json:"text,omitempty"`
}

// envelopeShared says where a message of a shared chat was written. All copies
// of it have the same.
type envelopeShared struct {
	ID        string `json:"id,omitempty"`
	ChannelID string `json:"channel_id"`
}

// envelopeRoom has the settings that the service named: all after a join, later
// those that changed.
type envelopeRoom struct {
	EmoteOnly     *bool  `json:"emote_only,omitempty"`
	SubsOnly      *bool  `json:"subs_only,omitempty"`
	UniqueOnly    *bool  `json:"unique_only,omitempty"`
	SlowSeconds   *int64 `json:"slow_seconds,omitempty"`   // 0: off
	FollowMinutes *int64 `json:"follow_minutes,omitempty"` // -1: off
}

// envelopeGap says which events may be missing: those that the service sent
// after From and not after To. Dropped of them had arrived and did not fit the
// queue.
type envelopeGap struct {
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	Dropped int    `json:"dropped"`
	Reason  string `json:"reason,omitempty"` // of a gap of one reader: slow_consumer, retention, epoch
}
