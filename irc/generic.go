package irc

import (
	"iter"
	"strings"
)

// JoinMsg says that Nick joined a channel.
type JoinMsg struct{ *Message }

// Account returns the account of who joined, with extended-join; "" if there is
// none.
func (j JoinMsg) Account() string {
	if account := j.Param(1); account != "*" {
		return account
	}
	return ""
}

// RealName returns the real name of who joined, with extended-join.
func (j JoinMsg) RealName() string { return j.Param(2) }

// PartMsg says that Nick left a channel.
type PartMsg struct{ *Message }

// Reason returns the words of farewell.
func (p PartMsg) Reason() string { return p.Param(1) }

// QuitMsg says that Nick left the network.
type QuitMsg struct{ *Message }

// Reason returns the words of farewell.
func (q QuitMsg) Reason() string { return q.Param(0) }

// NickMsg says that Nick has another nick from now on.
type NickMsg struct{ *Message }

// NewNick returns the nick from now on.
func (n NickMsg) NewNick() string { return n.Param(0) }

// KickMsg says that Nick threw somebody out of a channel.
type KickMsg struct{ *Message }

// Target returns who was thrown out.
func (k KickMsg) Target() string { return k.Param(1) }

// Reason returns why.
func (k KickMsg) Reason() string { return k.Param(2) }

// ModeMsg changes modes of a channel or of a user.
type ModeMsg struct{ *Message }

// Target returns the channel or the nick.
func (m ModeMsg) Target() string { return m.Param(0) }

// Modes returns the changes, such as "+o-v".
func (m ModeMsg) Modes() string { return m.Param(1) }

// Args goes over the arguments of the changes.
func (m ModeMsg) Args() iter.Seq[string] {
	return func(yield func(string) bool) {
		i := 0
		for p := range m.Params() {
			if i++; i > 2 && !yield(p) {
				return
			}
		}
	}
}

// TopicMsg sets a channel's topic.
type TopicMsg struct{ *Message }

// Topic returns the topic from now on.
func (t TopicMsg) Topic() string { return t.Param(1) }

// InviteMsg asks somebody into a channel.
type InviteMsg struct{ *Message }

// Target returns who is asked.
func (i InviteMsg) Target() string { return i.Param(0) }

// NoticeMsg is a notice of the server or of a user.
type NoticeMsg struct{ *Message }

// MsgID returns what Twitch says, as a word to compare: "msg_banned".
func (n NoticeMsg) MsgID() string { return n.tag("msg-id") }

// Target returns whom the notice is for: a channel, a nick, or "*" before the login.
func (n NoticeMsg) Target() string { return n.Param(0) }

// Text returns the notice.
func (n NoticeMsg) Text() string { return said(n.Message) }

// TagMsg is a message of tags alone.
type TagMsg struct{ *Message }

// Target returns whom it is for: a channel or a nick.
func (t TagMsg) Target() string { return t.Param(0) }

// AwayMsg says that Nick is away or back.
type AwayMsg struct{ *Message }

// IsAway reports whether Nick is away.
func (a AwayMsg) IsAway() bool { return a.Param(0) != "" }

// Reason returns why.
func (a AwayMsg) Reason() string { return a.Param(0) }

// AccountMsg says that Nick logged in to an account or out of it.
type AccountMsg struct{ *Message }

// Account returns the account, "" after a logout.
func (a AccountMsg) Account() string {
	if account := a.Param(0); account != "*" {
		return account
	}
	return ""
}

// ChgHostMsg says that Nick has another user name and host from now on.
type ChgHostMsg struct{ *Message }

// NewUser returns the user name from now on.
func (c ChgHostMsg) NewUser() string { return c.Param(0) }

// NewHost returns the host from now on.
func (c ChgHostMsg) NewHost() string { return c.Param(1) }

// BatchMsg begins or ends a batch.
type BatchMsg struct{ *Message }

// Ref returns the name of the batch, which the tag batch of its messages repeats.
func (b BatchMsg) Ref() string { return strings.TrimLeft(b.Param(0), "+-") }

// IsStart reports whether the batch begins.
func (b BatchMsg) IsStart() bool { return strings.HasPrefix(b.Param(0), "+") }

// Type returns what the batch is, where it begins.
func (b BatchMsg) Type() string { return b.Param(1) }

// CapMsg tells about capabilities.
type CapMsg struct{ *Message }

// Sub returns the subcommand: "LS", "ACK", "NAK", "NEW", "DEL", "LIST".
func (c CapMsg) Sub() string { return upperVerb(c.Param(1)) }

// More reports whether another line goes on with the list.
func (c CapMsg) More() bool { return c.NumParams() > 3 && c.Param(2) == "*" }

// Caps goes over the capabilities: name and value.
func (c CapMsg) Caps() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if c.NumParams() < 3 {
			return
		}
		for item := range listOf(c.Text(), " ") {
			name, value, _ := strings.Cut(item, "=")
			if !yield(name, value) {
				return
			}
		}
	}
}

// PingMsg asks for a PONG with the same token.
type PingMsg struct{ *Message }

// Token returns what to repeat.
func (p PingMsg) Token() string { return p.Param(0) }

// PongMsg answers a PING.
type PongMsg struct{ *Message }

// Token returns what our PING said.
func (p PongMsg) Token() string { return p.Text() }

// ErrorMsg is the last line of a connection.
type ErrorMsg struct{ *Message }

// NamesMsg lists members of a channel (353), or ends the list (366).
type NamesMsg struct{ *Message }

// IsEnd reports whether the list has ended.
func (n NamesMsg) IsEnd() bool { return n.Command() == "366" }

// Members goes over the members: signs such as "@+" and nick. With
// userhost-in-names the nick is a whole source.
func (n NamesMsg) Members() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if n.IsEnd() || n.NumParams() < 4 {
			return
		}
		for item := range listOf(n.Text(), " ") {
			nick := strings.TrimLeft(item, "~&@%+!*")
			if nick != "" && !yield(item[:len(item)-len(nick)], nick) {
				return
			}
		}
	}
}

// Numeric is an answer of the server that has a number for a command.
type Numeric struct{ *Message }

// Code returns the number.
func (n Numeric) Code() int { return numeric(n.Command()) }

// IsError reports whether the number is one of an error: from 400 to 599, or a
// failure of SASL.
func (n Numeric) IsError() bool {
	switch c := n.Code(); c {
	case 902, 904, 905, 906, 907:
		return true
	default:
		return 400 <= c && c < 600
	}
}

// numeric returns the number that a command is, or -1.
func numeric(command string) int {
	if len(command) != 3 {
		return -1
	}
	n, ok := number(command)
	if !ok {
		return -1
	}
	return n
}
