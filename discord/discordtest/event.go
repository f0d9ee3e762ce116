package discordtest

import (
	"encoding/json"
	"fmt"
	"time"
)

// Event is something to be dispatched. Make one with [Message] and its
// brethren, or with [RawEvent].
type Event struct {
	Type     string
	Channel  uint64          // 0: the guild's first
	User     string          // who did it; its id is [UserID]
	Content  string          // of a message; the name of a command
	Message  ID              // that is edited, deleted, reacted to
	Emoji    string          // of a reaction
	Mentions []uint64        // users mentioned in a message
	Raw      json.RawMessage // the d of a RawEvent: an object; guild_id is added

	from  *bot // the bot itself did it
	hook  *webhook
	nonce json.RawMessage
	extra json.RawMessage // embeds and so on, as posted
}

// Message is a new message.
func Message(channel uint64, author, content string) Event {
	return Event{Type: "MESSAGE_CREATE", Channel: channel, User: author, Content: content}
}

// Edit changes a message.
func Edit(channel uint64, message ID, author, content string) Event {
	return Event{Type: "MESSAGE_UPDATE", Channel: channel, Message: message, User: author, Content: content}
}

// Delete deletes a message.
func Delete(channel uint64, message ID) Event {
	return Event{Type: "MESSAGE_DELETE", Channel: channel, Message: message}
}

// Typing says that a user types.
func Typing(channel uint64, user string) Event {
	return Event{Type: "TYPING_START", Channel: channel, User: user}
}

// ReactionAdd adds a reaction to a message.
func ReactionAdd(channel uint64, message ID, user, emoji string) Event {
	return Event{Type: "MESSAGE_REACTION_ADD", Channel: channel, Message: message, User: user, Emoji: emoji}
}

// Presence says that a user's status is now "online", "idle", "dnd" or "offline".
func Presence(user, status string) Event {
	return Event{Type: "PRESENCE_UPDATE", User: user, Content: status}
}

// Interaction is a user's slash command. An answer is due in 3 s.
func Interaction(channel uint64, user, command string) Event {
	return Event{Type: "INTERACTION_CREATE", Channel: channel, User: user, Content: command}
}

// DM is a direct message to the bot, which goes to its shard 0. Publish it with
// guild 0.
func DM(user, content string) Event {
	return Event{Type: "MESSAGE_CREATE", User: user, Content: content}
}

// RawEvent is any other event. d is a JSON object; guild_id is added to it.
func RawEvent(t string, d json.RawMessage) Event { return Event{Type: t, Raw: d} }

// UserID returns the id of the user with the name.
func UserID(name string) uint64 {
	return 150_000_000_000<<22 | hash(name)&(1<<40-1)
}

// DMChannel returns the id of a user's direct message channel.
func DMChannel(user string) uint64 { return UserID(user) | 1<<41 }

// user returns the bot's user object.
func (b *bot) user() string {
	return string(appendUser(nil, b.UserID, b.Name, true))
}

func appendUser(b []byte, id uint64, name string, bot bool) []byte {
	return fmt.Appendf(b, `{"id":%s,"username":%s,"global_name":null,"discriminator":"0000","avatar":null,"avatar_decoration_data":null,"collectibles":null,"display_name_styles":null,"primary_guild":null,"clan":null,"bot":%t,"public_flags":0}`,
		quoteID(id), quote(name), bot)
}

// author appends the user object of who did it and returns its id.
func (e *Event) author(b []byte) ([]byte, uint64) {
	switch {
	case e.from != nil:
		return append(b, e.from.user()...), e.from.UserID
	case e.hook != nil:
		return appendUser(b, e.hook.id, e.User, true), e.hook.id
	}
	return appendUser(b, UserID(e.User), e.User, false), UserID(e.User)
}

const member = `{"roles":[],"premium_since":null,"pending":false,"nick":null,"mute":false,"joined_at":"2021-06-01T12:00:00.000000+00:00","flags":0,"deaf":false,"communication_disabled_until":null,"banner":null,"avatar":null}`

