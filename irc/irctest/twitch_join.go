package irctest

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// noticeTexts has the words that Twitch uses beside the msg-ids that this
// server sends. Clients are told to compare ids, not texts.
var noticeTexts = map[string]string{
	"msg_channel_suspended": "This channel does not exist or has been suspended.",
	"msg_banned":            "You are permanently banned from talking in this channel.",
	"msg_timedout":          "You are timed out and may not talk for a while.",
	"tos_ban":               "This channel was closed due to a violation of the Terms of Service.",
	"msg_room_not_found":    "This room could not be found.",
	"msg_concurrent_channel_limit_reached": "You are connected to too many chat channels. " +
		"Please close some existing chat connections before opening another.",
	"msg_ratelimit":     "Your message was not sent because you are sending messages too quickly.",
	"msg_duplicate":     "Your message was not sent because it is identical to the previous one you sent, less than 30 seconds ago.",
	"msg_slowmode":      "This room is in slow mode and you are sending messages too quickly.",
	"msg_subsonly":      "This room is in subscribers only mode.",
	"msg_emoteonly":     "This room is in emote only mode.",
	"msg_r9k":           "This room is in unique-chat mode and the message you attempted to send is not unique.",
	"msg_followersonly": "This room is in followers-only mode.",
	"unrecognized_cmd":  "Unrecognized command.",
	"slow_on":           "This room is now in slow mode.",
	"slow_off":          "This room is no longer in slow mode.",
	"subs_on":           "This room is now in subscribers-only mode.",
	"subs_off":          "This room is no longer in subscribers-only mode.",
	"emote_only_on":     "This room is now in emote-only mode.",
	"emote_only_off":    "This room is no longer in emote-only mode.",
	"followers_on":      "This room is now in followers-only mode.",
	"followers_off":     "This room is no longer in followers-only mode.",
}

// notice sends a NOTICE to one connection.
func (p twitch) notice(c *conn, wire, id string) {
	text := noticeTexts[id]
	if text == "" {
		text = strings.ReplaceAll(id, "_", " ")
	}
	line := ":" + p.s.cfg.Name + " NOTICE " + wire + " :" + text
	if c.caps.Load()&capTags != 0 {
		line = "@msg-id=" + id + " " + line
	}
	c.line(line)
}

func (p twitch) join(c *conn, names []string) {
	acc := c.account()
	over := 0
	for i, name := range names {
		acc.mu.Lock()
		within := acc.joins.take(time.Now())
		acc.mu.Unlock()
		if !within {
			over++
			names[i] = ""
			continue
		}
		names[i] = p.fold(name)
		if !strings.HasPrefix(name, "#") {
			names[i] = ""
		}
	}
	if over > 0 {
		p.s.violate(TooManyJoins, c, "", strconv.Itoa(over)+" over the budget")
		if !p.s.cfg.DropExcessJoins {
			c.end(hangUp)
			return
		}
	}
	for _, name := range names {
		if name != "" {
			p.joinOne(c, acc, name)
		}
	}
}

func (p twitch) joinOne(c *conn, acc *account, name string) {
	if notice, refused := p.s.refusal(name); refused {
		if notice != "" {
			p.notice(c, "#"+name, notice)
		}
		return
	}
	ch := p.s.existing(name)
	if ch == nil {
		return // quietly dropped, as Twitch says of itself
	}
	ch.mu.Lock()
	notice := ch.room.refusesJoin(acc.login)
	exempt := ch.room.privileged(ch.folded(), acc.login, false)
	ch.mu.Unlock()
	if notice != "" {
		p.notice(c, "#"+name, notice)
		return
	}
	if limit := acc.limits.Channels; limit >= 0 && !exempt && c.membership(ch) == nil && acc.counted(p.s) >= limit {
		p.s.violate(TooManyChannels, c, name, "the account is in "+strconv.Itoa(limit)+" already")
		p.notice(c, "#"+name, "msg_concurrent_channel_limit_reached")
		return
	}
	nick := c.nickname()
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.folded() != name { // renamed meanwhile
		return
	}
	m := p.s.enter(ch, c, func() []byte { return p.welcome(c, acc, ch, nick) })
	if m != nil {
		p.announce(c, m, "JOIN")
	}
}

