package discord

import (
	"time"

	"github.com/goccy/go-json"
)

// Message is a message of a channel (resources/message). Content, Attachments,
// Embeds and Poll are empty without IntentMessageContent, except in messages of
// the bot's own, to it or that mention it.
type Message struct {
	ID              ID        `json:"id"`
	ChannelID       ID        `json:"channel_id"`
	GuildID         ID        `json:"guild_id"` // "" in direct messages and for ephemeral ones
	Author          User      `json:"author"`
	Member          *Member   `json:"member"` // of the author; nil outside of guilds and for webhooks
	Content         string    `json:"content"`
	Timestamp       time.Time `json:"timestamp"`
	EditedTimestamp time.Time `json:"edited_timestamp"` // zero if it was never edited
	TTS             bool      `json:"tts"`
	Pinned          bool      `json:"pinned"`
	Type            int       `json:"type"`
	Flags           uint64    `json:"flags"`
	Nonce           ID        `json:"nonce"` // what the sender gave, text or number

	MentionEveryone bool   `json:"mention_everyone"`
	Mentions        []User `json:"mentions"`
	MentionRoles    []ID   `json:"mention_roles"`

	Attachments []Attachment    `json:"attachments"`
	Embeds      []Embed         `json:"embeds"`
	Stickers    []Sticker       `json:"sticker_items"`
	Poll        json.RawMessage `json:"poll"`

	WebhookID     ID `json:"webhook_id"` // set where a webhook sent it
	ApplicationID ID `json:"application_id"`

	Reference  *MessageReference `json:"message_reference"`
	Referenced *Message          `json:"referenced_message"` // what it replies to; nil if that is gone
	Snapshots  []MessageSnapshot `json:"message_snapshots"`  // what it forwards
}

// Types of messages that are written by somebody; the rest are of the system.
const (
	MessageDefault            = 0
	MessageReply              = 19
	MessageChatInputCommand   = 20
	MessageContextMenuCommand = 23
)

// Bits of Message.Flags.
const (
	MessageCrossposted uint64 = 1 << 0
	MessageIsCrosspost uint64 = 1 << 1
	MessageEphemeral   uint64 = 1 << 6
	MessageSilent      uint64 = 1 << 12
)

// MessageReference says which message another one answers, forwards or tells of.
type MessageReference struct {
	Type      int `json:"type"` // 0: reply, 1: forward
	MessageID ID  `json:"message_id"`
	ChannelID ID  `json:"channel_id"`
	GuildID   ID  `json:"guild_id"`
}

// MessageSnapshot is a forwarded message as it was, without its author.
type MessageSnapshot struct {
	Message Message `json:"message"`
}

// Attachment is a file of a message.
type Attachment struct {
	ID          ID     `json:"id"`
	Filename    string `json:"filename"`
	Description string `json:"description"`
	ContentType string `json:"content_type"`
	Size        int64  `json:"size"`
	URL         string `json:"url"`
	ProxyURL    string `json:"proxy_url"`
	Width       int    `json:"width"`
	Height      int    `json:"height"`
	Flags       uint64 `json:"flags"`
}

// Embed is a box below a message, as far as a reader of text cares.
type Embed struct {
	Type        string       `json:"type"`
	Title       string       `json:"title"`
	Description string       `json:"description"`
	URL         string       `json:"url"`
	Color       int64        `json:"color"`
	Author      EmbedName    `json:"author"`
	Provider    EmbedName    `json:"provider"`
	Footer      EmbedFooter  `json:"footer"`
	Image       EmbedMedia   `json:"image"`
	Thumbnail   EmbedMedia   `json:"thumbnail"`
	Video       EmbedMedia   `json:"video"`
	Fields      []EmbedField `json:"fields"`
}

// EmbedName is the author or provider of an Embed.
type EmbedName struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// EmbedFooter is the last line of an Embed.
type EmbedFooter struct {
	Text string `json:"text"`
}

// EmbedMedia is a picture or film of an Embed.
type EmbedMedia struct {
	URL      string `json:"url"`
	ProxyURL string `json:"proxy_url"`
}

// EmbedField is one named text of an Embed.
type EmbedField struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Inline bool   `json:"inline"`
}

// Sticker is a sticker of a message.
type Sticker struct {
	ID         ID     `json:"id"`
	Name       string `json:"name"`
	FormatType int    `json:"format_type"`
}

// Emoji is an emoji of a guild, or of Unicode if its ID is "".
type Emoji struct {
	ID       ID     `json:"id"`
	Name     string `json:"name"`
	Animated bool   `json:"animated"`
}