// payload returns the dispatch of the event under the given id, to b among
// others.
func (s *Server) payload(e *Event, g *guild, b *bot, id ID, now time.Time) *payload {
	p := &payload{t: e.Type, need: needs(e.Type, g.id != 0), g: g}
	channel := e.Channel
	switch {
	case channel == 0 && g.id != 0:
		channel = Channel(g.id, 0)
	case channel == 0:
		channel = DMChannel(e.User)
	}
	own := false // the event has an id of its own
	switch {
	case e.Raw != nil:
		p.d = e.Raw
		if g.id != 0 {
			p.d = withField(p.d, "guild_id", quoteID(g.id))
		}
	case e.Type == "MESSAGE_CREATE" || e.Type == "MESSAGE_UPDATE":
		own = e.Type == "MESSAGE_CREATE"
		of := id
		if !own {
			of = e.Message
		}
		_, who := e.author(nil)
		p.d = appendMessage(nil, e, g, channel, of, now, false)
		if g.id != 0 {
			p.bare = appendMessage(nil, e, g, channel, of, now, true)
			p.open = append([]uint64{who}, e.Mentions...)
		}
	case e.Type == "INTERACTION_CREATE":
		own = true
		p.d = s.interaction(e, g, b, channel, id, now)
	default:
		p.d = appendSmall(nil, e, g, channel, now)
	}
	if own {
		p.id = id
	} else if s.cfg.EventIDs {
		p.id = id
		p.d = withField(p.d, "event_id", quoteID(uint64(id)))
		if p.bare != nil {
			p.bare = withField(p.bare, "event_id", quoteID(uint64(id)))
		}
	}
	return p
}

// appendMessage appends a message object, its content blanked or not.
func appendMessage(b []byte, e *Event, g *guild, channel uint64, id ID, now time.Time, blank bool) []byte {
	edited := "null"
	if e.Type == "MESSAGE_UPDATE" {
		edited = `"` + timestamp(now) + `"`
	}
	b = fmt.Appendf(b, `{"type":0,"tts":false,"timestamp":"%s","pinned":false,`, timestamp(now))
	if e.nonce != nil {
		b = fmt.Appendf(b, `"nonce":%s,`, e.nonce)
	}
	b = append(b, `"mentions":[`...)
	for i, m := range e.Mentions {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendUser(b, m, fmt.Sprint("user", m), false)
	}
	b = append(b, `],"mention_roles":[],"mention_everyone":false,`...)
	if g.id != 0 && e.hook == nil {
		b = append(b, `"member":`+member+`,`...)
	}
	if e.hook != nil {
		b = fmt.Appendf(b, `"webhook_id":%s,`, quoteID(e.hook.id))
	}
	b = fmt.Appendf(b, `"id":"%d","flags":0,"edited_timestamp":%s,`, id, edited)
	extra, content := e.extra, e.Content
	if blank {
		extra, content = nil, ""
	}
	if extra == nil {
		extra = json.RawMessage(`"embeds":[],"components":[]`)
	}
	b = append(b, extra...)
	b = fmt.Appendf(b, `,"content":%s,"channel_type":%d,"channel_id":%s,"author":`, quote(content), channelType(g), quoteID(channel))
	b, _ = e.author(b)
	b = append(b, `,"attachments":[]`...)
	if g.id != 0 {
		b = fmt.Appendf(b, `,"guild_id":%s`, quoteID(g.id))
	}
	return append(b, '}')
}

func channelType(g *guild) int {
	if g.id == 0 {
		return 1
	}
	return 0
}

// appendSmall appends the d of the events that have no id.
func appendSmall(b []byte, e *Event, g *guild, channel uint64, now time.Time) []byte {
	user := quoteID(UserID(e.User))
	if e.from != nil {
		user = quoteID(e.from.UserID)
	}
	switch e.Type {
	case "MESSAGE_DELETE":
		b = fmt.Appendf(b, `{"id":"%d","channel_id":%s`, e.Message, quoteID(channel))
	case "TYPING_START":
		b = fmt.Appendf(b, `{"user_id":%s,"timestamp":%d,"channel_id":%s`, user, now.Unix(), quoteID(channel))
		if g.id != 0 {
			b = append(b, `,"member":{"user":`...)
			b = append(appendUser(b, UserID(e.User), e.User, false), `,`+member[1:]...)
		}
	case "MESSAGE_REACTION_ADD":
		b = fmt.Appendf(b, `{"user_id":%s,"type":0,"message_id":"%d","message_author_id":null,"emoji":{"name":%s,"id":null},"channel_id":%s,"burst":false,"burst_colors":[]`,
			user, e.Message, quote(e.Emoji), quoteID(channel))
		if g.id != 0 {
			b = append(b, `,"member":{"user":`...)
			b = append(appendUser(b, UserID(e.User), e.User, false), `,`+member[1:]...)
		}
	case "PRESENCE_UPDATE":
		b = fmt.Appendf(b, `{"user":{"id":%s},"status":%s,"client_status":{"desktop":%s},"activities":[]`, user, quote(e.Content), quote(e.Content))
	default:
		b = append(b, '{')
		if g.id != 0 {
			return fmt.Appendf(b, `"guild_id":%s}`, quoteID(g.id))
		}
		return append(b, '}')
	}
	if g.id != 0 {
		b = fmt.Appendf(b, `,"guild_id":%s`, quoteID(g.id))
	}
	return append(b, '}')
}
