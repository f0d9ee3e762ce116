package main

import (
	"cmp"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/chatshard/chatshard/discord"
)

// dispatchFields are what an envelope says of an event of Discord, whatever its
// type. The encoder has one and uses it again.
type dispatchFields struct {
	Content   string         `json:"content"`
	Author    *dispatchUser  `json:"author"`
	User      *dispatchUser  `json:"user"` // who came or went, or used a command in a direct message
	UserID    discord.ID     `json:"user_id"`
	Nick      string         `json:"nick"`
	Member    dispatchMember `json:"member"`
	Type      int            `json:"type"`
	ID        discord.ID     `json:"id"`
	IDs       []discord.ID   `json:"ids"`
	MessageID discord.ID     `json:"message_id"`
	WebhookID discord.ID     `json:"webhook_id"`
	Edited    string         `json:"edited_timestamp"`
	Flags     uint64         `json:"flags"`
	Away      bool           `json:"unavailable"` // a guild
	Emoji     dispatchEmoji  `json:"emoji"`
	Reference struct {
		Type      int        `json:"type"`
		MessageID discord.ID `json:"message_id"`
	} `json:"message_reference"`
	Snapshots []struct {
		Message struct {
			Content string `json:"content"`
		} `json:"message"`
	} `json:"message_snapshots"` // of a message that was forwarded
	Referenced *struct {
		Content string        `json:"content"`
		Author  *dispatchUser `json:"author"`
	} `json:"referenced_message"`
	Data struct {
		Name     string `json:"name"`      // of a command
		CustomID string `json:"custom_id"` // of a button or form
	} `json:"data"`

	kind string // as in the envelope
	sent time.Time
}

const (
	referenceForward = 1       // type of a reference
	maxUnavailable   = 1 << 10 // bytes of a guild that is not available
)

type dispatchUser struct {
	ID         discord.ID `json:"id"`
	Username   string     `json:"username"`
	GlobalName string     `json:"global_name"`
	Bot        bool       `json:"bot"`
}

type dispatchMember struct {
	Nick string        `json:"nick"`
	User *dispatchUser `json:"user"`
}

type dispatchEmoji struct {
	ID   discord.ID `json:"id"`
	Name string     `json:"name"`
}

// dispatchKinds says which kinds of envelopes types of dispatches are; the rest
// are "other" and not looked into.
var dispatchKinds = map[string]string{
	"MESSAGE_CREATE":                "message",
	"MESSAGE_UPDATE":                "edit",
	"MESSAGE_DELETE":                "delete",
	"MESSAGE_DELETE_BULK":           "delete",
	"MESSAGE_REACTION_ADD":          "reaction",
	"MESSAGE_REACTION_REMOVE":       "reaction",
	"MESSAGE_REACTION_REMOVE_ALL":   "reaction",
	"MESSAGE_REACTION_REMOVE_EMOJI": "reaction",
	"TYPING_START":                  "typing",
	"INTERACTION_CREATE":            "interaction",
	"GUILD_MEMBER_ADD":              "join",
	"GUILD_MEMBER_REMOVE":           "part",
	"GUILD_BAN_ADD":                 "kick",
	"GUILD_CREATE":                  "join", // ours
	"GUILD_DELETE":                  "part",
}

// systemMessages names the types of messages that Discord itself writes
// (resources/message, "Message Types").
var systemMessages = map[int]string{
	1: "recipient_add", 2: "recipient_remove", 3: "call", 4: "channel_name_change", 5: "channel_icon_change",
	6: "channel_pinned_message", 7: "user_join", 8: "guild_boost", 9: "guild_boost_tier_1", 10: "guild_boost_tier_2",
	11: "guild_boost_tier_3", 12: "channel_follow_add", 18: "thread_created", 21: "thread_starter_message",
	24: "auto_moderation_action", 25: "role_subscription_purchase", 27: "stage_start", 28: "stage_end", 46: "poll_result",
}

