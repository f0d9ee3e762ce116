package irc

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Tag is one tag to send; its value is escaped when it is written.
type Tag struct{ Name, Value string }

// LineError says why a line was not encoded. It never repeats the value, which
// may be a secret.
type LineError struct {
	Field string // "text", "channel", "tag reply-parent-msg-id"
	Pos   int    // the byte of the field that is wrong; its length if it is too long
	Why   string
}

func (e *LineError) Error() string {
	return fmt.Sprintf("irc: encode: %s: byte %d: %s", e.Field, e.Pos, e.Why)
}

// Encoder writes lines, each with its CR LF, to the end of dst. What a service
// would take for two lines, for other parameters, or would cut, is refused with
// a [*LineError], and dst comes back as it was. The zero Encoder is right for
// any IRC network.
type Encoder struct {
	LineLen int // bytes of a line without its tags, CR LF included; 0: 512. What ISUPPORT says as LINELEN
	TextLen int // characters of a text; 0: what the line holds
	Targets int // channels of one JOIN or PART; 0: what the line holds. What ISUPPORT says as TARGMAX
}

// TwitchEncoder returns the limits of Twitch: 500 characters, which may well be
// 2,000 bytes.
func TwitchEncoder() Encoder { return Encoder{LineLen: 2048 + 64, TextLen: 500} }

// Tags that a client sends may take 4,094 bytes.
// https://ircv3.net/specs/extensions/message-tags.html#size-limit
const maxTagBytes = 4094

// AppendPrivMsg appends a PRIVMSG to a channel or a nick.
func (e Encoder) AppendPrivMsg(dst []byte, target, text string, tags ...Tag) ([]byte, error) {
	return e.appendText(dst, tags, "PRIVMSG", target, text)
}

// AppendNotice appends a NOTICE to a channel or a nick.
func (e Encoder) AppendNotice(dst []byte, target, text string, tags ...Tag) ([]byte, error) {
	return e.appendText(dst, tags, "NOTICE", target, text)
}

// AppendReply appends a PRIVMSG that answers the message with the id parent, as
// Twitch does it.
func (e Encoder) AppendReply(dst []byte, channel, parent, text string, tags ...Tag) ([]byte, error) {
	if parent == "" {
		return dst, &LineError{Field: "parent", Why: "is empty"}
	}
	tags = append(slices.Clip(tags), Tag{"reply-parent-msg-id", parent})
	return e.appendText(dst, tags, "PRIVMSG", channel, text)
}

// AppendAction appends a PRIVMSG as "/me" sends it.
func (e Encoder) AppendAction(dst []byte, target, text string, tags ...Tag) ([]byte, error) {
	if i := strings.IndexByte(text, '\x01'); i >= 0 {
		return dst, &LineError{"text", i, "the byte 0x01 ends an action"}
	}
	return e.appendText(dst, tags, "PRIVMSG", target, "\x01ACTION "+text+"\x01")
}

// AppendJoin appends as few JOINs as name all channels.
func (e Encoder) AppendJoin(dst []byte, channels ...string) ([]byte, error) {
	return e.appendList(dst, "JOIN", channels)
}

// AppendPart appends as few PARTs as name all channels.
func (e Encoder) AppendPart(dst []byte, channels ...string) ([]byte, error) {
	return e.appendList(dst, "PART", channels)
}

// AppendMessage appends any line. Only the last parameter may be empty, have
// spaces or begin with a colon.
func (e Encoder) AppendMessage(dst []byte, tags []Tag, source, command string, params ...string) ([]byte, error) {
	return e.append(dst, tags, source, command, false, params)
}

// AppendPrivMsg is [Encoder.AppendPrivMsg] with the limits of any IRC network.
func AppendPrivMsg(dst []byte, target, text string, tags ...Tag) ([]byte, error) {
	return Encoder{}.AppendPrivMsg(dst, target, text, tags...)
}

// AppendReply is [Encoder.AppendReply] with the limits of Twitch.
func AppendReply(dst []byte, channel, parent, text string, tags ...Tag) ([]byte, error) {
	return TwitchEncoder().AppendReply(dst, channel, parent, text, tags...)
}

// AppendJoin is [Encoder.AppendJoin] with the limits of any IRC network.
func AppendJoin(dst []byte, channels ...string) ([]byte, error) {
	return Encoder{}.AppendJoin(dst, channels...)
}

