package irctest

import (
	"slices"
	"strconv"
	"time"
)

// IRC configures what only a plain IRC server has. The zero IRC works.
type IRC struct {
	Network     string   // default "ExampleNet"
	CaseMapping string   // "rfc1459" (default), "rfc1459-strict" or "ascii"
	ChanTypes   string   // default "#&"
	ChanLimit   int      // channels that one connection may join; default 50; negative: no limit
	JoinTargets int      // channels in one JOIN (TARGMAX); default 4; negative: no limit
	MsgTargets  int      // targets of one PRIVMSG (TARGMAX); default 4; negative: no limit
	LineLen     int      // bytes of a line with its CR LF, without tags; default 512
	NickLen     int      // default 16
	ChannelLen  int      // default 50
	ISupport    []string // further tokens of 005, such as "EXCEPTS"

	Password    string   // that PASS has to give; "": none
	SASL        []string // mechanisms; default PLAIN, EXTERNAL, SCRAM-SHA-256
	RequireSASL bool     // close connections that register without
	Caps        []string // further capabilities that can be had and do nothing

	FloodBurst int           // commands at once; default 20; negative: no limit
	FloodEvery time.Duration // time after which one more is allowed; default 500 ms
}

func (c IRC) withDefaults() IRC {
	str := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	num := func(n *int, d int) {
		if *n == 0 {
			*n = d
		}
	}
	str(&c.Network, "ExampleNet")
	str(&c.CaseMapping, "rfc1459")
	str(&c.ChanTypes, "#&")
	num(&c.ChanLimit, 50)
	num(&c.JoinTargets, 4)
	num(&c.MsgTargets, 4)
	num(&c.LineLen, 512)
	num(&c.NickLen, 16)
	num(&c.ChannelLen, 50)
	num(&c.FloodBurst, 20)
	if c.FloodEvery <= 0 {
		c.FloodEvery = 500 * time.Millisecond
	}
	if c.SASL == nil {
		c.SASL = []string{"PLAIN", "EXTERNAL", "SCRAM-SHA-256"}
	}
	return c
}

// isupport returns the tokens of 005.
func (c *IRC) isupport() []string {
	limit := ""
	if c.ChanLimit >= 0 {
		limit = strconv.Itoa(c.ChanLimit)
	}
	max := func(n int) string {
		if n < 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	return append([]string{
		"CASEMAPPING=" + c.CaseMapping, "CHANTYPES=" + c.ChanTypes, "CHANLIMIT=" + c.ChanTypes + ":" + limit,
		"CHANNELLEN=" + strconv.Itoa(c.ChannelLen), "CHANMODES=b,k,l,imnrst", "LINELEN=" + strconv.Itoa(c.LineLen),
		"NETWORK=" + c.Network, "NICKLEN=" + strconv.Itoa(c.NickLen), "PREFIX=(ov)@+",
		"TARGMAX=JOIN:" + max(c.JoinTargets) + ",KICK:1,NAMES:1,NOTICE:" + max(c.MsgTargets) + ",PRIVMSG:" + max(c.MsgTargets),
		"TOPICLEN=390",
	}, c.ISupport...)
}

// IRCRoom is the state of a plain IRC channel.
type IRCRoom struct {
	Topic          string
	Key            string   // JOIN without it gets 475
	Limit          int      // members; JOIN beyond gets 471; 0: none
	InviteOnly     bool     // JOIN gets 473
	RegisteredOnly bool     // JOIN without SASL gets 477
	Forward        string   // JOIN gets 470 and joins this channel instead
	Banned         []string // nicks; JOIN gets 474
}

type ircRoom struct {
	IRCRoom
	ops map[*conn]bool
}

// SetIRCRoom changes a plain IRC channel's state, making the channel if need be.
func (s *Server) SetIRCRoom(channel string, change func(*IRCRoom)) {
	ch := s.channel(channel)
	ch.mu.Lock()
	room := ch.irc.IRCRoom
	room.Banned = slices.Clone(room.Banned)
	ch.mu.Unlock()
	change(&room)
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.irc.IRCRoom = room
}

// foldCase folds a nick or channel name by the network's case mapping.
func foldCase(mapping, s string) string {
	b := []byte(s)
	for i, c := range b {
		switch {
		case 'A' <= c && c <= 'Z':
			b[i] = c + 'a' - 'A'
		case mapping == "ascii":
		case c == '[', c == ']', c == '\\':
			b[i] = c + '{' - '['
		case c == '~' && mapping == "rfc1459":
			b[i] = '^'
		}
	}
	return string(b)
}

// floodState is a bucket of commands.
type floodState struct {
	used int
	at   time.Time
}

// step spends one command at the time now and reports whether that is allowed.
func (f *floodState) step(now time.Time, burst int, every time.Duration) bool {
	if burst < 0 {
		return true
	}
	if back := int(now.Sub(f.at) / every); back > 0 {
		f.used = f.used - back
		f.at = f.at.Add(time.Duration(back) * every)
	}
	if f.used <= 0 {
		f.used, f.at = 0, now
	}
	f.used++
	return f.used <= burst
}
