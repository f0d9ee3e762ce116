package irctest

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

func (p ircd) join(c *conn, l clientLine) {
	if l.param(0) == "0" {
		for _, m := range c.memberships() {
			p.partOne(c, m.ch, "")
		}
		return
	}
	names, keys := strings.Split(l.param(0), ","), strings.Split(l.param(1), ",")
	if n := p.conf().JoinTargets; n >= 0 && len(names) > n {
		p.s.violate(TooManyTargets, c, "", "JOIN")
		p.num(c, "407", l.param(0)+" :Too many recipients")
		return
	}
	acc := c.account()
	for i, name := range names {
		acc.mu.Lock()
		within := acc.joins.take(time.Now())
		acc.mu.Unlock()
		if !within {
			p.s.violate(TooManyJoins, c, name, "")
			p.num(c, "480", name+" :Cannot join channel: throttled")
			continue
		}
		key := ""
		if i < len(keys) {
			key = keys[i]
		}
		p.joinOne(c, acc, name, key, false)
	}
}

// refusals are the words of the numerics that refuse a JOIN.
var refusals = map[string]string{
	"403": "No such channel", "405": "You have joined too many channels",
	"437": "Channel is temporarily unavailable", "471": "Cannot join channel (+l)",
	"473": "Cannot join channel (+i)", "474": "Cannot join channel (+b)",
	"475": "Cannot join channel (+k)", "476": "Bad Channel Mask",
	"477": "Cannot join channel (+r): you need to be identified with services",
	"480": "Cannot join channel: throttled", "489": "Cannot join channel (+S)",
}

func (p ircd) joinOne(c *conn, acc *account, asked, key string, forwarded bool) {
	name := p.fold(asked)
	refuse := func(code string) { p.num(c, code, asked+" :"+refusals[code]) }
	if !p.valid(name) {
		code := "403"
		if asked != "" && strings.ContainsAny(asked[:1], p.conf().ChanTypes) {
			code = "476"
		}
		refuse(code)
		return
	}
	if code, refused := p.s.refusal(name); refused {
		if code != "" {
			refuse(code)
		}
		return
	}
	ch := p.s.lookup(name)
	if ch == nil {
		if ch = p.s.existing(name); ch == nil {
			refuse("403")
			return
		}
		ch.mu.Lock()
		ch.rename(name, asked) // the first to come decides about its case
		ch.mu.Unlock()
	}
	if c.membership(ch) != nil {
		return
	}
	if n := p.conf().ChanLimit; n >= 0 && len(c.memberships()) >= n {
		p.s.violate(TooManyChannels, c, name, "CHANLIMIT "+strconv.Itoa(n))
		refuse("405")
		return
	}
	if n := acc.limits.Channels; n >= 0 && acc.counted(p.s) >= n {
		p.s.violate(TooManyChannels, c, name, "the account is in "+strconv.Itoa(n)+" already")
		refuse("405")
		return
	}
	ch.mu.Lock()
	code := p.refuses(c, acc, ch, key)
	forward := ch.irc.Forward
	ch.mu.Unlock()
	switch {
	case forward != "" && !forwarded:
		p.num(c, "470", asked+" "+forward+" :Forwarding to another channel")
		p.joinOne(c, acc, forward, key, true)
		return
	case code != "":
		refuse(code)
		return
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	line := ":" + p.source(c) + " JOIN " + ch.wire
	m := p.s.enter(ch, c, func() []byte {
		if len(ch.members) == 0 {
			ch.irc.ops = map[*conn]bool{c: true}
		}
		b := append([]byte(line), "\r\n"...)
		if ch.irc.Topic != "" {
			b = append(b, ":"+p.s.cfg.Name+" 332 "+c.nickname()+" "+ch.wire+" :"+ch.irc.Topic+"\r\n"...)
		}
		return p.names(b, c, ch)
	})
	if m == nil {
		return
	}
	for _, o := range ch.members {
		if o != m {
			o.c.line(line)
		}
	}
}

// refuses returns the numeric that refuses a JOIN, or "". The caller holds
// ch.mu.
func (p ircd) refuses(c *conn, acc *account, ch *channel, key string) string {
	room := &ch.irc
	same := func(n string) bool { return p.casefold(n) == p.casefold(c.nickname()) }
	switch {
	case slices.ContainsFunc(room.Banned, same), slices.Contains(ch.room.Banned, p.casefold(acc.login)):
		return "474"
	case room.Limit > 0 && len(ch.members) >= room.Limit:
		return "471"
	case room.InviteOnly:
		return "473"
	case room.Key != "" && room.Key != key:
		return "475"
	case room.RegisteredOnly && p.casefold(acc.login) == p.casefold(c.nickname()) && p.s.lookupAccount(acc.login) != acc:
		return "477"
	}
	return ""
}

// lookupAccount returns the account of a login that somebody logged in to.
func (s *Server) lookupAccount(login string) *account {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.accounts[s.prof.casefold(login)]
}

// names appends the NAMES of a channel, the asking connection included. The
// caller holds ch.mu.
func (p ircd) names(b []byte, c *conn, ch *channel) []byte {
	head := ":" + p.s.cfg.Name + " 353 " + c.nickname() + " = " + ch.wire + " :"
	list := []string{}
	seen := false
	add := func(o *conn) {
		nick := o.nickname()
		if ch.irc.ops[o] {
			nick = "@" + nick
		}
		list = append(list, nick)
		seen = seen || o == c
	}
	for _, m := range ch.members {
		add(m.c)
	}
	if !seen {
		add(c)
	}
	for len(list) > 0 {
		n := min(len(list), 20)
		b = append(b, head+strings.Join(list[:n], " ")+"\r\n"...)
		list = list[n:]
	}
	return append(b, ":"+p.s.cfg.Name+" 366 "+c.nickname()+" "+ch.wire+" :End of /NAMES list.\r\n"...)
}

func (p ircd) part(c *conn, l clientLine) {
	for _, name := range strings.Split(l.param(0), ",") {
		ch := p.s.lookup(name)
		switch {
		case ch == nil:
			p.num(c, "403", name+" :No such channel")
		case c.membership(ch) == nil:
			p.num(c, "442", name+" :You're not on that channel")
		default:
			p.partOne(c, ch, l.param(1))
		}
	}
}

func (p ircd) partOne(c *conn, ch *channel, why string) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	m := c.membership(ch)
	if m == nil {
		return
	}
	line := ":" + p.source(c) + " PART " + ch.wire
	if why != "" {
		line += " :" + why
	}
	for _, o := range ch.members {
		o.c.line(line)
	}
	delete(ch.irc.ops, c)
	p.s.exit(m, true)
}

func (p ircd) kickBy(c *conn, l clientLine) {
	ch := p.s.lookup(l.param(0))
	if ch == nil {
		p.num(c, "403", l.param(0)+" :No such channel")
		return
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if !ch.irc.ops[c] {
		p.num(c, "482", ch.wire+" :You're not a channel operator")
		return
	}
	for _, m := range ch.members {
		if p.casefold(m.c.nickname()) == p.casefold(l.param(1)) {
			p.kick(m, p.source(c), l.param(2))
			return
		}
	}
	p.num(c, "441", l.param(1)+" "+ch.wire+" :They aren't on that channel")
}
