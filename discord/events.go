package discord

import "time"

// Ready is the first event of a session (events/gateway-events, "Ready"). What
// resumes the session is not among it: the transport keeps that.
type Ready struct {
	Version     int                `json:"v"`
	User        User               `json:"user"` // the bot
	Guilds      []UnavailableGuild `json:"guilds"`
	Shard       [2]int             `json:"shard"` // number and count; a count of 0: none was given
	Application struct {
		ID    ID     `json:"id"`
		Flags uint64 `json:"flags"`
	} `json:"application"`
}

// MessageDelete is a message that was deleted.
type MessageDelete struct {
	ID        ID `json:"id"`
	ChannelID ID `json:"channel_id"`
	GuildID   ID `json:"guild_id"`
}

// MessageDeleteBulk is several messages that were deleted at once.
type MessageDeleteBulk struct {
	IDs       []ID `json:"ids"`
	ChannelID ID   `json:"channel_id"`
	GuildID   ID   `json:"guild_id"`
}

// Reaction is an emoji that was put below a message or taken away.
type Reaction struct {
	UserID          ID      `json:"user_id"`
	ChannelID       ID      `json:"channel_id"`
	MessageID       ID      `json:"message_id"`
	GuildID         ID      `json:"guild_id"`
	Member          *Member `json:"member"` // who added it, in a guild
	MessageAuthorID ID      `json:"message_author_id"`
	Emoji           Emoji   `json:"emoji"`
	Burst           bool    `json:"burst"`
}

// Typing is somebody who began to type.
type Typing struct {
	ChannelID ID      `json:"channel_id"`
	GuildID   ID      `json:"guild_id"`
	UserID    ID      `json:"user_id"`
	Unix      int64   `json:"timestamp"` // in seconds
	Member    *Member `json:"member"`
}

// Time returns when it was.
func (t *Typing) Time() time.Time { return time.Unix(t.Unix, 0) }

// PresenceUpdate is how a user appears and what he does. Discord vouches for
// nothing of User but its ID.
type PresenceUpdate struct {
	User struct {
		ID ID `json:"id"`
	} `json:"user"`
	GuildID    ID         `json:"guild_id"`
	Status     string     `json:"status"` // "online", "dnd", "idle" or "offline"
	Activities []Activity `json:"activities"`
}

// Activity is what somebody plays, streams, hears or has as a status.
type Activity struct {
	Name    string `json:"name"`
	Type    int    `json:"type"`
	URL     string `json:"url"`
	Details string `json:"details"`
	State   string `json:"state"`
}

// VoiceState is where somebody speaks.
type VoiceState struct {
	GuildID    ID      `json:"guild_id"`
	ChannelID  ID      `json:"channel_id"` // "": nowhere any more
	UserID     ID      `json:"user_id"`
	Member     *Member `json:"member"`
	Deaf       bool    `json:"deaf"`
	Mute       bool    `json:"mute"`
	SelfDeaf   bool    `json:"self_deaf"`
	SelfMute   bool    `json:"self_mute"`
	SelfStream bool    `json:"self_stream"`
	SelfVideo  bool    `json:"self_video"`
	Suppress   bool    `json:"suppress"`
}

// MemberRemove is a member who left or was made to.
type MemberRemove struct {
	GuildID ID   `json:"guild_id"`
	User    User `json:"user"`
}

// MembersChunk is a part of the answer to a request for members (op 8).
type MembersChunk struct {
	GuildID  ID       `json:"guild_id"`
	Members  []Member `json:"members"`
	Index    int      `json:"chunk_index"`
	Count    int      `json:"chunk_count"`
	NotFound []ID     `json:"not_found"`
	Nonce    string   `json:"nonce"`
}

// RateLimited says that Discord did not do what was sent, and why not.
type RateLimited struct {
	Opcode     int     `json:"opcode"`
	RetryAfter float64 `json:"retry_after"` // in seconds
	Meta       struct {
		GuildID ID     `json:"guild_id"`
		Nonce   string `json:"nonce"`
	} `json:"meta"` // of op 8
}

// Wait returns how long to wait before the next try.
func (r *RateLimited) Wait() time.Duration {
	return time.Duration(min(max(r.RetryAfter, 0), 1e9) * float64(time.Second))
}
