package irctest

import (
	"strings"
	"time"
	"unicode/utf8"
)

// privmsg takes a message from a client through Twitch's rules.
func (p twitch) privmsg(c *conn, l clientLine) {
	acc, name, text := c.account(), p.fold(l.param(0)), l.param(1)
	if acc.anon || text == "" || !strings.HasPrefix(l.param(0), "#") {
		return // read-only; Twitch says nothing
	}
	ch := p.s.lookup(name)
	if ch == nil {
		if ch = p.s.existing(name); ch == nil {
			return
		}
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if notice, ok := p.admit(c, acc, ch, text, time.Now()); !ok {
		if notice != "" {
			p.notice(c, ch.wire, notice)
		}
		return
	}
	parent, _ := ch.find(l.tag("reply-parent-msg-id"))
	if id := l.tag("reply-parent-msg-id"); parent.ID == "" && id != "" {
		parent.ID = id
	}
	u := user{login: acc.login, display: acc.display, id: acc.userID,
		nonce: l.tag("client-nonce"), parent: parent,
		mod: ch.room.privileged(ch.folded(), acc.login, false)}
	var scratch []byte
	sent := p.s.postLocked(ch, u.say(text), c, &scratch, time.Now())
	sent.Login, sent.Text = acc.login, text
	ch.keep(sent)
	p.receipt(c, acc, ch, sent, u.nonce)
}

// receipt tells the sender that the message was taken: a USERSTATE with its
// id. The caller holds ch.mu.
func (p twitch) receipt(c *conn, acc *account, ch *channel, sent Sent, nonce string) {
	caps := c.caps.Load()
	if caps&capCommands == 0 {
		return
	}
	var b []byte
	if caps&capTags != 0 {
		extra := ";id=" + sent.ID
		if nonce != "" {
			extra = ";client-nonce=" + nonce + extra
		}
		b = append(p.userTags(append(b, '@'), acc, ch, extra), ' ')
	}
	c.line(string(append(b, ":"+p.s.cfg.Name+" USERSTATE "+ch.wire...)))
}

const (
	maxChars      = 500              // of a message; documented for the API, kept by all clients
	repeatWindow  = 30 * time.Second // for the same text
	channelPeriod = time.Second      // between messages to one channel
)

// admit applies the limits on messages and the room's rules. It returns the
// msg-id of the refusal; "" and false mean silence. The caller holds ch.mu.
func (p twitch) admit(c *conn, acc *account, ch *channel, text string, now time.Time) (notice string, ok bool) {
	privileged := ch.room.privileged(ch.folded(), acc.login, true)
	acc.mu.Lock()
	defer acc.mu.Unlock()
	if now.Before(acc.ignored) && !privileged {
		return "", false
	}
	// Messages as a moderator fill the smaller bucket too, without being
	// stopped by it; verified accounts have one limit for everything.
	small := acc.sends.take(now)
	if privileged && !acc.modSends.take(now) || !privileged && !small {
		acc.ignored = now.Add(penalty)
		p.s.violate(TooManySends, c, ch.wire, "ignored for an hour")
		return "msg_ratelimit", false
	}
	if notice = ch.room.refusesJoin(acc.login); notice != "" {
		return notice, false
	}
	switch {
	case !utf8.ValidString(text), utf8.RuneCountInString(text) > maxChars:
		p.s.violate(TooLong, c, ch.wire, "")
		return "", false
	case text[0] == '/' || text[0] == '.' && len(text) > 1 && text[1] != '.':
		if rest, me := strings.CutPrefix(text[1:], "me "); !me || rest == "" {
			return "unrecognized_cmd", false
		}
	}
	last := acc.last[ch]
	since := now.Sub(last.at)
	switch {
	case privileged:
	case !last.at.IsZero() && since < channelPeriod:
		p.s.violate(TooFast, c, ch.wire, "")
		return "msg_ratelimit", false
	case !last.at.IsZero() && since < ch.room.Slow:
		return "msg_slowmode", false
	case ch.room.SubsOnly && !contains(ch.room.Subscribers, acc.login):
		return "msg_subsonly", false
	case ch.room.EmoteOnly && !emotesOnly(text):
		return "msg_emoteonly", false
	case ch.room.FollowersOnly >= 0 && !contains(ch.room.Followers, acc.login):
		return "msg_followersonly", false
	case ch.room.Unique && last.text == text:
		return "msg_r9k", false
	case last.text == text && !last.at.IsZero() && since < repeatWindow:
		p.s.violate(DuplicateText, c, ch.wire, "")
		return "msg_duplicate", false
	}
	acc.last[ch] = sentText{text, now}
	return "", true
}

func contains(list []string, login string) bool {
	for _, l := range list {
		if l == login {
			return true
		}
	}
	return false
}

// emotesOnly reports whether a text consists of the emotes that this server
// knows.
func emotesOnly(text string) bool {
	for _, w := range strings.Fields(text) {
		if _, ok := emoteIDs[w]; !ok {
			return false
		}
	}
	return true
}

var emoteIDs = map[string]string{"Kappa": "25", "PogChamp": "305954156", "LUL": "425618", "BibleThump": "86", "Kreygasm": "41"}
