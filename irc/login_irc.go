package irc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// ircCaps are asked for where the server has them: those that say more about
// messages, and need nothing else of whoever reads them.
var ircCaps = []string{"message-tags", "server-time", "account-tag", "echo-message", "cap-notify"}

// nickTries is how many nicks are tried.
const nickTries = 8

// ircLogin is the registration with a plain IRC server.
// https://modern.ircdocs.horse/#connection-registration
// https://ircv3.net/specs/extensions/capability-negotiation
type ircLogin struct {
	nick, user, real string
	password         Secret
	want             []string
	sasl             sasl

	tries   int               // nicks turned down
	offered map[string]string // with their values
	granted map[string]bool
	asked   int // REQs without an answer
	ended   bool
	welcome bool
	isup    *ISupport
}

func (l *ircLogin) begin() ([]byte, error) {
	l.isup = new(ISupport)
	l.offered, l.granted = map[string]string{}, map[string]bool{}
	out, err := AppendCap(nil, "LS", "302")
	if err == nil && !l.password.IsZero() {
		out, err = AppendPass(out, l.password.Reveal())
	}
	if err == nil {
		out, err = AppendNick(out, l.nick)
	}
	if err == nil {
		user, realName := orElse(l.user, l.nick), orElse(l.real, l.nick)
		out, err = Encoder{}.append(out, nil, "", "USER", true, []string{user, "0", "*", realName})
	}
	if err != nil {
		return nil, never(fmt.Errorf("%w: %w", ErrConfig, err))
	}
	return out, nil
}

