package discord

import "time"

// Channel is a channel or thread of a guild, or a direct one (resources/channel).
// GuildID is not sent with those inside of a Guild.
type Channel struct {
	ID            ID              `json:"id"`
	Type          int             `json:"type"`
	GuildID       ID              `json:"guild_id"`
	ParentID      ID              `json:"parent_id"` // category, or the channel of a thread
	Name          string          `json:"name"`
	Topic         string          `json:"topic"`
	Position      int             `json:"position"`
	NSFW          bool            `json:"nsfw"`
	LastMessageID ID              `json:"last_message_id"`
	SlowMode      int             `json:"rate_limit_per_user"` // seconds
	OwnerID       ID              `json:"owner_id"`            // of a thread or group
	Recipients    []User          `json:"recipients"`          // of a direct one
	Overwrites    []Overwrite     `json:"permission_overwrites"`
	Thread        *ThreadMetadata `json:"thread_metadata"`
	Flags         uint64          `json:"flags"`
}

// Types of channels.
const (
	ChannelText               = 0
	ChannelDM                 = 1
	ChannelVoice              = 2
	ChannelGroupDM            = 3
	ChannelCategory           = 4
	ChannelAnnouncement       = 5
	ChannelAnnouncementThread = 10
	ChannelPublicThread       = 11
	ChannelPrivateThread      = 12
	ChannelStage              = 13
	ChannelDirectory          = 14
	ChannelForum              = 15
	ChannelMedia              = 16
)

// IsThread reports whether c is a thread.
func (c *Channel) IsThread() bool {
	return c.Type >= ChannelAnnouncementThread && c.Type <= ChannelPrivateThread
}

// Overwrite is what a channel allows and denies to a role or member.
type Overwrite struct {
	ID    ID          `json:"id"`
	Type  ID          `json:"type"` // "0": role, "1": member; words in old versions of the API
	Allow Permissions `json:"allow"`
	Deny  Permissions `json:"deny"`
}

// ThreadMetadata is what only threads have.
type ThreadMetadata struct {
	Archived         bool      `json:"archived"`
	Locked           bool      `json:"locked"`
	AutoArchive      int       `json:"auto_archive_duration"` // minutes
	ArchiveTimestamp time.Time `json:"archive_timestamp"`     // when Archived last changed
}
