package irctest

import (
	"strings"
	"time"
)

// Say broadcasts a message of a user who need not be connected, and returns
// the record of what was sent. The channel must be able to exist. On plain IRC
// the user is a nick.
func (s *Server) Say(channel, user, text string) Sent {
	ch := s.channel(channel)
	d := someone(user).say(text)
	if _, plain := s.prof.(ircd); plain {
		d = ircSay(s, user, user+"!"+user+"@users.example", "PRIVMSG", text)
	}
	return s.sayAs(ch, user, text, d)
}

// Reply is Say as a reply to an earlier message.
func (s *Server) Reply(channel, user, parentID, text string) Sent {
	ch := s.channel(channel)
	u := someone(user)
	ch.mu.Lock()
	u.parent, _ = ch.find(parentID)
	ch.mu.Unlock()
	if u.parent.ID == "" {
		u.parent.ID = parentID
	}
	return s.sayAs(ch, user, text, u.say(text))
}

func (s *Server) sayAs(ch *channel, login, text string, d draft) Sent {
	var scratch []byte
	ch.mu.Lock()
	defer ch.mu.Unlock()
	sent := s.postLocked(ch, d, nil, &scratch, time.Now())
	sent.Login, sent.Text = strings.ToLower(login), text
	ch.keep(sent)
	return sent
}

// SayShared broadcasts a message of a Shared Chat session: each of the
// channels gets its own copy with its own id; source-id and source-room-id
// name the one in the first channel, where the user wrote it.
func (s *Server) SayShared(user, text string, channels ...string) []Sent {
	return s.share(channels, func(_ int, source string) draft {
		u := someone(user)
		u.shared = source
		return u.say(text)
	})
}

// NoticeShared is [Server.UserNotice] in a Shared Chat session: the copies are
// of kind sharedchatnotice and carry the original's in source-msg-id.
func (s *Server) NoticeShared(kind, user, systemMsg string, channels ...string) []Sent {
	return s.share(channels, func(i int, source string) draft {
		if i > 0 {
			return userNotice("sharedchatnotice", user, systemMsg, "", source+";source-msg-id="+kind)
		}
		return userNotice(kind, user, systemMsg, "", source)
	})
}

// share posts one draft to each channel. The first channel's serial is taken
// while it is locked, so that the original knows its own id beforehand.
func (s *Server) share(channels []string, draw func(i int, source string) draft) []Sent {
	var all []Sent
	var source string
	for i, name := range channels {
		ch := s.channel(name)
		ch.mu.Lock()
		if i == 0 {
			id := s.mint.append(nil, ch.num, ch.next)
			source = ";source-badge-info=;source-badges=;source-id=" + string(id) + ";source-only=0;source-room-id=" + ch.roomID
		}
		var scratch []byte
		sent := s.postLocked(ch, draw(i, source), nil, &scratch, time.Now())
		ch.mu.Unlock()
		all = append(all, sent)
	}
	return all
}

// Raw broadcasts a line to a channel's members as it stands, without CR LF.
// No judge asks after it.
func (s *Server) Raw(channel, line string) Sent {
	var scratch []byte
	return s.post(s.channel(channel), raw(line), nil, &scratch)
}

// RawTo sends a line as it stands to the connections of the target and returns
// to how many.
func (s *Server) RawTo(t Target, line string) int {
	n := 0
	for _, c := range s.live() {
		if s.fits(c, t) {
			c.line(line)
			n++
		}
	}
	return n
}