// welcome returns the answer to a JOIN. The caller holds ch.mu.
func (p twitch) welcome(c *conn, acc *account, ch *channel, nick string) []byte {
	caps := c.caps.Load()
	b := make([]byte, 0, 768)
	b = append(b, who(nick)+" JOIN "+ch.wire+"\r\n"...)
	host := ":" + nick + ".tmi.twitch.tv "
	b = append(b, host+"353 "+nick+" = "+ch.wire+" :"+nick+"\r\n"...)
	if caps&capMembership != 0 {
		b = p.names(b, ch, host+"353 "+nick+" = "+ch.wire+" :")
	}
	b = append(b, host+"366 "+nick+" "+ch.wire+" :End of /NAMES list\r\n"...)
	if caps&capCommands == 0 {
		return b
	}
	if !acc.anon {
		if caps&capTags != 0 {
			b = append(p.userTags(append(b, '@'), acc, ch, ""), ' ')
		}
		b = append(b, ":"+p.s.cfg.Name+" USERSTATE "+ch.wire+"\r\n"...)
	}
	if caps&capTags != 0 {
		b = append(ch.room.state(append(b, '@'), ch.roomID), ' ')
	}
	return append(b, ":"+p.s.cfg.Name+" ROOMSTATE "+ch.wire+"\r\n"...)
}

// maxNames is how many members Twitch lists, and up to how many it tells of
// others' JOINs and PARTs.
const maxNames = 1000

func (p twitch) names(b []byte, ch *channel, head string) []byte {
	if len(ch.members) == 0 || len(ch.members) > maxNames {
		return b
	}
	room := 0
	for _, m := range ch.members {
		nick := m.c.nickname()
		if room < len(nick)+1 {
			if room != 0 {
				b = append(b, "\r\n"...)
			}
			b = append(b, head...)
			room = 400
		} else {
			b = append(b, ' ')
		}
		b = append(b, nick...)
		room -= len(nick) + 1
	}
	return append(b, "\r\n"...)
}

// announce tells the members that asked for it of another's JOIN or PART. The
// caller holds ch.mu.
func (p twitch) announce(c *conn, m *membership, verb string) {
	if len(m.ch.members) > maxNames {
		return
	}
	line := ""
	for _, o := range m.ch.members {
		if o.c != c && o.c.caps.Load()&capMembership != 0 {
			if line == "" {
				line = who(c.nickname()) + " " + verb + " " + m.ch.wire
			}
			o.c.line(line)
		}
	}
}

// userTags appends the tags of a USERSTATE. The caller holds ch.mu.
func (p twitch) userTags(b []byte, acc *account, ch *channel, extra string) []byte {
	badges, mod, kind := "", "0", ""
	switch {
	case ch.folded() == acc.login:
		badges = "broadcaster/1"
	case slices.Contains(ch.room.Mods, acc.login):
		badges, mod, kind = "moderator/1", "1", "mod"
	case slices.Contains(ch.room.VIPs, acc.login):
		badges = "vip/1"
	}
	sub := "0"
	if slices.Contains(ch.room.Subscribers, acc.login) {
		sub = "1"
	}
	return append(b, "badge-info=;badges="+badges+extra+";color=;display-name="+acc.display+
		";emote-sets=0;mod="+mod+";subscriber="+sub+";user-type="+kind...)
}

func (p twitch) part(c *conn, names []string) {
	for _, name := range names {
		ch := p.s.lookup(name)
		if ch == nil {
			continue
		}
		ch.mu.Lock()
		if m := c.membership(ch); m != nil {
			p.announce(c, m, "PART")
			p.selfPart(c, m, "")
		}
		ch.mu.Unlock()
	}
}