// read takes in what an envelope says of d, and returns the event's id if the
// service gives it one that is the same each time.
func (f *dispatchFields) read(d *discord.Dispatch, id string) string {
	*f = dispatchFields{kind: "other"}
	kind := dispatchKinds[d.Type]
	if kind == "" {
		return id
	}
	if d.Type == "GUILD_CREATE" && len(d.Data) > maxUnavailable {
		f.kind = kind // all that is asked of it is known
		return id
	}
	if d.Decode(f) != nil {
		*f = dispatchFields{kind: "other"} // what it is like only raw can say
		return id
	}
	f.kind = kind
	if !f.complete() {
		*f = dispatchFields{kind: "other"}
		return id
	}
	switch d.Type {
	case "MESSAGE_CREATE":
		f.sent = f.ID.Time()
		switch f.Type {
		case discord.MessageDefault, discord.MessageReply, discord.MessageChatInputCommand, discord.MessageContextMenuCommand:
			if d.GuildID() == "" && f.Flags&discord.MessageEphemeral == 0 {
				f.kind = "whisper"
			}
		default:
			f.kind = "user_notice"
		}
		if f.Content == "" && f.Reference.Type == referenceForward && len(f.Snapshots) > 0 {
			f.Content = f.Snapshots[0].Message.Content
		}
	case "TYPING_START":
		var typing discord.Typing
		if d.Decode(&typing) == nil && typing.Unix > 0 {
			f.sent = typing.Time()
		}
	case "MESSAGE_UPDATE":
		at, err := time.Parse(time.RFC3339Nano, f.Edited)
		if err != nil {
			f.kind = "other" // pinned, or a preview of a link was added
			return id
		}
		f.sent = at
		// The same edit comes again, and is no copy, when links were unfurled.
		sum := strconv.FormatUint(uint64(crc32.ChecksumIEEE(d.Data)), 16)
		return string(f.ID) + "e" + strconv.FormatInt(at.UnixMilli(), 10) + "-" + sum
	case "INTERACTION_CREATE":
		f.sent = f.ID.Time()
	}
	return id
}

// complete reports whether the event has what its kind is about.
func (f *dispatchFields) complete() bool {
	switch f.kind {
	case "edit":
		return f.ID != ""
	case "delete":
		return f.ID != "" || len(f.IDs) > 0
	case "reaction":
		return f.MessageID != ""
	case "kick":
		return f.User != nil && (f.User.ID != "" || f.User.Username != "")
	}
	return !f.Away // of a guild: we have not come or gone, it is out of order
}

// who returns who did it, nil if the event does not say.
func (f *dispatchFields) who() *dispatchUser {
	switch {
	case f.Author != nil:
		return f.Author
	case f.User != nil:
		return f.User
	case f.Member.User != nil:
		return f.Member.User
	case f.UserID != "":
		return &dispatchUser{ID: f.UserID}
	}
	return nil
}

// appendPlace appends the guild and the channel.
func appendPlace(dst []byte, d *discord.Dispatch) []byte {
	if guild := d.GuildID(); guild != "" {
		dst = append(dst, `,"guild":{"id":`...)
		dst = append(appendString(dst, guild), '}')
	}
	if channel := d.ChannelID(); channel != "" {
		dst = append(dst, `,"channel":{"id":`...)
		dst = append(appendString(dst, channel), '}')
	}
	return dst
}

// append appends what f says.
func (f *dispatchFields) append(dst []byte, d *discord.Dispatch) []byte {
	dst = appendField(dst, `,"kind":`, f.kind)
	switch {
	case f.kind == "user_notice":
		name := systemMessages[f.Type]
		if name == "" {
			name = strconv.Itoa(f.Type)
		}
		dst = appendField(dst, `,"type":`, name)
	case d.Type != "MESSAGE_CREATE" || f.kind == "other":
		dst = appendField(dst, `,"type":`, cmp.Or(d.Type, "(none)")) // of a service that names none
	}
	switch f.kind {
	case "other":
		return dst
	case "kick":
		dst = appendDispatchUser(append(dst, `,"target":{"user":`...), f.User, "")
		return append(dst, '}')
	}
	if u := f.who(); u != nil {
		dst = f.appendUser(dst, u)
	}
	switch f.kind {
	case "edit":
		dst = appendTarget(dst, string(f.ID), "", "")
	case "delete":
		dst = f.appendDeleted(dst)
	case "reaction":
		dst = appendTarget(dst, string(f.MessageID), "", "")
		dst = f.appendEmoji(dst)
	case "interaction":
		text := f.Data.Name
		if text == "" {
			text = f.Data.CustomID
		}
		return appendField(dst, `,"text":`, text)
	}
	if d.Type == "MESSAGE_CREATE" || f.kind == "edit" {
		dst = appendField(dst, `,"text":`, f.Content)
		dst = appendEmojiFragments(dst, f.Content)
		dst = f.appendReplyTo(dst)
	}
	return f.appendFlags(dst, d)
}

func (f *dispatchFields) appendUser(dst []byte, u *dispatchUser) []byte {
	name := f.Member.Nick
	if name == "" {
		name = f.Nick
	}
	return appendDispatchUser(append(dst, `,"user":`...), u, name)
}