// AppendPart is [Encoder.AppendPart] with the limits of any IRC network.
func AppendPart(dst []byte, channels ...string) ([]byte, error) {
	return Encoder{}.AppendPart(dst, channels...)
}

// AppendPass appends a PASS.
func AppendPass(dst []byte, password string) ([]byte, error) {
	if password == "" {
		return dst, &LineError{Field: "password", Why: "is empty"}
	}
	if err := checkBytes("password", password); err != nil {
		return dst, err
	}
	return Encoder{}.AppendMessage(dst, nil, "", "PASS", password)
}

// AppendNick appends a NICK.
func AppendNick(dst []byte, nick string) ([]byte, error) {
	if err := checkName("nick", nick); err != nil {
		return dst, err
	}
	return Encoder{}.AppendMessage(dst, nil, "", "NICK", nick)
}

// AppendCap appends a CAP with a subcommand, such as "LS" and "302", or "REQ"
// and a list of capabilities.
func AppendCap(dst []byte, sub string, args ...string) ([]byte, error) {
	params := [2]string{sub, strings.Join(args, " ")}
	return Encoder{}.append(dst, nil, "", "CAP", sub == "REQ", params[:min(1+len(args), 2)])
}

// AppendPing appends a PING.
func AppendPing(dst []byte, token string) ([]byte, error) {
	return Encoder{}.append(dst, nil, "", "PING", true, []string{token})
}

// AppendPong appends the PONG to a PING with this token.
func AppendPong(dst []byte, token string) ([]byte, error) {
	return Encoder{}.append(dst, nil, "", "PONG", true, []string{token})
}

// AppendQuit appends a QUIT, with a reason unless that is "".
func AppendQuit(dst []byte, reason string) ([]byte, error) {
	if reason == "" {
		return append(dst, "QUIT\r\n"...), nil
	}
	return Encoder{}.append(dst, nil, "", "QUIT", true, []string{reason})
}

func (e Encoder) lineLen() int {
	if e.LineLen > 0 {
		return e.LineLen
	}
	return 512
}

func (e Encoder) appendText(dst []byte, tags []Tag, command, target, text string) ([]byte, error) {
	if err := checkName("target", target); err != nil {
		return dst, err
	}
	if text == "" {
		return dst, &LineError{Field: "text", Why: "is empty"}
	}
	if err := checkBytes("text", text); err != nil {
		return dst, err
	}
	if e.TextLen > 0 && len(text) > e.TextLen {
		said := strings.TrimSuffix(strings.TrimPrefix(text, "\x01ACTION "), "\x01")
		if n := utf8.RuneCountInString(said); n > e.TextLen {
			return dst, &LineError{"text", len(text), fmt.Sprintf("%d characters, %d are allowed", n, e.TextLen)}
		}
	}
	start := len(dst)
	out, err := appendTags(dst, tags)
	if err != nil {
		return dst, err
	}
	lineStart := len(out)
	out = append(out, command...)
	out = append(out, ' ')
	out = append(out, target...)
	out = append(out, " :"...)
	out = append(out, text...)
	return e.end(out, start, lineStart)
}

func (e Encoder) appendList(dst []byte, command string, channels []string) ([]byte, error) {
	longest := min(e.lineLen(), 512) // longer lines are for texts
	start, line, n := len(dst), 0, 0
	out := dst
	for _, c := range channels {
		if err := ValidChannel(c); err != nil {
			return dst[:start], err
		}
		if len(command)+len(" ")+len(c)+len("\r\n") > longest {
			return dst[:start], &LineError{"channel", len(c), "the line is too long"}
		}
		full := len(out)-line+len(",")+len(c)+len("\r\n") > longest || e.Targets > 0 && n == e.Targets
		if n > 0 && !full {
			out = append(out, ',')
		} else {
			if n > 0 {
				out = append(out, "\r\n"...)
			}
			line, n = len(out), 0
			out = append(out, command...)
			out = append(out, ' ')
		}
		out = append(out, c...)
		n++
	}
	if n > 0 {
		out = append(out, "\r\n"...)
	}
	return out, nil
}

