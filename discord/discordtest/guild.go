package discordtest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// guild is one server of Discord, or with id 0 all direct messages. It costs
// some hundred bytes: GUILD_CREATE is made when it is written.
type guild struct {
	id     uint64
	name   string
	joined atomic.Int64 // when AddGuild added a bot, in ms since 1970; 0: before the server began

	mu       sync.Mutex // guards all below; held while an event goes to all sessions, so that all see one order
	bots     []*bot
	outage   bool // unavailable
	withheld bool // never becomes available in a new session
}

// channels is how many each guild has: two of text, one of voice. Their ids
// follow the guild's.
const channels = 3

var channelNames = [channels]string{"general", "random", "voice"}

func newGuild(id, seed uint64) *guild {
	g := &guild{id: id}
	if id != 0 {
		g.name = fmt.Sprintf("guild %x", mix(seed^id)&0xffffff)
	}
	return g
}

// Channel returns the id of the n-th channel of a guild: 0 and 1 are text
// channels, 2 is a voice channel.
func Channel(guild uint64, n int) uint64 { return guild + 1 + uint64(n) }

// guildOf returns the guild that has the channel, or nil.
func (s *Server) guildOf(channel uint64) *guild {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for n := range channels {
		if g := s.guilds[channel-1-uint64(n)]; g != nil && g.id != 0 {
			return g
		}
	}
	return nil
}

// Guilds returns the ids of a bot's guilds, in a fixed order.
func (s *Server) Guilds(bot string) []uint64 {
	b := s.mustBot(bot)
	b.mu.RLock()
	defer b.mu.RUnlock()
	ids := make([]uint64, len(b.order))
	for i, g := range b.order {
		ids[i] = g.id
	}
	return ids
}

// AddGuild makes a bot a member of a guild, which is made if it does not
// exist; its sessions get a GUILD_CREATE.
func (s *Server) AddGuild(bot string, id uint64) {
	b := s.mustBot(bot)
	g, fresh := b.join(id)
	if !fresh {
		return
	}
	g.joined.Store(time.Now().UnixMilli())
	g.mu.Lock()
	defer g.mu.Unlock()
	b.each(id, func(sess *session) { sess.available(g) })
}

// RemoveGuild throws a bot out of a guild; its sessions get a GUILD_DELETE.
func (s *Server) RemoveGuild(name string, id uint64) {
	b := s.mustBot(name)
	g := s.guild(id)
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	b.mu.Lock()
	_, member := b.guilds[id]
	delete(b.guilds, id)
	b.order = slices.DeleteFunc(b.order, func(o *guild) bool { return o == g })
	b.mu.Unlock()
	if !member {
		return
	}
	g.bots = slices.DeleteFunc(g.bots, func(o *bot) bool { return o == b })
	p := guildDelete(g, false)
	b.each(id, func(sess *session) { sess.withdraw(g, p) })
	for _, j := range b.watchers() {
		j.track(g).unwant()
	}
}

// Outage makes a guild unavailable to everyone: GUILD_DELETE with unavailable.
// What is published in it meanwhile reaches nobody.
func (s *Server) Outage(id uint64) {
	g := s.guild(id)
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.outage {
		return
	}
	g.outage = true
	p := guildDelete(g, true)
	for _, b := range g.bots {
		b.each(id, func(sess *session) { sess.withdraw(g, p) })
	}
}

// Recover ends an Outage, and a [Server.Withhold]: GUILD_CREATE to everyone who
// waits for it.
func (s *Server) Recover(id uint64) {
	g := s.guild(id)
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.outage
	g.outage, g.withheld = false, false
	for _, b := range g.bots {
		b.each(id, func(sess *session) {
			if was || sess.waitsFor(id) {
				sess.available(g)
			}
		})
	}
}

// Withhold lets a guild never become available in sessions that begin from
// now on, until Recover.
func (s *Server) Withhold(id uint64) {
	if g := s.guild(id); g != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.withheld = true
	}
}

func guildDelete(g *guild, unavailable bool) *payload {
	d := append([]byte(`{"id":`), quoteID(g.id)...)
	if unavailable {
		d = append(d, `,"unavailable":true`...)
	}
	return &payload{t: "GUILD_DELETE", need: IntentGuilds, d: append(d, '}')}
}

