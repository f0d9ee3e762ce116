package discord

import (
	"context"

	"github.com/chatshard/chatshard/balancer"
)

// Handlers sorts events by type. Its method Handle is a [balancer.Handler]:
//
//	h := &discord.Handlers{Message: func(ctx context.Context, e balancer.Event, m *discord.Message) { ... }}
//	err := b.Run(ctx, h.Handle)
//
// A nil func passes its type over, and what no func takes is not decoded.
// Handlers must not be changed once in use; its funcs are called as the
// balancer calls: one at a time for a shard, several at once for several
// shards. What they are given is theirs to keep; e.Data is not, where
// balancer.Config.Reuse is set.
type Handlers struct {
	// Any is called for every event, before the func of its type.
	Any func(ctx context.Context, e balancer.Event)
	// Cache, if set, has every event applied to it before the func of its
	// type is called.
	Cache Cache

	Ready   func(ctx context.Context, e balancer.Event, r *Ready)
	Resumed func(ctx context.Context, e balancer.Event)

	Message           func(ctx context.Context, e balancer.Event, m *Message)
	MessageUpdate     func(ctx context.Context, e balancer.Event, m *Message) // an edit, or embeds that were filled in later; what was not sent is empty
	MessageDelete     func(ctx context.Context, e balancer.Event, m *MessageDelete)
	MessageDeleteBulk func(ctx context.Context, e balancer.Event, m *MessageDeleteBulk)
	ReactionAdd       func(ctx context.Context, e balancer.Event, r *Reaction)
	ReactionRemove    func(ctx context.Context, e balancer.Event, r *Reaction)
	Typing            func(ctx context.Context, e balancer.Event, t *Typing)
	Interaction       func(ctx context.Context, e balancer.Event, i *Interaction)

	GuildAvailable   func(ctx context.Context, e balancer.Event, g *Guild) // backfill: a guild that the bot was in already
	GuildJoin        func(ctx context.Context, e balancer.Event, g *Guild) // the bot was added
	GuildUpdate      func(ctx context.Context, e balancer.Event, g *Guild)
	GuildUnavailable func(ctx context.Context, e balancer.Event, g *UnavailableGuild) // an outage
	GuildLeave       func(ctx context.Context, e balancer.Event, g *UnavailableGuild) // the bot was removed, or the guild deleted
	RoleCreate       func(ctx context.Context, e balancer.Event, r *GuildRole)
	RoleUpdate       func(ctx context.Context, e balancer.Event, r *GuildRole)
	RoleDelete       func(ctx context.Context, e balancer.Event, r *RoleDelete)

	ChannelCreate func(ctx context.Context, e balancer.Event, c *Channel)
	ChannelUpdate func(ctx context.Context, e balancer.Event, c *Channel)
	ChannelDelete func(ctx context.Context, e balancer.Event, c *Channel)
	ThreadCreate  func(ctx context.Context, e balancer.Event, c *Channel) // also when the bot is added to one
	ThreadUpdate  func(ctx context.Context, e balancer.Event, c *Channel)
	ThreadDelete  func(ctx context.Context, e balancer.Event, c *Channel) // ID, GuildID, ParentID and Type only

	MemberAdd    func(ctx context.Context, e balancer.Event, m *Member)
	MemberUpdate func(ctx context.Context, e balancer.Event, m *Member)
	MemberRemove func(ctx context.Context, e balancer.Event, m *MemberRemove)
	MembersChunk func(ctx context.Context, e balancer.Event, c *MembersChunk)
	Presence     func(ctx context.Context, e balancer.Event, p *PresenceUpdate)
	VoiceState   func(ctx context.Context, e balancer.Event, v *VoiceState)

	RateLimited func(ctx context.Context, e balancer.Event, r *RateLimited)

	// Other is called for events that no func above takes.
	Other func(ctx context.Context, e balancer.Event)
	// Invalid is called instead of an event's func if the event could not be
	// decoded, and for an error of Cache. Where it is nil, the event is passed
	// over.
	Invalid func(ctx context.Context, e balancer.Event, err error)

	// What the balancer says. Other has what has no func here.
	Up      func(ctx context.Context, e balancer.Event, up balancer.Up)
	Settled func(ctx context.Context, e balancer.Event) // all guilds of the shard are there or given up
	Down    func(ctx context.Context, e balancer.Event, down balancer.Down)
	Gap     func(ctx context.Context, e balancer.Event, gap balancer.Gap)
}

// Handle calls the func for the type of e.
func (h *Handlers) Handle(ctx context.Context, e balancer.Event) {
	if h.Any != nil {
		h.Any(ctx, e)
	}
	if h.Cache != nil {
		if err := h.Cache.Apply(ctx, e); err != nil {
			h.invalid(ctx, e, err)
		}
	}
	if !h.handle(ctx, e) && h.Other != nil {
		h.Other(ctx, e)
	}
}

// handle reports whether there is a func for e, which it has called.
func (h *Handlers) handle(ctx context.Context, e balancer.Event) bool {
	switch d := e.Data.(type) {
	case *Dispatch:
		return d != nil && h.dispatch(ctx, e, d)
	case balancer.Up:
		return callWith(h.Up, ctx, e, d)
	case balancer.Down:
		return callWith(h.Down, ctx, e, d)
	case balancer.Gap:
		return callWith(h.Gap, ctx, e, d)
	case balancer.Settled:
		return callPlain(h.Settled, ctx, e)
	}
	return false
}

