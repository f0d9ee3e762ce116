package discord

import "time"

// User is an account (resources/user).
type User struct {
	ID            ID     `json:"id"`
	Username      string `json:"username"`
	GlobalName    string `json:"global_name"` // "" if the user chose none
	Discriminator string `json:"discriminator"`
	Avatar        string `json:"avatar"` // hash
	Bot           bool   `json:"bot"`
	System        bool   `json:"system"`
	PublicFlags   uint64 `json:"public_flags"`
}

// Name returns the name that is shown where a guild has given no other.
func (u *User) Name() string {
	if u.GlobalName != "" {
		return u.GlobalName
	}
	return u.Username
}

// Member is a user in a guild. GuildID is set in events about the member, User
// is not where the member comes with a message, whose author it is.
type Member struct {
	GuildID       ID        `json:"guild_id"`
	User          *User     `json:"user"`
	Nick          string    `json:"nick"`
	Avatar        string    `json:"avatar"` // hash of the guild's own
	Roles         []ID      `json:"roles"`
	JoinedAt      time.Time `json:"joined_at"`     // zero for guests
	PremiumSince  time.Time `json:"premium_since"` // zero without a boost
	TimedOutUntil time.Time `json:"communication_disabled_until"`
	Pending       bool      `json:"pending"`
	Deaf          bool      `json:"deaf"`
	Mute          bool      `json:"mute"`
	Flags         uint64    `json:"flags"`
}

// UserID returns the member's user, "" if the member came without.
func (m *Member) UserID() ID {
	if m.User == nil {
		return ""
	}
	return m.User.ID
}