// appendGuild appends the guild as GUILD_CREATE has it, padded to at least pad
// bytes with members.
func appendGuild(b []byte, g *guild, bt *bot, intents uint64, pad int) []byte {
	start := len(b)
	at := bt.s.Epoch().AddDate(1, 0, 0)
	if ms := g.joined.Load(); ms > 0 {
		at = time.UnixMilli(ms)
	}
	joined := at.UTC().Format("2006-01-02T15:04:05.000000+00:00")
	id := quoteID(g.id)
	b = fmt.Appendf(b, `{"id":%s,"name":%s,"icon":null,"icon_hash":null,"splash":null,"discovery_splash":null,"banner":null,"description":null,"home_header":null,`, id, quote(g.name))
	b = fmt.Appendf(b, `"owner_id":%s,"application_id":null,"region":"us-east","afk_channel_id":null,"afk_timeout":300,"system_channel_id":null,"system_channel_flags":0,`, quoteID(g.id+200))
	b = append(b, `"widget_enabled":false,"widget_channel_id":null,"verification_level":0,"default_message_notifications":1,"explicit_content_filter":0,"mfa_level":0,"nsfw":false,"nsfw_level":0,`...)
	b = append(b, `"rules_channel_id":null,"public_updates_channel_id":null,"safety_alerts_channel_id":null,"hub_type":null,"latest_onboarding_question_id":null,"incidents_data":null,`...)
	b = append(b, `"max_members":500000,"max_presences":null,"max_video_channel_users":25,"max_stage_video_channel_users":50,"vanity_url_code":null,"premium_tier":0,"premium_subscription_count":0,"premium_progress_bar_enabled":false,"preferred_locale":"en-US",`...)
	b = append(b, `"features":[],"emojis":[],"stickers":[],"soundboard_sounds":[],"threads":[],"stage_instances":[],"guild_scheduled_events":[],"embedded_activities":[],"activity_instances":[],"application_command_counts":{},"voice_states":[],"presences":[],`...)
	b = fmt.Appendf(b, `"joined_at":"%s","large":false,"lazy":true,"unavailable":false,"member_count":3,"version":1,`, joined)
	b = fmt.Appendf(b, `"roles":[{"id":%s,"name":"@everyone","description":null,"permissions":"2248473465835073","position":0,"color":0,"colors":{"primary_color":0,"secondary_color":null,"tertiary_color":null},"hoist":false,"managed":false,"mentionable":false,"icon":null,"unicode_emoji":null,"flags":0,"version":0}],`, id)
	b = append(b, `"channels":[`...)
	for n, name := range channelNames {
		if n > 0 {
			b = append(b, ',')
		}
		b = appendChannel(b, g, n, name)
	}
	b = append(b, `],"members":[`...)
	b = fmt.Appendf(b, `{"user":%s,"nick":null,"avatar":null,"banner":null,"roles":[],"joined_at":"%s","premium_since":null,"deaf":false,"mute":false,"pending":false,"communication_disabled_until":null,"unusual_dm_activity_until":null,"flags":0}`, bt.user(), joined)
	for n := uint64(0); len(b)-start < pad; n++ {
		b = append(b, `,{"user":`...)
		b = appendUser(b, g.id+1000+n, fmt.Sprintf("member%d", n), false)
		b = fmt.Appendf(b, `,"nick":null,"avatar":null,"roles":[],"joined_at":"%s","premium_since":null,"deaf":false,"mute":false,"pending":false,"communication_disabled_until":null,"flags":0}`, joined)
	}
	return append(b, `]}`...)
}

func appendChannel(b []byte, g *guild, n int, name string) []byte {
	b = fmt.Appendf(b, `{"id":%s,"type":`, quoteID(Channel(g.id, n)))
	if n == 2 {
		b = append(b, `2,"bitrate":64000,"user_limit":0,"rtc_region":null,`...)
	} else {
		b = append(b, `0,"topic":null,`...)
	}
	return fmt.Appendf(b, `"name":"%s","position":%d,"parent_id":null,"permission_overwrites":[],"nsfw":false,"last_message_id":null,"rate_limit_per_user":0,"flags":0,"version":1}`, name, n)
}

// timestamp is a time as Discord writes it.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000-07:00") }