// append writes a line whose last parameter has a colon if colon says so or it
// needs one.
func (e Encoder) append(dst []byte, tags []Tag, source, command string, colon bool, params []string) ([]byte, error) {
	start := len(dst)
	if err := checkCommand(command); err != nil {
		return dst, err
	}
	out, err := appendTags(dst, tags)
	if err != nil {
		return dst, err
	}
	lineStart := len(out)
	if source != "" {
		if err := checkMiddle("source", source); err != nil {
			return dst[:start], err
		}
		out = append(append(append(out, ':'), source...), ' ')
	}
	out = append(out, command...)
	for i, p := range params {
		out = append(out, ' ')
		if i < len(params)-1 {
			if err := checkParam(p); err != nil {
				return dst[:start], ofParam(i, err)
			}
		} else {
			if err := checkBytes("", p); err != nil {
				return dst[:start], ofParam(i, err)
			}
			if colon || p == "" || p[0] == ':' || strings.IndexByte(p, ' ') >= 0 {
				out = append(out, ':')
			}
		}
		out = append(out, p...)
	}
	return e.end(out, start, lineStart)
}

// end finishes the line that begins, after its tags, at lineStart.
func (e Encoder) end(out []byte, start, lineStart int) ([]byte, error) {
	if n := len(out) - lineStart + len("\r\n"); n > e.lineLen() {
		return out[:start], &LineError{"line", len(out) - start, fmt.Sprintf("%d bytes, %d are allowed", n, e.lineLen())}
	}
	return append(out, "\r\n"...), nil
}

func appendTags(dst []byte, tags []Tag) ([]byte, error) {
	if len(tags) == 0 {
		return dst, nil
	}
	start := len(dst)
	for i, t := range tags {
		if err := checkTagName(t.Name); err != nil {
			return dst[:start], err
		}
		if j := strings.IndexByte(t.Value, 0); j >= 0 {
			return dst[:start], &LineError{"tag " + t.Name, j, "NUL is not allowed"}
		}
		if i == 0 {
			dst = append(dst, '@')
		} else {
			dst = append(dst, ';')
		}
		dst = append(dst, t.Name...)
		if t.Value != "" {
			dst = appendEscaped(append(dst, '='), t.Value)
		}
	}
	if n := len(dst) - start - len("@"); n > maxTagBytes {
		return dst[:start], &LineError{"tags", n, fmt.Sprintf("%d bytes, %d are allowed", n, maxTagBytes)}
	}
	return append(dst, ' '), nil
}

func appendEscaped(dst []byte, value string) []byte {
	for i := 0; i < len(value); i++ {
		switch c := value[i]; c {
		case ';':
			dst = append(dst, `\:`...)
		case ' ':
			dst = append(dst, `\s`...)
		case '\\':
			dst = append(dst, `\\`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\n':
			dst = append(dst, `\n`...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func checkTagName(name string) error {
	if name == "" {
		return &LineError{Field: "tag name", Why: "is empty"}
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-./_+", c) >= 0:
		default:
			return &LineError{"tag name", i, "only letters, digits and -./_+ are allowed"}
		}
	}
	return nil
}

func checkCommand(command string) error {
	if command == "" {
		return &LineError{Field: "command", Why: "is empty"}
	}
	for i := 0; i < len(command); i++ {
		switch c := command[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		default:
			return &LineError{"command", i, "only letters and digits are allowed"}
		}
	}
	return nil
}

// checkParam checks a parameter that is not the last.
func checkParam(p string) error {
	if p != "" && p[0] == ':' {
		return &LineError{"", 0, "begins with a colon"}
	}
	return checkMiddle("", p)
}

// ofParam says in the error of a check which parameter it is about.
func ofParam(i int, err error) error {
	if e, ok := err.(*LineError); ok {
		e.Field = fmt.Sprintf("parameter %d", i)
	}
	return err
}

func checkMiddle(field, s string) error {
	if s == "" {
		return &LineError{Field: field, Why: "is empty"}
	}
	if i := strings.IndexByte(s, ' '); i >= 0 {
		return &LineError{field, i, "a space is not allowed"}
	}
	return checkBytes(field, s)
}

// checkBytes refuses what no part of a line may have.
func checkBytes(field, s string) error {
	if i := strings.IndexAny(s, "\r\n\x00"); i >= 0 {
		return &LineError{field, i, fmt.Sprintf("the byte 0x%02x is not allowed", s[i])}
	}
	return nil
}
