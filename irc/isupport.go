package irc

import (
	"fmt"
	"strings"
)

// ISupport is what a server says that it supports (numeric 005). Without any
// 005, as in the zero ISupport and a nil one, the defaults of the RFCs hold.
// It must not be read while Add runs.
// https://modern.ircdocs.horse/#rplisupport-parameters
type ISupport struct {
	tokens map[string]string
	mapped bool
	casing CaseMapping
}

// maxTokens bounds what a server can make us keep; real ones send about 50.
const maxTokens = 512

// Add takes in one 005. It ignores what it does not understand.
func (s *ISupport) Add(m *Message) {
	first := true
	for p := range m.Params() {
		// The first parameter is our nick, but some servers leave it out. The
		// last one is "are supported by this server".
		if (!first || strings.IndexByte(p, '=') > 0) && strings.IndexByte(p, ' ') < 0 {
			s.AddToken(p)
		}
		first = false
	}
}

// AddToken takes in one token: "NAME", "NAME=VALUE", or "-NAME", which takes
// it back.
func (s *ISupport) AddToken(token string) {
	name, value, _ := strings.Cut(token, "=")
	name, gone := strings.CutPrefix(name, "-")
	if name == "" {
		return
	}
	if gone {
		delete(s.tokens, name)
	} else {
		if s.tokens == nil {
			s.tokens = make(map[string]string)
		}
		if _, ok := s.tokens[name]; !ok && len(s.tokens) >= maxTokens {
			return
		}
		s.tokens[strings.Clone(name)] = strings.Clone(unhex(value))
	}
	if name == "CASEMAPPING" {
		s.casing, s.mapped = caseMapping(value), !gone
	}
}

// Token returns the value of a token with its escapes undone, and whether the
// server named it.
func (s *ISupport) Token(name string) (value string, ok bool) {
	if s == nil {
		return "", false
	}
	value, ok = s.tokens[name]
	return value, ok
}

// CaseMapping returns which names are equal.
func (s *ISupport) CaseMapping() CaseMapping {
	if s == nil || !s.mapped {
		return CaseRFC1459
	}
	return s.casing
}

// Fold returns name in lower case as the network has it; see [CaseMapping.Fold].
func (s *ISupport) Fold(name string) string { return s.CaseMapping().Fold(name) }

// Network returns the network's name, or "".
func (s *ISupport) Network() string { name, _ := s.Token("NETWORK"); return name }

// ChanTypes returns the characters that a channel's name may begin with.
func (s *ISupport) ChanTypes() string {
	if types, ok := s.Token("CHANTYPES"); ok {
		return types
	}
	return "#&"
}

// IsChannel reports whether name is that of a channel and not of a user.
func (s *ISupport) IsChannel(name string) bool {
	return name != "" && strings.IndexByte(s.ChanTypes(), name[0]) >= 0
}

// ValidChannel returns a [*LineError] unless a channel may have this name.
func (s *ISupport) ValidChannel(name string) error {
	if !s.IsChannel(name) {
		return &LineError{"channel", 0, "must begin with one of " + s.ChanTypes()}
	}
	if n := s.ChannelLen(); n > 0 && len(name) > n {
		return &LineError{"channel", n, fmt.Sprintf("%d bytes, %d are allowed", len(name), n)}
	}
	return checkChannel(name)
}

// ChanLimit returns how many channels beginning with prefix ('#') one
// connection may join; 0 if the server sets no bound. Where several bounds hold
// it is the lowest.
func (s *ISupport) ChanLimit(prefix byte) int {
	limit := 0
	if list, ok := s.Token("CHANLIMIT"); ok {
		for item := range listOf(list, ",") {
			prefixes, bound, _ := strings.Cut(item, ":")
			n, ok := number(bound)
			if ok && n > 0 && strings.IndexByte(prefixes, prefix) >= 0 && (limit == 0 || n < limit) {
				limit = n
			}
		}
		return limit
	}
	return s.count("MAXCHANNELS")
}

// TargMax returns how many targets a command may have; 0 if any number. Ok is
// false if the server does not say.
func (s *ISupport) TargMax(command string) (n int, ok bool) {
	list, _ := s.Token("TARGMAX")
	for item := range listOf(list, ",") {
		name, bound, _ := strings.Cut(item, ":")
		if strings.EqualFold(name, command) {
			n, valid := number(bound)
			return n, valid || bound == ""
		}
	}
	if n := s.count("MAXTARGETS"); n > 0 && (command == "PRIVMSG" || command == "NOTICE") {
		return n, true
	}
	return 0, false
}

// LineLen returns how long a line may be, CR LF included.
func (s *ISupport) LineLen() int {
	if n := s.count("LINELEN"); n > 0 {
		return n
	}
	return 512
}

// NickLen returns how long a nick may be; 0 if the server does not say.
func (s *ISupport) NickLen() int {
	if n := s.count("NICKLEN"); n > 0 {
		return n
	}
	return s.count("MAXNICKLEN")
}

// ChannelLen returns how long a channel's name may be; 0 if the server does not say.
func (s *ISupport) ChannelLen() int {
	if n := s.count("CHANNELLEN"); n > 0 {
		return n
	}
	return s.count("MAXCHANNELLEN")
}

// Prefix returns the modes of members, highest first, and the signs that show
// them: "ov" and "@+".
func (s *ISupport) Prefix() (modes, signs string) {
	value, ok := s.Token("PREFIX")
	if !ok {
		return "ov", "@+"
	}
	modes, signs, ok = strings.Cut(strings.TrimPrefix(value, "("), ")")
	if !ok || len(modes) != len(signs) {
		return "", ""
	}
	return modes, signs
}

// StatusMsg returns the signs that may stand before a channel's name to write
// to those members alone which have them.
func (s *ISupport) StatusMsg() string { signs, _ := s.Token("STATUSMSG"); return signs }

// Encoder returns an Encoder with the server's limits.
func (s *ISupport) Encoder() Encoder {
	targets, _ := s.TargMax("JOIN")
	return Encoder{LineLen: s.LineLen(), Targets: targets}
}

func (s *ISupport) count(name string) int {
	value, _ := s.Token(name)
	n, _ := number(value)
	return n
}

// unhex undoes the escapes of a value: \x20 is a space.
func unhex(s string) string {
	i := strings.Index(s, `\x`)
	if i < 0 {
		return s
	}
	var b strings.Builder
	for ; i >= 0; i = strings.Index(s, `\x`) {
		b.WriteString(s[:i])
		if hi, lo := hexDigit(s, i+2), hexDigit(s, i+3); hi >= 0 && lo >= 0 {
			b.WriteByte(byte(hi<<4 | lo))
			s = s[i+4:]
		} else {
			b.WriteString(s[i : i+2])
			s = s[i+2:]
		}
	}
	b.WriteString(s)
	return b.String()
}

func hexDigit(s string, i int) int {
	if i >= len(s) {
		return -1
	}
	switch c := s[i]; {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
