package discord

import (
	"context"
	"strconv"

	"github.com/chatshard/chatshard/balancer"
)

// Apply takes what e says of guilds and what is in them. An error is a
// [*DecodeError]: e was not applied.
func (c *MemoryCache) Apply(_ context.Context, e balancer.Event) error {
	switch d := e.Data.(type) {
	case *Dispatch:
		if d != nil {
			return c.dispatch(e.Shard, d)
		}
	case balancer.Up:
		if !d.Resumed {
			c.missed(e.Shard, "")
		}
	case balancer.Gap:
		c.missed(e.Shard, ID(e.Key))
	}
	return nil
}

func (c *MemoryCache) dispatch(id balancer.ShardID, d *Dispatch) error {
	switch d.Type {
	case "READY":
		return applyDecoded(d, func(r *Ready) { c.ready(id, r) })
	case "GUILD_CREATE":
		return applyDecoded(d, func(g *Guild) { c.guildCreate(id.Gen, g) })
	case "GUILD_UPDATE":
		return applyDecoded(d, func(g *Guild) { c.guildUpdate(id.Gen, g) })
	case "GUILD_DELETE":
		return applyDecoded(d, c.guildDelete)
	case "GUILD_ROLE_CREATE", "GUILD_ROLE_UPDATE":
		return applyDecoded(d, func(r *GuildRole) { c.role(r.GuildID, r.Role, true) })
	case "GUILD_ROLE_DELETE":
		return applyDecoded(d, func(r *RoleDelete) {
			c.deleted.put(r.RoleID, "", struct{}{})
			c.roles.remove(r.RoleID)
		})
	case "CHANNEL_CREATE", "CHANNEL_UPDATE", "THREAD_CREATE", "THREAD_UPDATE":
		return applyDecoded(d, func(ch *Channel) { c.channel(ch.GuildID, *ch, true) })
	case "CHANNEL_DELETE", "THREAD_DELETE":
		return applyDecoded(d, c.channelDelete)
	case "THREAD_LIST_SYNC":
		return applyDecoded(d, func(l *struct {
			GuildID ID        `json:"guild_id"`
			Threads []Channel `json:"threads"`
		}) {
			for _, ch := range l.Threads {
				c.channel(l.GuildID, ch, true)
			}
		})
	case "GUILD_MEMBER_ADD", "GUILD_MEMBER_UPDATE":
		return applyDecoded(d, func(m *Member) { c.member(m.GuildID, *m, true) })
	case "GUILD_MEMBER_REMOVE":
		return applyDecoded(d, c.memberRemove)
	case "GUILD_MEMBERS_CHUNK":
		return applyDecoded(d, func(m *MembersChunk) {
			for _, m2 := range m.Members {
				c.member(m.GuildID, m2, true)
			}
		})
	case "USER_UPDATE":
		return applyDecoded(d, func(u *User) { c.user(*u, true) })
	}
	return nil
}

func applyDecoded[T any](d *Dispatch, f func(*T)) error {
	v := new(T)
	err := d.Decode(v)
	if err == nil {
		f(v)
	}
	return err
}

// ready drops the guilds that the bot has left while the shard was away. Those
// that another generation tells of are not this one's to drop: it may have been
// READY before the bot was added.
func (c *MemoryCache) ready(id balancer.ShardID, r *Ready) {
	c.user(r.User, true)
	in := make(map[ID]bool, len(r.Guilds))
	for _, g := range r.Guilds {
		in[g.ID] = true
	}
	gone := c.guilds.keys(func(g ID, e *guildEntry) bool {
		return e.gen == id.Gen && !in[g] && carriesGuild(id, g)
	})
	for _, g := range gone {
		c.leave(g)
	}
}

// missed marks the guilds whose events were missed: one, or all of a shard.
func (c *MemoryCache) missed(id balancer.ShardID, guild ID) {
	if guild != "" {
		c.guilds.change(guild, guild, func(e guildEntry, known bool) (guildEntry, bool) {
			e.missed = e.missed || e.gen == id.Gen
			return e, known
		})
		return
	}
	c.guilds.keys(func(g ID, e *guildEntry) bool {
		if e.gen == id.Gen && carriesGuild(id, g) {
			e.missed = true
		}
		return false
	})
}

// carriesGuild reports whether a guild's events come over the shard.
func carriesGuild(id balancer.ShardID, guild ID) bool {
	n, err := strconv.ParseUint(string(guild), 10, 64)
	return err == nil && (id.Count < 1 || int(n>>22%uint64(id.Count)) == id.Index)
}

