package irc

import (
	"fmt"
	"strings"
	"unicode/utf8"

	twitch "github.com/gempir/go-twitch-irc/v4"
)

// DecodeError says which kind of line [Decode] could not turn into a struct.
type DecodeError struct {
	Command string
	Err     error
}

func (e *DecodeError) Error() string { return fmt.Sprintf("irc: decode %.20s: %v", e.Command, e.Err) }
func (e *DecodeError) Unwrap() error { return e.Err }

// Decode returns m as one of the structs of go-twitch-irc: a
// *twitch.PrivateMessage and so on, or a *twitch.RawMessage for commands that
// it does not know. That takes some fifty allocations and copies the line, so
// it is for handlers which were written for those structs.
//
// Badges and emotes that would make that parser panic are left out, values of
// tags have their escapes undone by the rules, and only a user whose id is the
// room's is the broadcaster. The error is a [*DecodeError].
func Decode(m *Message) (msg twitch.Message, err error) {
	command := m.Command()
	defer func() {
		if r := recover(); r != nil {
			msg, err = nil, &DecodeError{command, fmt.Errorf("parser panicked: %v", r)}
		}
	}()
	if command == "" {
		return nil, &DecodeError{command, errNoCommand}
	}
	if needsChannel(command) && m.NumParams() == 0 {
		return nil, &DecodeError{command, fmt.Errorf("%w: no parameter", ErrSyntax)}
	}
	msg = twitch.ParseMessage(parsable(m))
	mend(m, msg)
	return msg, nil
}

// needsChannel reports whether the parser reads the first parameter unasked.
func needsChannel(command string) bool {
	switch command {
	case "CLEARCHAT", "CLEARMSG", "NOTICE", "PRIVMSG", "ROOMSTATE", "USERNOTICE", "USERSTATE", "WHISPER":
		return true
	}
	return false
}

// parsable returns m with single spaces, a colon before the last parameter,
// and without the tags' values that the parser cannot bear.
func parsable(m *Message) string {
	var b strings.Builder
	b.Grow(len(m.raw) + 8)
	sep := byte('@')
	for tag := range listOf(m.tags(), ";") {
		b.WriteByte(sep)
		sep = ';'
		name, value, ok := strings.Cut(tag, "=")
		b.WriteString(name)
		if !ok {
			continue
		}
		b.WriteByte('=')
		switch name {
		case "badges", "source-badges":
			value = keep(value, ",", func(badge string) bool { return strings.Contains(badge, "/") })
		case "emotes":
			chars := utf8.RuneCountInString(decodedText(m))
			value = keep(value, "/", func(emote string) bool { return emoteFits(emote, chars) })
		}
		b.WriteString(value)
	}
	if sep == ';' {
		b.WriteByte(' ')
	}
	if source := m.Source(); source != "" {
		b.WriteByte(':')
		b.WriteString(source)
		b.WriteByte(' ')
	}
	b.WriteString(m.Command())
	i := 0
	for p := range m.Params() {
		b.WriteByte(' ')
		if i++; i == m.NumParams() {
			b.WriteByte(':')
		}
		b.WriteString(p)
	}
	return b.String()
}

// keep returns list without the items that are not ok.
func keep(list, sep string, ok func(string) bool) string {
	var kept []string
	for item := range listOf(list, sep) {
		if ok(item) {
			kept = append(kept, item)
		}
	}
	return strings.Join(kept, sep)
}

// emoteFits reports whether the parser can cut the emote out of so many characters.
func emoteFits(emote string, chars int) bool {
	_, spans, _ := strings.Cut(emote, ":")
	for span := range strings.SplitSeq(spans, ",") {
		from, to, _ := strings.Cut(span, "-")
		first, ok1 := number(from)
		last, ok2 := number(to)
		if !ok1 || !ok2 || first > last || first >= chars {
			return false
		}
	}
	return true
}

// decodedText returns the text that the parser will count an emote's place in.
func decodedText(m *Message) string {
	if m.NumParams() != 2 {
		return ""
	}
	text := m.Param(1)
	switch m.Command() {
	case "PRIVMSG":
		if strings.HasPrefix(text, "\x01ACTION") && strings.HasSuffix(text, "\x01") {
			return text[min(len("\x01ACTION "), len(text)-1) : len(text)-1]
		}
	case "WHISPER":
		return strings.TrimPrefix(text, "/me")
	}
	return text
}

// mend puts right in msg what the parser gets wrong.
func mend(m *Message, msg twitch.Message) {
	switch d := msg.(type) {
	case *twitch.PrivateMessage:
		d.Raw = m.Raw()
		mendTags(m, d.Tags)
		mendUser(&d.User, d.Tags)
		if d.Reply != nil {
			d.Reply.ParentDisplayName = d.Tags["reply-parent-display-name"]
			d.Reply.ParentMsgBody = d.Tags["reply-parent-msg-body"]
		}
	case *twitch.UserNoticeMessage:
		d.Raw = m.Raw()
		mendTags(m, d.Tags)
		mendUser(&d.User, d.Tags)
		d.SystemMsg = d.Tags["system-msg"]
		for name := range d.MsgParams {
			d.MsgParams[name] = d.Tags[name]
		}
	case *twitch.WhisperMessage:
		d.Raw = m.Raw()
		mendTags(m, d.Tags)
		mendUser(&d.User, d.Tags)
	case *twitch.UserStateMessage:
		d.Raw = m.Raw()
		mendTags(m, d.Tags)
		mendUser(&d.User, d.Tags)
	case *twitch.GlobalUserStateMessage:
		d.Raw = m.Raw()
		mendTags(m, d.Tags)
		mendUser(&d.User, d.Tags)
	case *twitch.ClearChatMessage:
		d.Raw = m.Raw()
		mendTags(m, d.Tags)
	case *twitch.ClearMessage:
		d.Raw = m.Raw()
		mendTags(m, d.Tags)
	case *twitch.RoomStateMessage:
		d.Raw = m.Raw()
		mendTags(m, d.Tags)
	case *twitch.NoticeMessage:
		d.Raw = m.Raw()
		mendTags(m, d.Tags)
	case *twitch.RawMessage:
		d.Raw = m.Raw()
		mendTags(m, d.Tags)
	case *twitch.UserJoinMessage:
		d.Raw = m.Raw()
	case *twitch.UserPartMessage:
		d.Raw = m.Raw()
	case *twitch.NamesMessage:
		d.Raw = m.Raw()
	case *twitch.PingMessage:
		d.Raw = m.Raw()
	case *twitch.PongMessage:
		d.Raw = m.Raw()
	case *twitch.ReconnectMessage:
		d.Raw = m.Raw()
	}
}

func mendTags(m *Message, tags map[string]string) {
	delete(tags, "")
	for name, value := range m.Tags() {
		tags[name] = value
	}
}

func mendUser(u *twitch.User, tags map[string]string) {
	u.DisplayName = tags["display-name"]
	u.IsBroadcaster = u.IsBroadcaster && u.ID != ""
}