func orElse(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

func (l *ircLogin) step(m *Message) (loginStep, error) {
	fail := func(err error, do string) (loginStep, error) {
		return loginStep{}, never(&LoginError{Login: l.name(), Text: strings.Clone(m.Text()), Do: do, Err: err})
	}
	switch cmd := m.Command(); cmd {
	case "PING":
		pong, err := AppendPong(nil, m.Text())
		return loginStep{send: pong}, err
	case "CAP":
		return l.cap(m)
	case "AUTHENTICATE":
		var out []byte
		var err error
		if l.sasl, out, err = l.sasl.challenge(m.Param(0)); err != nil {
			return fail(ErrToken, err.Error())
		}
		return loginStep{send: out}, nil
	case "903", "907":
		l.sasl.done = true
		return l.end()
	case "908":
		l.sasl.offers = strings.Clone(m.Param(1))
	case "902", "904", "905", "906":
		do := "check the account's name and password"
		if l.sasl.offers != "" {
			do += "; the server offers " + l.sasl.offers
		}
		return fail(ErrToken, do)
	case "001":
		l.welcome, l.nick = true, strings.Clone(m.Param(0))
	case "005":
		l.isup.Add(m)
	case "376", "422":
		if l.welcome && l.sasl.wanted() && !l.sasl.done {
			return loginStep{}, never(&LoginError{Login: l.name(), Err: ErrCapability, Do: "the server has no SASL: use an account without a login"})
		}
		return loginStep{done: l.welcome}, nil
	case "432", "433", "436", "437":
		if l.welcome {
			break
		}
		if l.tries++; l.tries == nickTries {
			err := &LoginError{Login: l.name(), Text: strings.Clone(m.Text()), Err: ErrNick,
				Do: "set Config.Nick to a template with {shard} that nobody else uses"}
			if cmd == "432" {
				return loginStep{}, never(err)
			}
			return loginStep{}, err
		}
		out, err := AppendNick(nil, l.candidate(cmd == "432"))
		return loginStep{send: out}, err
	case "464":
		return fail(ErrToken, "check the server's password")
	case "465":
		return fail(ErrBanned, "ask the network's staff")
	case "ERROR":
		text := strings.Clone(m.Text())
		if saysBanned(text) {
			return fail(ErrBanned, "ask the network's staff")
		}
		return loginStep{}, &ServerError{hide(text, l.password, l.sasl.password)}
	}
	return loginStep{}, nil
}

func (l *ircLogin) result() loginResult {
	return loginResult{nick: l.nick, caps: l.granted, isup: l.isup}
}

// name is what errors call the one who logs in.
func (l *ircLogin) name() string { return orElse(l.sasl.user, l.nick) }

func (l *ircLogin) cap(m *Message) (loginStep, error) {
	c := CapMsg{m}
	switch c.Sub() {
	case "LS":
		if l.ended {
			break
		}
		for name, value := range c.Caps() {
			if len(l.offered) < 256 { // what a server can make us keep
				l.offered[strings.Clone(name)] = strings.Clone(value)
			}
		}
		if c.More() {
			break
		}
		return l.request()
	case "ACK":
		for name := range c.Caps() {
			l.granted[strings.Clone(strings.TrimSpace(name))] = true
		}
		l.asked--
		return l.answered()
	case "NAK":
		l.asked--
		return l.answered()
	}
	return loginStep{}, nil
}

// request asks for the capabilities that are wanted and offered, each by
// itself where one might be refused for another's sake.
func (l *ircLogin) request() (loginStep, error) {
	var out []byte
	var names []string
	for _, name := range append(slices.Clone(ircCaps), l.want...) {
		if _, ok := l.offered[name]; ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	var err error
	if l.sasl.wanted() {
		mechs, ok := l.offered["sasl"]
		if !ok {
			return loginStep{}, never(&LoginError{Login: l.name(), Err: ErrCapability, Do: "the server has no SASL: use an account without a login"})
		}
		if l.sasl, err = l.sasl.choose(mechs); err != nil {
			return loginStep{}, never(&LoginError{Login: l.name(), Err: ErrCapability, Do: err.Error()})
		}
		if out, err = AppendCap(out, "REQ", "sasl"); err != nil {
			return loginStep{}, err
		}
		l.asked++
	}
	if len(names) > 0 {
		if out, err = AppendCap(out, "REQ", names...); err != nil {
			return loginStep{}, err
		}
		l.asked++
	}
	if l.asked == 0 {
		return l.end()
	}
	return loginStep{send: out}, nil
}

// answered goes on once every REQ has its answer.
func (l *ircLogin) answered() (loginStep, error) {
	switch {
	case l.asked > 0 || l.ended:
		return loginStep{}, nil
	case l.sasl.wanted() && !l.granted["sasl"]:
		return loginStep{}, never(&LoginError{Login: l.name(), Err: ErrCapability, Do: "the server refuses SASL"})
	case l.sasl.wanted():
		return loginStep{send: []byte("AUTHENTICATE " + l.sasl.mech + "\r\n")}, nil
	}
	return l.end()
}

func (l *ircLogin) end() (loginStep, error) {
	if l.ended {
		return loginStep{}, nil
	}
	l.ended = true
	return loginStep{send: []byte("CAP END\r\n")}, nil
}

// candidate returns the next nick to try.
func (l *ircLogin) candidate(broken bool) string {
	base := l.nick
	if broken { // what every network takes: letters and digits, and not many
		base = strings.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
				return r
			}
			return -1
		}, base)
		base = "c" + base[max(0, len(base)-5):]
		if l.tries == 1 {
			return base
		}
		return base[:min(len(base), 4)] + strconv.Itoa(100+rand.IntN(900))
	}
	if l.tries <= 2 {
		return base + strings.Repeat("_", l.tries)
	}
	return clipBytes(base, 9-3) + strconv.Itoa(100+rand.IntN(900))
}

func clipBytes(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// nickFor fills in a nick's template.
func nickFor(template, login string, shard int) string {
	login = orElse(login, "chatshard")
	if template == "" {
		template = "{login}"
		if shard != 0 {
			template = "{login}{shard}"
		}
	}
	return strings.NewReplacer("{login}", login, "{shard}", strconv.Itoa(shard)).Replace(template)
}

// saysBanned goes by the words of an ERROR: there is no number for it.
func saysBanned(text string) bool {
	text = strings.ToLower(text)
	for _, word := range []string{"banned", "k-line", "g-line", "z-line", "d-line", "kline", "gline", "akill"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}
