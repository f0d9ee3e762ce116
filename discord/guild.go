package discord

import "time"

// Guild is a server (resources/guild), with what GUILD_CREATE adds to it. Members
// are few without IntentGuildPresences or beyond 75,000 of them: the bot's own and
// those in voice channels. What is left of an Unavailable one is its ID.
type Guild struct {
	ID              ID        `json:"id"`
	Unavailable     bool      `json:"unavailable"`
	Name            string    `json:"name"`
	Icon            string    `json:"icon"` // hash
	Description     string    `json:"description"`
	OwnerID         ID        `json:"owner_id"`
	PreferredLocale string    `json:"preferred_locale"`
	Features        []string  `json:"features"`
	PremiumTier     int       `json:"premium_tier"`
	SystemChannelID ID        `json:"system_channel_id"`
	RulesChannelID  ID        `json:"rules_channel_id"`
	Roles           []Role    `json:"roles"`
	JoinedAt        time.Time `json:"joined_at"` // when the bot was added; from here on only in GUILD_CREATE

	Large       bool         `json:"large"`
	MemberCount int          `json:"member_count"`
	Channels    []Channel    `json:"channels"`
	Threads     []Channel    `json:"threads"`
	Members     []Member     `json:"members"`
	VoiceStates []VoiceState `json:"voice_states"`
}

// UnavailableGuild is a guild of which only the ID is known: one of READY, or
// of GUILD_DELETE, where Unavailable tells an outage from a guild that was left.
type UnavailableGuild struct {
	ID          ID   `json:"id"`
	Unavailable bool `json:"unavailable"`
}

// Role is a role of a guild. Its ID is the guild's for @everyone.
type Role struct {
	ID          ID          `json:"id"`
	Name        string      `json:"name"`
	Color       int64       `json:"color"`
	Hoist       bool        `json:"hoist"`
	Position    int         `json:"position"`
	Permissions Permissions `json:"permissions"`
	Managed     bool        `json:"managed"`
	Mentionable bool        `json:"mentionable"`
}

// GuildRole is a role that was made or changed.
type GuildRole struct {
	GuildID ID   `json:"guild_id"`
	Role    Role `json:"role"`
}

// RoleDelete is a role that was deleted.
type RoleDelete struct {
	GuildID ID `json:"guild_id"`
	RoleID  ID `json:"role_id"`
}