// appendDispatchUser appends the fields of a user and the bracket; nick is that of the guild, or "".
func appendDispatchUser(dst []byte, u *dispatchUser, nick string) []byte {
	name := nick
	if name == "" {
		name = u.GlobalName
	}
	if name == u.Username {
		name = ""
	}
	n := len(dst)
	return closeObject(appendUserFields(dst, string(u.ID), u.Username, name), n)
}

func (f *dispatchFields) appendDeleted(dst []byte) []byte {
	if len(f.IDs) == 0 {
		return appendTarget(dst, string(f.ID), "", "")
	}
	dst = append(dst, `,"target":{"message_ids":[`...)
	for i, id := range f.IDs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, string(id))
	}
	return append(dst, "]}"...)
}

func (f *dispatchFields) appendEmoji(dst []byte) []byte {
	if f.Emoji == (dispatchEmoji{}) {
		return dst
	}
	dst = append(dst, `,"emoji":`...)
	n := len(dst)
	dst = appendField(dst, `,"id":`, string(f.Emoji.ID))
	dst = appendField(dst, `,"name":`, f.Emoji.Name)
	return closeObject(dst, n)
}

func (f *dispatchFields) appendReplyTo(dst []byte) []byte {
	if f.Reference.MessageID == "" || f.Type != discord.MessageReply {
		return dst
	}
	dst = append(dst, `,"reply_to":{"id":`...)
	dst = appendString(dst, string(f.Reference.MessageID))
	if r := f.Referenced; r != nil {
		if r.Author != nil {
			dst = appendDispatchUser(append(dst, `,"user":`...), r.Author, "")
		}
		dst = appendField(dst, `,"text":`, r.Content)
	}
	return append(dst, '}')
}

func (f *dispatchFields) appendFlags(dst []byte, d *discord.Dispatch) []byte {
	n := len(dst)
	flag := func(on bool, name string) {
		switch {
		case !on:
			return
		case len(dst) == n:
			dst = append(dst, `,"flags":["`...)
		default:
			dst = append(dst, `,"`...)
		}
		dst = append(append(dst, name...), '"')
	}
	u := f.who()
	flag(f.WebhookID != "", "webhook")
	flag(u != nil && u.Bot && f.WebhookID == "", "bot")
	flag(f.Reference.Type == referenceForward, "forwarded")
	flag(strings.HasPrefix(d.Type, "MESSAGE_REACTION_REMOVE"), "removed")
	flag(d.Type == "GUILD_CREATE" || d.Type == "GUILD_DELETE", "self")
	flag(d.Backfill, "backfill")
	if len(dst) > n {
		dst = append(dst, ']')
	}
	return dst
}

// appendEmojiFragments appends text cut at the emojis of guilds in it, which
// are written <:name:id> or <a:name:id>; nothing if there are none.
func appendEmojiFragments(dst []byte, text string) []byte {
	done, found := 0, false
	for i := 0; i < len(text); i++ {
		if text[i] != '<' {
			continue
		}
		n, id := customEmoji(text[i:])
		if n == 0 {
			continue
		}
		if !found {
			dst = append(dst, `,"fragments":[`...)
			found = true
		}
		dst = appendFragment(dst, "text", "", text[done:i])
		dst = appendFragment(dst, "emote", id, text[i:i+n])
		done = i + n
		i = done - 1
	}
	if !found {
		return dst
	}
	dst = appendFragment(dst, "text", "", text[done:])
	dst[len(dst)-1] = ']'
	return dst
}

// customEmoji returns the length of the emoji that s begins with and its id; 0
// if it begins with none (reference, "Message Formatting").
func customEmoji(s string) (n int, id string) {
	rest, ok := strings.CutPrefix(s, "<:")
	if !ok {
		if rest, ok = strings.CutPrefix(s, "<a:"); !ok {
			return 0, ""
		}
	}
	name := 0
	for name < len(rest) && name < 33 && isWord(rest[name]) {
		name++
	}
	if name < 2 || name > 32 || name == len(rest) || rest[name] != ':' {
		return 0, ""
	}
	rest = rest[name+1:]
	digits := 0
	for digits < len(rest) && digits < 21 && '0' <= rest[digits] && rest[digits] <= '9' {
		digits++
	}
	if digits == 0 || digits == 21 || digits == len(rest) || rest[digits] != '>' {
		return 0, ""
	}
	return len(s) - len(rest) + digits + 1, rest[:digits]
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// appendPayload appends the payload as it was received, unless it tells how to
// take the session over.
func (e *encoder) appendPayload(dst []byte, d *discord.Dispatch) []byte {
	if d.Type == "READY" {
		return dst
	}
	return e.appendRaw(dst, unsafe.String(unsafe.SliceData(d.Raw), len(d.Raw)))
}
