package discord

import (
	"slices"
	"time"
)

// CacheConfig bounds a [MemoryCache]. Nil and the zero value work; a negative
// number means that nothing of the kind is kept.
type CacheConfig struct {
	Guilds   int // default 10,000
	Channels int // and threads; default 200,000
	Roles    int // default 200,000
	Members  int // default 100,000
	Users    int // default 100,000
}

// MemoryCache is a [Cache] in memory. Of each kind it holds at most what
// [CacheConfig] says; beyond that it forgets what was not asked for lately (by
// the clock algorithm). The room of large kinds is divided into parts, so that
// the first may be forgotten a little before all of it is used. What it returns
// is a copy.
//
// It learns from READY, from events about guilds, roles, channels, threads and
// members, and from MEMBERS_CHUNK; not from messages, which bring their author,
// nor from presences and voice states. A guild's MemberCount is that of its last
// GUILD_CREATE. Guilds that are unavailable stay, with Unavailable set.
//
// While shards are resized, events of two generations arrive, and what the new
// one says of a guild when it starts may be older than what the old one has told
// since. What can be known to be stale does not win:
//
//   - A GUILD_CREATE of another generation than that which is known to tell of
//     the guild adds what is missing and replaces nothing, unless events of the
//     guild were missed before ([balancer.Gap]).
//   - A channel or role that was deleted stays deleted: IDs do not come back.
//   - A member, or the bot itself in a guild, that left stays away until it
//     comes with a later joined_at; of two joined_at the later one wins.
//   - What belongs to a guild that was left is passed over.
//
// Among two updates of one thing the last to arrive wins: Discord gives them no
// stamp, so it cannot be known which is newer. Nor can it of what was deleted
// before the cache knew it.
type MemoryCache struct {
	guilds   *cacheTable[ID, guildEntry]
	channels *cacheTable[ID, Channel]
	roles    *cacheTable[ID, Role]
	members  *cacheTable[memberKey, Member]
	users    *cacheTable[ID, User]

	// What is gone, so that what is stale does not bring it back. Bounded: it
	// matters for as long as two generations deliver.
	deleted *cacheTable[ID, struct{}]         // channels and roles
	left    *cacheTable[ID, time.Time]        // guilds: when the bot had joined
	removed *cacheTable[memberKey, time.Time] // members: when they had joined
}

type memberKey struct{ guild, user ID }

type guildEntry struct {
	Guild
	gen    int  // the newest generation that told of it
	missed bool // events of it were missed
}

// maxGone bounds each table of what is gone.
const maxGone = 10_000

// NewMemoryCache returns an empty cache.
func NewMemoryCache(cfg *CacheConfig) *MemoryCache {
	var c CacheConfig
	if cfg != nil {
		c = *cfg
	}
	or := func(n, otherwise int) int {
		if n == 0 {
			return otherwise
		}
		return n
	}
	return &MemoryCache{
		guilds:   newCacheTable[ID, guildEntry](or(c.Guilds, 10_000)),
		channels: newCacheTable[ID, Channel](or(c.Channels, 200_000)),
		roles:    newCacheTable[ID, Role](or(c.Roles, 200_000)),
		members:  newCacheTable[memberKey, Member](or(c.Members, 100_000)),
		users:    newCacheTable[ID, User](or(c.Users, 100_000)),
		deleted:  newCacheTable[ID, struct{}](maxGone),
		left:     newCacheTable[ID, time.Time](maxGone),
		removed:  newCacheTable[memberKey, time.Time](maxGone),
	}
}

// Guild returns a guild without what has an ID of its own.
func (c *MemoryCache) Guild(id ID) (Guild, bool) {
	e, ok := c.guilds.get(id)
	e.Features = slices.Clone(e.Features)
	return e.Guild, ok
}

// Channel returns a channel or thread.
func (c *MemoryCache) Channel(id ID) (Channel, bool) {
	ch, ok := c.channels.get(id)
	ch.Recipients = slices.Clone(ch.Recipients)
	ch.Overwrites = slices.Clone(ch.Overwrites)
	if ch.Thread != nil {
		t := *ch.Thread
		ch.Thread = &t
	}
	return ch, ok
}

// Role returns a role.
func (c *MemoryCache) Role(id ID) (Role, bool) { return c.roles.get(id) }

// Member returns a user in a guild.
func (c *MemoryCache) Member(guild, user ID) (Member, bool) {
	m, ok := c.members.get(memberKey{guild, user})
	if !ok {
		return Member{}, false
	}
	m.Roles = slices.Clone(m.Roles)
	u, known := c.users.get(user) // another guild may have told of a newer name
	if !known {
		u = *m.User
	}
	m.User = &u
	return m, true
}

// User returns an account.
func (c *MemoryCache) User(id ID) (User, bool) { return c.users.get(id) }
