package irctest

import (
	"strings"
	"time"
)

// register handles the lines before 001.
func (p ircd) register(c *conn, l clientLine) {
	switch l.verb {
	case "CAP":
		p.cap(c, l)
	case "AUTHENTICATE":
		p.authenticate(c, l.param(0))
	case "PASS":
		c.login.pass = l.param(0)
	case "NICK":
		p.nick(c, l.param(0))
	case "USER":
		c.login.user = l.param(0)
		c.mu.Lock()
		c.user = "~" + l.param(0)
		c.mu.Unlock()
	case "PING":
		c.line(":" + p.s.cfg.Name + " PONG " + p.s.cfg.Name + " :" + l.param(0))
	case "QUIT":
		p.farewell(c, "Client Quit")
	default:
		p.num(c, "451", ":You have not registered")
	}
	p.welcome(c)
}

// nick claims a nick, which belongs to one connection at a time.
func (p ircd) nick(c *conn, nick string) {
	old := c.nickname()
	switch {
	case nick == "":
		p.num(c, "431", ":No nickname given")
		return
	case len(nick) > p.conf().NickLen || strings.ContainsAny(nick, " ,*?!@.#&:") || nick[0] >= '0' && nick[0] <= '9' || nick[0] == '-':
		p.num(c, "432", nick+" :Erroneous Nickname")
		return
	}
	p.s.mu.Lock()
	if o := p.s.nicks[p.casefold(nick)]; o != nil && o != c && !o.left() {
		p.s.mu.Unlock()
		p.num(c, "433", nick+" :Nickname is already in use.")
		return
	}
	if p.s.nicks[p.casefold(old)] == c {
		delete(p.s.nicks, p.casefold(old))
	}
	p.s.nicks[p.casefold(nick)] = c
	p.s.mu.Unlock()
	line := ":" + p.source(c) + " NICK :" + nick
	c.mu.Lock()
	c.nick = nick
	c.mu.Unlock()
	if !c.login.done {
		return
	}
	c.line(line)
	for _, m := range c.memberships() {
		m.ch.mu.Lock()
		for _, o := range m.ch.members {
			if o.c != c {
				o.c.line(line)
			}
		}
		m.ch.mu.Unlock()
	}
}

// welcome completes the registration once everything has been said.
func (p ircd) welcome(c *conn) {
	nick := c.nickname()
	if c.login.done || nick == "" || c.login.user == "" || c.login.negotiating || c.isClosing() {
		return
	}
	s := p.s
	acc := c.account()
	switch {
	case p.conf().Password != "" && c.login.pass != p.conf().Password:
		p.num(c, "464", ":Password incorrect")
		p.farewell(c, "Bad Password")
		return
	case p.conf().RequireSASL && acc == nil:
		p.num(c, "465", ":You need to identify via SASL to use this server")
		p.farewell(c, "SASL access only")
		return
	case acc == nil:
		acc = newAccount(nick, nil, s.cfg.Normal)
		c.mu.Lock()
		c.acc = acc
		c.mu.Unlock()
	}
	acc.mu.Lock()
	within := acc.logins.take(time.Now())
	acc.mu.Unlock()
	if !within {
		s.violate(TooManyLogins, c, "", "")
		p.farewell(c, "Connecting too fast")
		return
	}
	c.login.done = true
	c.login.flood.at = time.Now()
	s.stats.logins.Add(1)
	p.num(c, "001", ":Welcome to the "+p.conf().Network+" IRC Network "+nick)
	p.num(c, "002", ":Your host is "+s.cfg.Name)
	p.num(c, "003", ":This server was created for tests")
	p.num(c, "004", s.cfg.Name+" irctest o bklimnorst")
	tokens := p.conf().isupport()
	for len(tokens) > 0 {
		n := min(len(tokens), 6) // several lines, as on most networks
		p.num(c, "005", strings.Join(tokens[:n], " ")+" :are supported by this server")
		tokens = tokens[n:]
	}
	p.num(c, "375", ":- "+s.cfg.Name+" Message of the day -")
	p.num(c, "372", ":- Be nice to each other.")
	p.num(c, "376", ":End of /MOTD command.")
}

