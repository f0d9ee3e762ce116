package discord

import "github.com/goccy/go-json"

// Interaction is a command, component or form that a user used; it wants an
// answer within 3 s (interactions/receiving-and-responding).
type Interaction struct {
	ID            ID              `json:"id"`
	ApplicationID ID              `json:"application_id"`
	Type          int             `json:"type"`
	Data          json.RawMessage `json:"data"`
	Token         Secret          `json:"token"` // what the answer is sent with, for 15 min
	GuildID       ID              `json:"guild_id"`
	ChannelID     ID              `json:"channel_id"`
	Member        *Member         `json:"member"`  // who, in a guild
	User          *User           `json:"user"`    // who, elsewhere
	Message       *Message        `json:"message"` // what the component stands on
	Locale        string          `json:"locale"`
	GuildLocale   string          `json:"guild_locale"`
	Permissions   Permissions     `json:"app_permissions"`
}

// Types of interactions.
const (
	InteractionPing         = 1
	InteractionCommand      = 2
	InteractionComponent    = 3
	InteractionAutocomplete = 4
	InteractionModal        = 5
)

// Sender returns who used it, nil if Discord does not say.
func (i *Interaction) Sender() *User {
	if i.Member != nil && i.Member.User != nil {
		return i.Member.User
	}
	return i.User
}
