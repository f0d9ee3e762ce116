package irctest

import (
	"strings"
	"time"
)

// message takes PRIVMSG, NOTICE and TAGMSG.
func (p ircd) message(c *conn, l clientLine) {
	targets := strings.Split(l.param(0), ",")
	if n := p.conf().MsgTargets; n >= 0 && len(targets) > n {
		p.s.violate(TooManyTargets, c, "", l.verb)
		p.num(c, "407", l.param(0)+" :Too many recipients")
		return
	}
	if l.verb != "TAGMSG" && l.param(1) == "" {
		p.num(c, "412", ":No text to send")
		return
	}
	for _, to := range targets {
		d := ircSay(p.s, c.account().login, p.source(c), l.verb, l.param(1))
		if p.valid(p.fold(to)) {
			p.toChannel(c, to, l, d)
		} else {
			p.toNick(c, to, l)
		}
	}
}

func (p ircd) toChannel(c *conn, to string, l clientLine, d draft) {
	ch := p.s.lookup(to)
	if ch == nil {
		p.num(c, "403", to+" :No such channel")
		return
	}
	if c.membership(ch) == nil {
		p.num(c, "404", to+" :Cannot send to channel")
		return
	}
	except := c
	if c.caps.Load()&capEcho != 0 {
		except = nil
	}
	var scratch []byte
	p.s.post(ch, d, except, &scratch)
}

// toNick sends a private message. It has no channel, so no judge asks after it.
func (p ircd) toNick(c *conn, to string, l clientLine) {
	p.s.mu.RLock()
	o := p.s.nicks[p.casefold(to)]
	p.s.mu.RUnlock()
	if o == nil {
		if l.verb == "PRIVMSG" {
			p.num(c, "401", to+" :No such nick/channel")
		}
		return
	}
	line := ":" + p.source(c) + " " + l.verb + " " + o.nickname()
	if l.verb != "TAGMSG" {
		line += " :" + l.param(1)
	}
	for _, x := range []*conn{o, c} {
		if x == o || c.caps.Load()&capEcho != 0 {
			tags := ""
			if x.caps.Load()&(capTags|capServerTime) != 0 {
				tags = "@time=" + stamp(time.Now()) + " "
			}
			x.line(tags + line)
		}
	}
}

// stamp writes a time as server-time asks for it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// ircSay returns the draft of a channel message. Its first tag is the time,
// for connections that asked for nothing else.
func ircSay(s *Server, account, source, verb, text string) draft {
	tag := ""
	if s.lookupAccount(account) != nil {
		tag = ";account=" + escapeTag(account)
	}
	return draftFunc{counts: verb != "TAGMSG", f: func(b []byte, ch *channel, id []byte, ms int64) []byte {
		b = append(b, "@time="+stamp(time.UnixMilli(ms))...)
		if len(id) > 0 {
			b = append(b, ";msgid="...)
			b = append(b, id...)
		}
		b = append(b, tag+" :"+source+" "+verb+" "+ch.wire...)
		if verb != "TAGMSG" {
			b = append(b, " :"+text...)
		}
		return b
	}}
}