func (h *Handlers) dispatch(ctx context.Context, e balancer.Event, d *Dispatch) bool {
	switch d.Type {
	case "MESSAGE_CREATE":
		return callDecoded(h, h.Message, ctx, e, d)
	case "MESSAGE_UPDATE":
		return callDecoded(h, h.MessageUpdate, ctx, e, d)
	case "MESSAGE_DELETE":
		return callDecoded(h, h.MessageDelete, ctx, e, d)
	case "MESSAGE_DELETE_BULK":
		return callDecoded(h, h.MessageDeleteBulk, ctx, e, d)
	case "MESSAGE_REACTION_ADD":
		return callDecoded(h, h.ReactionAdd, ctx, e, d)
	case "MESSAGE_REACTION_REMOVE":
		return callDecoded(h, h.ReactionRemove, ctx, e, d)
	case "TYPING_START":
		return callDecoded(h, h.Typing, ctx, e, d)
	case "PRESENCE_UPDATE":
		return callDecoded(h, h.Presence, ctx, e, d)
	case "VOICE_STATE_UPDATE":
		return callDecoded(h, h.VoiceState, ctx, e, d)
	case "INTERACTION_CREATE":
		return callDecoded(h, h.Interaction, ctx, e, d)
	case "READY":
		return callDecoded(h, h.Ready, ctx, e, d)
	case "RESUMED":
		return callPlain(h.Resumed, ctx, e)
	case "GUILD_CREATE":
		if d.Backfill {
			return callDecoded(h, h.GuildAvailable, ctx, e, d)
		}
		return callDecoded(h, h.GuildJoin, ctx, e, d)
	case "GUILD_UPDATE":
		return callDecoded(h, h.GuildUpdate, ctx, e, d)
	case "GUILD_DELETE":
		return h.guildDelete(ctx, e, d)
	case "GUILD_ROLE_CREATE":
		return callDecoded(h, h.RoleCreate, ctx, e, d)
	case "GUILD_ROLE_UPDATE":
		return callDecoded(h, h.RoleUpdate, ctx, e, d)
	case "GUILD_ROLE_DELETE":
		return callDecoded(h, h.RoleDelete, ctx, e, d)
	case "CHANNEL_CREATE":
		return callDecoded(h, h.ChannelCreate, ctx, e, d)
	case "CHANNEL_UPDATE":
		return callDecoded(h, h.ChannelUpdate, ctx, e, d)
	case "CHANNEL_DELETE":
		return callDecoded(h, h.ChannelDelete, ctx, e, d)
	case "THREAD_CREATE":
		return callDecoded(h, h.ThreadCreate, ctx, e, d)
	case "THREAD_UPDATE":
		return callDecoded(h, h.ThreadUpdate, ctx, e, d)
	case "THREAD_DELETE":
		return callDecoded(h, h.ThreadDelete, ctx, e, d)
	case "GUILD_MEMBER_ADD":
		return callDecoded(h, h.MemberAdd, ctx, e, d)
	case "GUILD_MEMBER_UPDATE":
		return callDecoded(h, h.MemberUpdate, ctx, e, d)
	case "GUILD_MEMBER_REMOVE":
		return callDecoded(h, h.MemberRemove, ctx, e, d)
	case "GUILD_MEMBERS_CHUNK":
		return callDecoded(h, h.MembersChunk, ctx, e, d)
	case "RATE_LIMITED":
		return callDecoded(h, h.RateLimited, ctx, e, d)
	}
	return false
}

// guildDelete tells an outage from a guild that was left, which only the data
// does.
func (h *Handlers) guildDelete(ctx context.Context, e balancer.Event, d *Dispatch) bool {
	if h.GuildUnavailable == nil && h.GuildLeave == nil {
		return false
	}
	var g UnavailableGuild
	if err := d.Decode(&g); err != nil {
		h.invalid(ctx, e, err)
		return true
	}
	f := h.GuildLeave
	if g.Unavailable {
		f = h.GuildUnavailable
	}
	return callWith(f, ctx, e, &g)
}

func (h *Handlers) invalid(ctx context.Context, e balancer.Event, err error) {
	if h.Invalid != nil {
		h.Invalid(ctx, e, err)
	}
}

func callDecoded[T any](h *Handlers, f func(context.Context, balancer.Event, *T), ctx context.Context, e balancer.Event, d *Dispatch) bool {
	if f == nil {
		return false
	}
	v := new(T)
	if err := d.Decode(v); err != nil {
		h.invalid(ctx, e, err)
		return true
	}
	f(ctx, e, v)
	return true
}

func callWith[T any](f func(context.Context, balancer.Event, T), ctx context.Context, e balancer.Event, v T) bool {
	if f == nil {
		return false
	}
	f(ctx, e, v)
	return true
}

func callPlain(f func(context.Context, balancer.Event), ctx context.Context, e balancer.Event) bool {
	if f == nil {
		return false
	}
	f(ctx, e)
	return true
}