func (c *MemoryCache) guildCreate(gen int, g *Guild) {
	if g.Unavailable || g.ID == "" {
		c.outage(g.ID)
		return
	}
	if joined, ok := c.left.get(g.ID); ok && !g.JoinedAt.IsZero() && !g.JoinedAt.After(joined) {
		return
	}
	c.left.remove(g.ID)
	replace := true
	c.guilds.change(g.ID, g.ID, func(old guildEntry, known bool) (guildEntry, bool) {
		if known && old.gen != gen && !old.missed && !old.Unavailable {
			replace = false
			old.gen = max(old.gen, gen)
			return old, true
		}
		return guildEntry{Guild: alone(g), gen: gen}, true
	})
	sent := make(map[ID]bool, len(g.Roles)+len(g.Channels)+len(g.Threads))
	for _, r := range g.Roles {
		sent[r.ID] = true
		c.role(g.ID, r, replace)
	}
	for _, list := range [][]Channel{g.Channels, g.Threads} {
		for _, ch := range list {
			sent[ch.ID] = true
			c.channel(g.ID, ch, replace)
		}
	}
	for _, m := range g.Members { // not all: those that are missing have not left
		c.member(g.ID, m, replace)
	}
	if replace {
		c.roles.retain(g.ID, func(id ID, _ Role) bool { return sent[id] })
		c.channels.retain(g.ID, func(id ID, _ Channel) bool { return sent[id] })
	}
}

// alone returns g without what is kept by an ID of its own.
func alone(g *Guild) Guild {
	v := *g
	v.Roles, v.Channels, v.Threads, v.Members, v.VoiceStates = nil, nil, nil, nil, nil
	return v
}

func (c *MemoryCache) guildUpdate(gen int, g *Guild) {
	if _, left := c.left.get(g.ID); left || g.ID == "" {
		return
	}
	c.guilds.change(g.ID, g.ID, func(old guildEntry, known bool) (guildEntry, bool) {
		if !known {
			return guildEntry{Guild: alone(g), gen: gen, missed: true}, true
		}
		v := alone(g)
		v.JoinedAt, v.Large, v.MemberCount, v.Unavailable = old.JoinedAt, old.Large, old.MemberCount, old.Unavailable
		old.Guild = v
		return old, true
	})
	for _, r := range g.Roles {
		c.role(g.ID, r, true)
	}
}

func (c *MemoryCache) guildDelete(g *UnavailableGuild) {
	if g.Unavailable {
		c.outage(g.ID)
		return
	}
	c.leave(g.ID)
}

// outage marks a guild of which Discord knows nothing for now.
func (c *MemoryCache) outage(guild ID) {
	c.guilds.change(guild, guild, func(old guildEntry, known bool) (guildEntry, bool) {
		old.Unavailable = true
		return old, known
	})
}

// leave drops a guild and all that is in it.
func (c *MemoryCache) leave(guild ID) {
	e, _ := c.guilds.get(guild)
	c.left.put(guild, "", e.JoinedAt) // the zero Time if it was not known: any later one is
	c.guilds.remove(guild)
	c.roles.drop(guild)
	c.channels.drop(guild)
	c.members.drop(guild)
}

// stays reports whether what has this ID may be kept in the guild.
func (c *MemoryCache) stays(guild, id ID) bool {
	_, deleted := c.deleted.get(id)
	_, left := c.left.get(guild)
	return id != "" && !deleted && !left
}

func (c *MemoryCache) role(guild ID, r Role, replace bool) {
	if c.stays(guild, r.ID) {
		c.roles.change(r.ID, guild, func(_ Role, known bool) (Role, bool) { return r, replace || !known })
	}
}

func (c *MemoryCache) channel(guild ID, ch Channel, replace bool) {
	if c.stays(guild, ch.ID) {
		ch.GuildID = guild
		c.channels.change(ch.ID, guild, func(_ Channel, known bool) (Channel, bool) { return ch, replace || !known })
	}
}

// channelDelete drops a channel and its threads, of which Discord says nothing.
func (c *MemoryCache) channelDelete(ch *Channel) {
	c.deleted.put(ch.ID, "", struct{}{})
	c.channels.remove(ch.ID)
	if ch.GuildID != "" && !ch.IsThread() && ch.Type != ChannelCategory {
		c.channels.retain(ch.GuildID, func(_ ID, t Channel) bool { return !t.IsThread() || t.ParentID != ch.ID })
	}
}

func (c *MemoryCache) member(guild ID, m Member, replace bool) {
	if m.UserID() == "" || !c.stays(guild, m.UserID()) {
		return
	}
	k := memberKey{guild, m.UserID()}
	if joined, ok := c.removed.get(k); ok {
		if !m.JoinedAt.After(joined) {
			return
		}
		c.removed.remove(k)
	}
	m.GuildID = guild
	c.user(*m.User, replace)
	c.members.change(k, guild, func(old Member, known bool) (Member, bool) {
		if known && m.JoinedAt.IsZero() {
			m.JoinedAt = old.JoinedAt
		}
		return m, !known || m.JoinedAt.After(old.JoinedAt) || replace && m.JoinedAt.Equal(old.JoinedAt)
	})
}

func (c *MemoryCache) memberRemove(m *MemberRemove) {
	k := memberKey{m.GuildID, m.User.ID}
	if old, ok := c.members.get(k); ok && !old.JoinedAt.IsZero() {
		c.removed.put(k, m.GuildID, old.JoinedAt)
	}
	c.members.remove(k)
}

func (c *MemoryCache) user(u User, replace bool) {
	if u.ID != "" {
		c.users.change(u.ID, "", func(_ User, known bool) (User, bool) { return u, replace || !known })
	}
}
