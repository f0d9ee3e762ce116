package discord

import (
	"context"

	"github.com/chatshard/chatshard/balancer"
)

// Cache remembers guilds, channels, roles, members and users from the events
// that are applied to it. Nothing is cached unless a bot sets Handlers.Cache, or
// calls Apply itself. [MemoryCache] is one; others may keep it elsewhere. It may
// be used by many goroutines.
//
// What a Cache does not know it may have forgotten: ask Discord's REST API.
type Cache interface {
	// Apply takes what e says of guilds and all that is in them. It passes
	// over events that say nothing of them. An error is about e alone.
	Apply(ctx context.Context, e balancer.Event) error

	// Guild returns a guild without its roles, channels, threads, members and
	// voice states: those have an ID each to be asked for by.
	Guild(id ID) (Guild, bool)
	// Channel returns a channel or thread.
	Channel(id ID) (Channel, bool)
	// Role returns a role; that of @everyone has the guild's ID.
	Role(id ID) (Role, bool)
	// Member returns a user in a guild, with GuildID and User set.
	Member(guild, user ID) (Member, bool)
	// User returns an account.
	User(id ID) (User, bool)
}