// caps that this server can do something about, in the order of CAP LS.
var ircCaps = []struct {
	name string
	bit  uint32
}{
	{"message-tags", capTags}, {"server-time", capServerTime}, {"echo-message", capEcho},
	{"account-tag", capAccountTag}, {"cap-notify", capNotify}, {"sasl", 0}, {"multi-prefix", 0}, {"batch", 0},
}

func (p ircd) capBit(name string) (uint32, bool) {
	for _, k := range ircCaps {
		if k.name == name && (name != "sasl" || len(p.conf().SASL) > 0) {
			return k.bit, true
		}
	}
	p.s.chaos.mu.Lock()
	defer p.s.chaos.mu.Unlock()
	for _, k := range p.conf().Caps {
		if k == name {
			return 0, true
		}
	}
	for _, k := range p.s.chaos.caps {
		if k == name {
			return 0, true
		}
	}
	return 0, false
}

func (p ircd) cap(c *conn, l clientLine) {
	sub := strings.ToUpper(l.param(0))
	switch sub {
	case "LS":
		c.login.negotiating = !c.login.done
		p.capLS(c, l.param(1))
	case "LIST":
		p.capReply(c, "LIST", "")
	case "REQ":
		c.login.negotiating = !c.login.done
		caps := c.caps.Load()
		for _, name := range strings.Fields(l.param(1)) {
			off := strings.HasPrefix(name, "-")
			bit, ok := p.capBit(strings.TrimPrefix(name, "-"))
			switch {
			case !ok:
				p.capReply(c, "NAK", l.param(1))
				return
			case off:
				caps &^= bit
			default:
				caps |= bit
			}
		}
		c.caps.Store(caps)
		p.capReply(c, "ACK", l.param(1))
	case "END":
		c.login.negotiating = false
	default:
		p.num(c, "410", l.param(0)+" :Invalid CAP command")
	}
}

func (p ircd) capReply(c *conn, sub, rest string) {
	nick := c.nickname()
	if nick == "" {
		nick = "*"
	}
	c.line(":" + p.s.cfg.Name + " CAP " + nick + " " + sub + " :" + rest)
}

// capLS lists the capabilities: with values and over several lines if the
// client speaks version 302.
func (p ircd) capLS(c *conn, version string) {
	v302 := version >= "302" && len(version) == 3
	var names []string
	for _, k := range ircCaps {
		switch {
		case k.name == "sasl" && len(p.conf().SASL) == 0:
			continue
		case k.name == "sasl" && v302:
			names = append(names, "sasl="+strings.Join(p.conf().SASL, ","))
		default:
			names = append(names, k.name)
		}
	}
	names = append(names, p.conf().Caps...)
	if !v302 {
		p.capReply(c, "LS", strings.Join(names, " "))
		return
	}
	c.caps.Store(c.caps.Load() | capNotify) // implied by 302
	for len(names) > 4 {
		p.capReply(c, "LS *", strings.Join(names[:4], " "))
		names = names[4:]
	}
	p.capReply(c, "LS", strings.Join(names, " "))
}

// NotifyCap tells connections with cap-notify that a capability is there from
// now on, or that it is gone.
func (s *Server) NotifyCap(name string, gone bool) {
	s.chaos.mu.Lock()
	if !gone {
		s.chaos.caps = append(s.chaos.caps, name)
	}
	s.chaos.mu.Unlock()
	verb := "NEW"
	if gone {
		verb = "DEL"
	}
	for _, c := range s.live() {
		if c.caps.Load()&capNotify != 0 {
			c.line(":" + s.cfg.Name + " CAP " + c.nickname() + " " + verb + " :" + name)
		}
	}
}
