package irctest

import (
	"strings"
	"time"
)

// twitch is the profile of Twitch chat.
type twitch struct{ s *Server }

// session is what the reading goroutine knows of its connection's login.
type session struct {
	pass, user, nick string
	given            bool // PASS was sent
	done             bool // logged in
	negotiating      bool // plain IRC: CAP LS or REQ was sent, END not yet
	sasl             saslState
	flood            floodState
}

func (p twitch) fold(name string) string      { return strings.ToLower(bare(name)) }
func (p twitch) wire(folded string) string    { return "#" + folded }
func (p twitch) casefold(login string) string { return strings.ToLower(login) }

// valid reports whether a login may exist: [a-z0-9_]{1,25}.
func (p twitch) valid(name string) bool {
	if name == "" || len(name) > 25 {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

func (p twitch) tooLong(c *conn) { p.s.violate(TooLong, c, "", "a line without end") }

func (p twitch) leave(c *conn, m *membership) { p.announce(c, m, "PART") }

func (p twitch) farewell(*conn, string) {}

func (p twitch) closed(*conn) {}

// selfPart takes a membership away; the client sees a PART of itself. The
// caller holds ch.mu.
func (p twitch) selfPart(c *conn, m *membership, _ string) {
	if !p.s.exit(m, true) {
		return
	}
	c.line(who(c.nickname()) + " PART " + m.ch.wire)
}

func who(nick string) string { return ":" + nick + "!" + nick + "@" + nick + ".tmi.twitch.tv" }

func (p twitch) handle(c *conn, l clientLine) {
	switch l.verb {
	case "CAP":
		p.cap(c, l)
	case "PASS":
		c.login.pass, c.login.given = l.param(0), true
	case "NICK":
		if !c.login.done {
			p.login(c, l.param(0))
		}
	case "USER":
	case "PING":
		c.line(":" + p.s.cfg.Name + " PONG " + p.s.cfg.Name + " :" + l.param(len(l.params)-1))
	case "QUIT":
		c.finish()
	case "JOIN", "PART", "PRIVMSG":
		if !c.login.done {
			return
		}
		switch l.verb {
		case "JOIN":
			p.join(c, strings.Split(l.param(0), ","))
		case "PART":
			p.part(c, strings.Split(l.param(0), ","))
		case "PRIVMSG":
			p.privmsg(c, l)
		}
	default:
		if c.login.done {
			c.line(":" + p.s.cfg.Name + " 421 " + c.nickname() + " " + l.verb + " :Unknown command")
		}
		p.s.violate(BadCommand, c, "", l.verb)
	}
}

var twitchCaps = map[string]uint32{
	"twitch.tv/tags":       capTags,
	"twitch.tv/commands":   capCommands,
	"twitch.tv/membership": capMembership,
}

func (p twitch) cap(c *conn, l clientLine) {
	head := ":" + p.s.cfg.Name + " CAP * "
	switch strings.ToUpper(l.param(0)) {
	case "LS":
		c.line(head + "LS :twitch.tv/commands twitch.tv/membership twitch.tv/tags")
	case "REQ":
		asked := strings.TrimSpace(l.param(1))
		caps := c.caps.Load()
		for _, name := range strings.Fields(asked) {
			bit, ok := twitchCaps[name]
			if !ok {
				c.line(head + "NAK :" + asked)
				return
			}
			caps |= bit
		}
		c.caps.Store(caps)
		c.line(head + "ACK :" + asked)
	}
}

// Twitch's own texts for a login that it does not accept.
const (
	badAuth    = "Improperly formatted auth"
	failedAuth = "Login authentication failed"
)

func (p twitch) login(c *conn, nick string) {
	s := p.s
	nick = strings.ToLower(nick)
	c.login.nick = nick
	refuse := func(text string) {
		c.line(":" + s.cfg.Name + " NOTICE * :" + text)
		c.finish()
	}
	var acc *account
	digits := strings.TrimPrefix(nick, "justinfan")
	switch {
	case nick != digits && digits != "" && strings.Trim(digits, "0123456789") == "":
		acc = s.anonymous(c.addr)
	case !c.login.given || !strings.HasPrefix(c.login.pass, "oauth:") || !p.valid(nick):
		refuse(badAuth)
		return
	default:
		acc = s.named(nick)
	}
	token := strings.TrimPrefix(c.login.pass, "oauth:")
	c.mu.Lock()
	c.acc, c.nick, c.secret = acc, nick, token
	c.mu.Unlock()
	if acc == nil {
		refuse(failedAuth)
		return
	}
	acc.mu.Lock()
	within := acc.logins.take(time.Now())
	want := acc.token
	acc.mu.Unlock()
	if !within {
		s.violate(TooManyLogins, c, "", "")
		refuse("Login unsuccessful")
		return
	}
	s.mu.RLock()
	revoked := !acc.anon && s.revoked[acc.login+" "+token]
	s.mu.RUnlock()
	if !acc.anon && (token == "" || revoked || want != "" && want != token) {
		refuse(failedAuth)
		return
	}
	c.login.done = true
	s.stats.logins.Add(1)
	pre := ":" + s.cfg.Name + " "
	var b strings.Builder
	for _, l := range [...]string{
		"001 " + nick + " :Welcome, GLHF!", "002 " + nick + " :Your host is " + s.cfg.Name,
		"003 " + nick + " :This server is rather new", "004 " + nick + " :-",
		"375 " + nick + " :-", "372 " + nick + " :You are in a maze of twisty passages, all alike.",
		"376 " + nick + " :>",
	} {
		b.WriteString(pre + l + "\r\n")
	}
	if caps := c.caps.Load(); !acc.anon && caps&capCommands != 0 {
		if caps&capTags != 0 {
			b.WriteString("@badge-info=;badges=;color=;display-name=" + acc.display + ";emote-sets=0;user-id=" + acc.userID + ";user-type= ")
		}
		b.WriteString(pre + "GLOBALUSERSTATE\r\n")
	}
	c.lines([]byte(b.String()))
}
