package irctest

import (
	"strings"
	"time"
)

// ircd is the profile of a plain IRC server.
type ircd struct{ s *Server }

func (p ircd) conf() *IRC { return &p.s.cfg.IRC }

func (p ircd) fold(name string) string     { return foldCase(p.conf().CaseMapping, name) }
func (p ircd) casefold(nick string) string { return foldCase(p.conf().CaseMapping, nick) }
func (p ircd) wire(folded string) string   { return folded }
func (p ircd) tooLong(c *conn) {
	p.s.violate(TooLong, c, "", "a line without end")
	p.num(c, "417", ":Input line was too long")
}

func (p ircd) valid(name string) bool {
	return len(name) > 1 && len(name) <= p.conf().ChannelLen &&
		strings.IndexByte(p.conf().ChanTypes, name[0]) >= 0 && !strings.ContainsAny(name, " ,\a")
}

// num sends a numeric to the connection.
func (p ircd) num(c *conn, code, rest string) {
	nick := c.nickname()
	if nick == "" {
		nick = "*"
	}
	c.line(":" + p.s.cfg.Name + " " + code + " " + nick + " " + rest)
}

// source is the connection's nick!user@host.
func (p ircd) source(c *conn) string {
	user := c.userName()
	if user == "" {
		user = "user"
	}
	host := c.addr
	if strings.HasPrefix(host, ":") {
		host = "0" + host
	}
	return c.nickname() + "!" + user + "@" + host
}

func (c *conn) userName() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.user
}

// farewell says why the server closes the connection.
func (p ircd) farewell(c *conn, why string) {
	c.line("ERROR :Closing Link: " + c.addr + " (" + why + ")")
	c.finish()
}

// leave tells the members that someone's connection has ended. The caller
// holds ch.mu.
func (p ircd) leave(c *conn, m *membership) {
	delete(m.ch.irc.ops, c)
	line := ":" + p.source(c) + " QUIT :Connection closed"
	for _, o := range m.ch.members {
		o.c.line(line)
	}
}

func (p ircd) closed(c *conn) {
	nick := p.casefold(c.nickname())
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.nicks[nick] == c {
		delete(p.s.nicks, nick)
	}
}

// selfPart kicks. The caller holds ch.mu.
func (p ircd) selfPart(c *conn, m *membership, why string) {
	p.kick(m, p.s.cfg.Name, why)
}

// Kick removes a nick from a plain IRC channel.
func (s *Server) Kick(channel, nick, why string) bool {
	p, ok := s.prof.(ircd)
	ch := s.lookup(channel)
	if !ok || ch == nil {
		return false
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for _, m := range ch.members {
		if p.casefold(m.c.nickname()) == p.casefold(nick) {
			p.kick(m, s.cfg.Name, why)
			return true
		}
	}
	return false
}

func (p ircd) kick(m *membership, by, why string) {
	line := ":" + by + " KICK " + m.ch.wire + " " + m.c.nickname() + " :" + why
	for _, o := range m.ch.members {
		o.c.line(line)
	}
	delete(m.ch.irc.ops, m.c)
	p.s.exit(m, true)
}

// Kill ends the connection of a nick with an ERROR.
func (s *Server) Kill(nick, why string) bool {
	s.mu.RLock()
	c := s.nicks[s.prof.casefold(nick)]
	s.mu.RUnlock()
	if c == nil {
		return false
	}
	s.prof.farewell(c, why)
	return true
}

func (p ircd) handle(c *conn, l clientLine) {
	if !c.login.done {
		p.register(c, l)
		return
	}
	if !c.login.flood.step(time.Now(), p.conf().FloodBurst, p.conf().FloodEvery) {
		p.s.violate(Flood, c, "", l.verb)
		p.farewell(c, "Excess Flood")
		return
	}
	if n := len(l.String()) - len(l.tags); n > p.conf().LineLen+2 {
		p.s.violate(TooLong, c, "", l.verb)
		p.num(c, "417", ":Input line was too long")
		return
	}
	switch l.verb {
	case "PING":
		c.line(":" + p.s.cfg.Name + " PONG " + p.s.cfg.Name + " :" + l.param(0))
	case "CAP":
		p.cap(c, l)
	case "AUTHENTICATE":
		p.authenticate(c, l.param(0))
	case "NICK":
		p.nick(c, l.param(0))
	case "JOIN":
		p.join(c, l)
	case "PART":
		p.part(c, l)
	case "KICK":
		p.kickBy(c, l)
	case "PRIVMSG", "NOTICE", "TAGMSG":
		p.message(c, l)
	case "MODE", "WHO", "WHOIS", "USERHOST", "TOPIC", "NAMES", "MOTD", "LIST":
		p.query(c, l)
	case "QUIT":
		p.farewell(c, "Client Quit")
	case "PASS", "USER":
		p.num(c, "462", ":You may not reregister")
	case "AWAY":
		p.num(c, "306", ":You have been marked as being away")
	default:
		p.num(c, "421", l.verb+" :Unknown command")
		p.s.violate(BadCommand, c, "", l.verb)
	}
}

// query answers the questions that clients ask after a JOIN.
func (p ircd) query(c *conn, l clientLine) {
	to := l.param(0)
	switch l.verb {
	case "MODE":
		if p.valid(p.fold(to)) {
			p.num(c, "324", to+" +nt")
		} else {
			p.num(c, "221", "+i")
		}
	case "WHO":
		p.num(c, "315", to+" :End of /WHO list")
	case "WHOIS":
		p.num(c, "318", to+" :End of /WHOIS list")
	case "USERHOST":
		p.num(c, "302", ":")
	case "NAMES":
		if ch := p.s.lookup(to); ch != nil {
			ch.mu.Lock()
			c.lines(p.names(nil, c, ch))
			ch.mu.Unlock()
			return
		}
		p.num(c, "366", to+" :End of /NAMES list")
	case "TOPIC":
		p.num(c, "331", to+" :No topic is set")
	case "MOTD":
		p.num(c, "422", ":MOTD File is missing")
	case "LIST":
		p.num(c, "323", ":End of /LIST")
	}
}
