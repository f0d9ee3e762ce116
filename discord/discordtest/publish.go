package discordtest

import "time"

// Publish dispatches an event to the sessions of a bot, given by name or
// token, "" being the first one. guild 0 is for direct messages and whatever
// belongs to no guild: it goes to shard 0. It returns the id of the message or
// interaction; for other events one that only [Config.EventIDs] shows to
// clients. It returns 0 where nothing was sent: the bot is not in the guild,
// or the guild is unavailable.
func (s *Server) Publish(bot string, guild uint64, e Event) ID {
	b := s.mustBot(bot)
	g := s.guild(guild)
	if g == nil {
		return 0
	}
	return s.publish(g, e, b)
}

// publish dispatches to the given bots, or to all bots of the guild.
func (s *Server) publish(g *guild, e Event, bots ...*bot) ID {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.outage {
		return 0
	}
	if len(bots) == 0 {
		bots = g.bots
	}
	if len(bots) == 0 {
		return 0
	}
	now := time.Now()
	id := s.mint.next(g.id)
	p := s.payload(&e, g, bots[0], id, now)
	sent := false
	for _, b := range bots {
		if !b.in(g) {
			continue
		}
		sent = true
		if p.id != 0 && b.wants(p) {
			channel := e.Channel
			if channel == 0 && g.id == 0 {
				channel = DMChannel(e.User)
			}
			for _, j := range b.watchers() {
				j.track(g).sent(id, channel)
			}
		}
		b.each(g.id, func(x *session) {
			if !x.deliver(p, g.id) {
				x.expire()
			}
		})
	}
	if !sent {
		return 0
	}
	s.stats.events.Add(1)
	return id
}

// in reports whether the bot sees the guild.
func (b *bot) in(g *guild) bool {
	if g.id == 0 {
		return true
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.guilds[g.id] != nil
}

// wants reports whether the bot's last identify asked for such events.
func (b *bot) wants(p *payload) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return p.need == 0 || p.need&b.intents != 0
}
