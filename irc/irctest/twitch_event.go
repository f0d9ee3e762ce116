package irctest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// UserNotice broadcasts a USERNOTICE of a kind ("sub", "resub", "raid", …).
// text is what the user wrote, or "". params are further tags, such as
// "msg-param-viewerCount=6".
func (s *Server) UserNotice(channel, kind, user, systemMsg, text string, params ...string) Sent {
	var extra string
	for _, p := range params {
		extra += ";" + p
	}
	return s.sayAs(s.channel(channel), user, text, userNotice(kind, user, systemMsg, text, extra))
}

func userNotice(kind, login, systemMsg, text, extra string) draft {
	u := someone(login)
	return draftFunc{counts: true, f: func(b []byte, ch *channel, id []byte, ms int64) []byte {
		b = append(b, "@badge-info=;badges=;color=;display-name="+u.display+";emotes=;flags=;id="...)
		b = append(b, id...)
		b = append(b, ";login="+u.login+";mod=0;msg-id="+kind+extra+";room-id="+ch.roomID+
			";subscriber=0;system-msg="+escapeTag(systemMsg)+";tmi-sent-ts="...)
		b = strconv.AppendInt(b, ms, 10)
		b = append(b, ";user-id="+u.id+";user-type= :tmi.twitch.tv USERNOTICE "+ch.wire...)
		if text != "" {
			b = append(b, " :"+text...)
		}
		return b
	}}
}

// ClearChat broadcasts a CLEARCHAT: of everything if user is "", of a ban if d
// is 0, of a timeout otherwise.
func (s *Server) ClearChat(in, user string, d time.Duration) Sent {
	return s.event(in, func(ch *channel, ms int64) string {
		tags := "@"
		if d > 0 {
			tags += "ban-duration=" + strconv.Itoa(int(d/time.Second)) + ";"
		}
		tags += "room-id=" + ch.roomID
		if user == "" {
			return fmt.Sprintf("%s;tmi-sent-ts=%d :%s CLEARCHAT %s", tags, ms, s.cfg.Name, ch.wire)
		}
		return fmt.Sprintf("%s;target-user-id=%s;tmi-sent-ts=%d :%s CLEARCHAT %s :%s",
			tags, userID(strings.ToLower(user)), ms, s.cfg.Name, ch.wire, user)
	})
}

// ClearMsg broadcasts the deletion of one message.
func (s *Server) ClearMsg(in, user, id, text string) Sent {
	return s.event(in, func(ch *channel, ms int64) string {
		return fmt.Sprintf("@login=%s;room-id=%s;target-msg-id=%s;tmi-sent-ts=%d :%s CLEARMSG %s :%s",
			user, ch.roomID, id, ms, s.cfg.Name, ch.wire, text)
	})
}

// Notice broadcasts a NOTICE with a msg-id to a channel.
func (s *Server) Notice(in, msgID, text string) Sent {
	return s.event(in, func(ch *channel, _ int64) string {
		return fmt.Sprintf("@msg-id=%s :%s NOTICE %s :%s", msgID, s.cfg.Name, ch.wire, text)
	})
}

// HostTarget broadcasts a HOSTTARGET; target "" ends hosting.
func (s *Server) HostTarget(in, target string, viewers int) Sent {
	if target == "" {
		target = "-"
	}
	return s.event(in, func(ch *channel, _ int64) string {
		return fmt.Sprintf(":%s HOSTTARGET %s :%s %d", s.cfg.Name, ch.wire, target, viewers)
	})
}

func (s *Server) event(name string, f func(ch *channel, ms int64) string) Sent {
	var scratch []byte
	return s.post(s.channel(name), draftFunc{f: func(b []byte, ch *channel, _ []byte, ms int64) []byte {
		return append(b, f(ch, ms)...)
	}}, nil, &scratch)
}

// Whisper sends a WHISPER to every connection of an account and returns to how
// many.
func (s *Server) Whisper(from, to, text string) int {
	u := someone(from)
	return s.RawTo(Target{Account: to}, fmt.Sprintf("@badges=;color=;display-name=%s;emotes=;message-id=1;thread-id=%s_%s;turbo=0;user-id=%s;user-type= %s WHISPER %s :%s",
		u.display, u.id, userID(to), u.id, who(u.login), to, text))
}

// Reconnect sends RECONNECT to every connection and closes it after d.
func (s *Server) Reconnect(d time.Duration) int {
	return s.Apply(Fault{Kind: Reconnect, For: d}, Target{})
}

// Ban bans an account from a channel. Its connections see a PART of
// themselves, everyone a CLEARCHAT; JOINs and messages are refused from now on.
func (s *Server) Ban(login, channel string) {
	login = s.prof.casefold(login)
	ch := s.channel(channel)
	ch.mu.Lock()
	if !slices.Contains(ch.room.Banned, login) {
		ch.room.Banned = append(slices.Clip(ch.room.Banned), login)
	}
	for _, m := range slices.Clone(ch.members) {
		if s.prof.casefold(m.c.account().name()) == login {
			s.prof.selfPart(m.c, m, "banned")
		}
	}
	ch.mu.Unlock()
	if _, ok := s.prof.(twitch); ok {
		s.ClearChat(channel, login, 0)
	}
}

// Unban lifts a ban.
func (s *Server) Unban(login, channel string) {
	login = s.prof.casefold(login)
	ch := s.channel(channel)
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.room.Banned = slices.DeleteFunc(slices.Clone(ch.room.Banned), func(l string) bool { return l == login })
}

// Revoke voids the token that an account logged in with: its connections get
// the NOTICE and are closed, and that token is not accepted any more. Another
// one is, unless Config.Accounts says which.
func (s *Server) Revoke(login string) int {
	n := 0
	for _, c := range s.live() {
		acc := c.account()
		if acc == nil || acc.anon || s.prof.casefold(acc.login) != s.prof.casefold(login) {
			continue
		}
		s.mu.Lock()
		s.revoked[acc.login+" "+c.token()] = true
		s.mu.Unlock()
		c.line(":" + s.cfg.Name + " NOTICE * :" + failedAuth)
		c.finish()
		n++
	}
	return n
}

// SetToken changes the token that an account has to log in with.
func (s *Server) SetToken(login, token string) {
	acc := s.named(login)
	if acc == nil {
		return
	}
	acc.mu.Lock()
	defer acc.mu.Unlock()
	acc.token = token
}

// Rename gives a Twitch channel a new login; its room-id stays. Those who are
// joined see a PART of themselves, and the old name does not exist any more.
func (s *Server) Rename(old, name string) {
	ch := s.lookup(old)
	if ch == nil {
		return
	}
	old, name = s.prof.fold(old), s.prof.fold(name)
	ch.mu.Lock()
	for _, m := range slices.Clone(ch.members) {
		s.prof.selfPart(m.c, m, "renamed")
	}
	ch.rename(name, s.prof.wire(name))
	ch.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.channels, old)
	s.renamed[old] = true
	delete(s.renamed, name)
	s.channels[name] = ch
}

// RoomID returns a Twitch channel's room-id, "" if there is no such channel.
func (s *Server) RoomID(channel string) string {
	ch := s.lookup(channel)
	if ch == nil {
		return ""
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.roomID
}

// SetRoomID sets a Twitch channel's room-id, making the channel if need be.
func (s *Server) SetRoomID(channel, id string) {
	ch := s.channel(channel)
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.roomID = id
}

// Members returns how many connections are joined to a channel.
func (s *Server) Members(channel string) int {
	ch := s.lookup(channel)
	if ch == nil {
		return 0
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return len(ch.members)
}
