package channels

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Platform is the chat service of a channel, as written in a [Name].
type Platform string

// The platforms that names are known of.
const (
	Twitch  Platform = "twitch"
	IRC     Platform = "irc"
	Discord Platform = "discord"
)

const (
	maxTwitchLogin = 25
	maxNetwork     = 63
	maxIRCChannel  = 200 // RFC 1459 §1.3; networks set their own, lower CHANNELLEN
)

// Name is the platform-qualified name of a channel. Names are comparable; two
// that [Parse] returned are equal if and only if they print alike.
type Name struct {
	Platform Platform
	Network  string // the configured name of an IRC network; empty elsewhere
	Channel  string // Twitch login, IRC channel with its prefix, Discord ID in decimal
}

// String returns the name as Parse accepts it, and "" for the zero Name.
func (n Name) String() string {
	switch {
	case n == Name{}:
		return ""
	case n.Platform == IRC:
		return string(n.Platform) + ":" + n.Network + "/" + n.Channel
	}
	return string(n.Platform) + ":" + n.Channel
}

// MarshalText returns String, or an error if Parse would not give n back.
func (n Name) MarshalText() ([]byte, error) {
	s := n.String()
	if back, err := Parse(s); err != nil {
		return nil, err
	} else if back != n {
		return nil, fmt.Errorf("channels: %q: not canonical; write %q", s, back)
	}
	return []byte(s), nil
}

// UnmarshalText is Parse.
func (n *Name) UnmarshalText(text []byte) error {
	got, err := Parse(string(text))
	if err == nil {
		*n = got
	}
	return err
}

// Parse reads a name: twitch:LOGIN, irc:NETWORK/CHANNEL or discord:ID. Errors
// are of type [*NameError].
func Parse(s string) (Name, error) {
	platform, rest, ok := strings.Cut(s, ":")
	switch {
	case s == "":
		return bad(s, 0, "empty", "write a platform and a channel, as in twitch:forsen")
	case !utf8.ValidString(s):
		return bad(s, invalidUTF8(s), "not UTF-8", "save the text as UTF-8")
	case !ok:
		return bad(s, 0, "no platform", "write "+qualify(s))
	}
	at := len(platform) + 1
	switch Platform(platform) {
	case Twitch:
		return parseTwitch(s, rest, at)
	case IRC:
		return parseIRC(s, rest, at)
	case Discord:
		return parseDiscord(s, rest, at)
	}
	fix := "use twitch, irc or discord"
	switch lower := Platform(strings.ToLower(platform)); {
	case lower == Twitch, lower == IRC, lower == Discord:
		fix = "write " + string(lower) + ":" + rest
	case lower == "http", lower == "https":
		fix = "write " + qualify(rest[strings.LastIndexByte(rest, '/')+1:])
	}
	return bad(s, 0, "unknown platform "+quote(platform), fix)
}

func parseTwitch(s, login string, at int) (Name, error) {
	if strings.HasPrefix(login, "#") {
		login, at = login[1:], at+1
	}
	if login == "" {
		return bad(s, at, "no Twitch login", "write one after the colon, as in twitch:forsen")
	}
	for i, r := range login {
		if !isLogin(r) {
			return bad(s, at+i, fmt.Sprintf("%q cannot be part of a Twitch login", r), "use the letters a-z, digits and underscores of the channel's address, not its display name")
		}
	}
	if len(login) > maxTwitchLogin {
		return bad(s, at+maxTwitchLogin, "Twitch login too long", fmt.Sprintf("use at most %d characters", maxTwitchLogin))
	}
	return Name{Platform: Twitch, Channel: strings.ToLower(login)}, nil
}

func parseIRC(s, rest string, at int) (Name, error) {
	network, channel, ok := strings.Cut(rest, "/")
	if !ok {
		return bad(s, at, "no IRC network", "write irc:NETWORK/#channel, as in irc:libera/#go")
	}
	if network == "" {
		return bad(s, at, "no IRC network", "write its configured name before the slash, as in irc:libera/#go")
	}
	for i, r := range network {
		if !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-') {
			fix := "use the letters a-z, digits and hyphens"
			if 'A' <= r && r <= 'Z' {
				fix = "write " + quote(strings.ToLower(network))
			}
			return bad(s, at+i, fmt.Sprintf("%q cannot be part of a network's name", r), fix)
		}
	}
	if len(network) > maxNetwork {
		return bad(s, at+maxNetwork, "network's name too long", fmt.Sprintf("use at most %d characters", maxNetwork))
	}
	at += len(network) + 1
	if channel == "" || !strings.ContainsRune("#&+!", rune(channel[0])) {
		return bad(s, at, "an IRC channel begins with #, &, + or !", "write irc:"+network+"/#"+clip(channel))
	}
	for i, r := range channel {
		if r <= ' ' || r == ',' || r == 0x7f {
			return bad(s, at+i, fmt.Sprintf("%q cannot be part of an IRC channel", r), "remove it; list channels one by one")
		}
	}
	if len(channel) > maxIRCChannel {
		return bad(s, at+maxIRCChannel, "IRC channel too long", fmt.Sprintf("use at most %d bytes", maxIRCChannel))
	}
	return Name{Platform: IRC, Network: network, Channel: channel}, nil
}

func parseDiscord(s, id string, at int) (Name, error) {
	const fix = "write the ID that Discord's developer mode copies, as in discord:81384788765712384"
	if id == "" {
		return bad(s, at, "no Discord ID", fix)
	}
	for i, r := range id {
		if r < '0' || r > '9' {
			return bad(s, at+i, fmt.Sprintf("%q cannot be part of a Discord ID", r), fix)
		}
	}
	if id[0] == '0' {
		return bad(s, at, "a Discord ID does not begin with 0", fix)
	}
	if _, err := strconv.ParseUint(id, 10, 64); err != nil {
		return bad(s, at, "Discord ID too large", fix)
	}
	return Name{Platform: Discord, Channel: id}, nil
}

func bad(s string, i int, what, fix string) (Name, error) {
	return Name{}, &NameError{Text: s, Position: utf8.RuneCountInString(s[:min(i, len(s))]) + 1, What: what, Fix: fix}
}

// qualify guesses what was meant by a name without a platform.
func qualify(s string) string {
	n, err := parseTwitch(s, s, 0)
	switch {
	case err != nil && strings.HasPrefix(s, "#"):
		return "irc:NETWORK/" + clip(s)
	case err != nil:
		return "a platform and a channel, as in twitch:forsen"
	case strings.HasPrefix(s, "#"):
		return n.String() + " or irc:NETWORK/" + s
	}
	return n.String()
}

func isLogin(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_'
}

func invalidUTF8(s string) int {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(s)
}

// quote quotes text from outside for an error: printable and not too long.
func quote(s string) string { return strconv.Quote(clip(s)) }

func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	i := most
	for !utf8.RuneStart(s[i]) && i > 0 {
		i--
	}
	return s[:i] + "…"
}
