package irc

import (
	"iter"
	"math"
	"strings"
	"time"
)

// The types of this file and of generic.go are views: a [Message] with methods
// that know where this kind of message keeps what. A view costs nothing to make
// and reads only what is asked for; what the line does not have reads as "", 0
// or false.

// Chatter is the part of a Twitch message that tells about who sent it.
type Chatter struct{ *Message }

// RoomID returns the id of the channel, which a rename does not change.
func (c Chatter) RoomID() string { return c.tag("room-id") }

// UserID returns the id of the sender, which a rename does not change.
func (c Chatter) UserID() string { return c.tag("user-id") }

// Login returns the login of the sender: the tag login where there is one (in a
// USERNOTICE), else the nick.
func (c Chatter) Login() string {
	if login := c.tag("login"); login != "" {
		return login
	}
	return c.Nick()
}

// DisplayName returns the name as its owner spells it, or the login.
func (c Chatter) DisplayName() string {
	if name := c.tag("display-name"); name != "" {
		return name
	}
	return c.Login()
}

// Color returns "#RRGGBB", or "" if none was chosen.
func (c Chatter) Color() string { return c.tag("color") }

// Badges goes over the badges: name and version, as in "subscriber" and "12".
func (c Chatter) Badges() iter.Seq2[string, string] { return pairsOf(c.tag("badges")) }

// BadgeInfo goes over the details of badges: "subscriber" and the exact number of months.
func (c Chatter) BadgeInfo() iter.Seq2[string, string] { return pairsOf(c.tag("badge-info")) }

// HasBadge reports whether the sender wears the badge, whatever its version.
func (c Chatter) HasBadge(name string) bool {
	for badge := range c.Badges() {
		if badge == name {
			return true
		}
	}
	return false
}

// IsBroadcaster reports whether the sender owns the channel.
func (c Chatter) IsBroadcaster() bool {
	if id := c.UserID(); id != "" && id == c.RoomID() {
		return true
	}
	return c.HasBadge("broadcaster")
}

// IsMod reports whether the sender moderates the channel.
func (c Chatter) IsMod() bool { return c.flag("mod") || c.HasBadge("moderator") }

// IsVIP reports whether the sender is a VIP of the channel.
func (c Chatter) IsVIP() bool {
	vip, ok := c.Tag("vip")
	return ok && vip != "0" || c.HasBadge("vip")
}

// IsSubscriber reports whether the sender subscribes to the channel.
func (c Chatter) IsSubscriber() bool { return c.flag("subscriber") || c.HasBadge("subscriber") }

// PrivMsg is a message to a channel, or on a plain network to a user.
type PrivMsg struct{ Chatter }

// Text returns what was said, without the frame of an action.
func (p PrivMsg) Text() string { return said(p.Message) }

// Target returns whom the message is for: a channel or a nick.
func (p PrivMsg) Target() string { return p.Param(0) }

// Bits returns how many bits were cheered.
func (p PrivMsg) Bits() int { return p.number("bits") }

// IsFirst reports whether this is the sender's first message ever in the channel.
func (p PrivMsg) IsFirst() bool { return p.flag("first-msg") }

// RewardID returns the id of the channel points reward that the message redeems.
func (p PrivMsg) RewardID() string { return p.tag("custom-reward-id") }

// Emotes goes over the emotes in [PrivMsg.Text].
func (p PrivMsg) Emotes() iter.Seq[Emote] { return emotes(p.tag("emotes"), p.Text()) }

// Reply says which message another one answers.
type Reply struct {
	ParentID, ParentUserID, ParentLogin, ParentName, ParentText string

	ThreadID string // the message that the thread began with
}

// Reply returns which message this one answers. Ok is false if it answers none.
func (p PrivMsg) Reply() (r Reply, ok bool) {
	if _, ok := p.rawTag("reply-parent-msg-id"); !ok {
		return Reply{}, false
	}
	for name, value := range p.Tags() {
		switch name {
		case "reply-parent-msg-id":
			r.ParentID = value
		case "reply-parent-user-id":
			r.ParentUserID = value
		case "reply-parent-user-login":
			r.ParentLogin = value
		case "reply-parent-display-name":
			r.ParentName = value
		case "reply-parent-msg-body":
			r.ParentText = value
		case "reply-thread-parent-msg-id":
			r.ThreadID = value
		}
	}
	return r, true
}

// Shared says where a message of a shared chat comes from. Each channel of the
// session gets a copy with an id of its own.
type Shared struct {
	RoomID string // the channel in which it was written
	ID     string // its id there, the same for all copies
	Only   bool   // not shown in the other channels

	copied bool
}

// IsCopy reports whether the message was written in another channel than this one.
func (s Shared) IsCopy() bool { return s.copied }

// Shared returns where the message comes from. Ok is false if it is no part of
// a shared chat.
func (c Chatter) Shared() (s Shared, ok bool) {
	s.RoomID, ok = c.Tag("source-room-id")
	if !ok {
		return Shared{}, false
	}
	s.ID = c.tag("source-id")
	s.Only = c.flag("source-only")
	s.copied = s.RoomID != c.RoomID()
	return s, true
}

// UserNotice is what Twitch announces about a user: a subscription, a raid.
type UserNotice struct{ Chatter }

// Kind returns the msg-id ("resub", "raid"); for the copy that a shared chat
// brings, that of the original.
func (u UserNotice) Kind() string {
	kind := u.tag("msg-id")
	if kind == "sharedchatnotice" {
		return u.tag("source-msg-id")
	}
	return kind
}

// SystemMsg returns the announcement in words.
func (u UserNotice) SystemMsg() string { return u.tag("system-msg") }

// Text returns what the user added, if anything.
func (u UserNotice) Text() string { return said(u.Message) }

// Emotes goes over the emotes in [UserNotice.Text].
func (u UserNotice) Emotes() iter.Seq[Emote] { return emotes(u.tag("emotes"), u.Text()) }

// MsgParam returns the tag msg-param-NAME.
func (u UserNotice) MsgParam(name string) string { return u.tag("msg-param-" + name) }

// MsgParams goes over the tags msg-param-NAME, without that prefix.
func (u UserNotice) MsgParams() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for tag, value := range u.Tags() {
			if name, ok := strings.CutPrefix(tag, "msg-param-"); ok && !yield(name, value) {
				return
			}
		}
	}
}

// ClearChat is a ban, a timeout, or the clearing of a whole channel.
type ClearChat struct{ *Message }

// RoomID returns the id of the channel.
func (c ClearChat) RoomID() string { return c.tag("room-id") }

// IsWhole reports whether all messages of the channel go, and nobody is banned.
func (c ClearChat) IsWhole() bool { return c.NumParams() < 2 }

// Target returns the login of who is banned, or "".
func (c ClearChat) Target() string { return c.Param(1) }

// TargetID returns the id of who is banned, or "".
func (c ClearChat) TargetID() string { return c.tag("target-user-id") }

// Duration returns how long a timeout lasts; 0 for all else.
func (c ClearChat) Duration() time.Duration {
	return time.Duration(c.number("ban-duration")) * time.Second
}

// IsPermanent reports whether somebody is banned for good.
func (c ClearChat) IsPermanent() bool {
	_, timeout := c.rawTag("ban-duration")
	return !timeout && !c.IsWhole()
}

// ClearMsg is the deletion of one message.
type ClearMsg struct{ *Message }

// RoomID returns the id of the channel.
func (c ClearMsg) RoomID() string { return c.tag("room-id") }

// Login returns who wrote the message.
func (c ClearMsg) Login() string { return c.tag("login") }

// TargetID returns the id of the message.
func (c ClearMsg) TargetID() string { return c.tag("target-msg-id") }

// Text returns the message's text.
func (c ClearMsg) Text() string { return said(c.Message) }

// RoomState says which restrictions a channel has: all of them after a JOIN,
// later those that changed. Each method returns whether the line names its own.
type RoomState struct{ *Message }

// RoomID returns the id of the channel.
func (r RoomState) RoomID() string { return r.tag("room-id") }

// IsFull reports whether all restrictions are named.
func (r RoomState) IsFull() bool {
	for _, name := range []string{"emote-only", "followers-only", "r9k", "slow", "subs-only"} {
		if _, ok := r.rawTag(name); !ok {
			return false
		}
	}
	return true
}

// EmoteOnly reports whether messages may hold emotes only.
func (r RoomState) EmoteOnly() (on, set bool) { return r.restriction("emote-only") }

// SubsOnly reports whether only subscribers may write.
func (r RoomState) SubsOnly() (on, set bool) { return r.restriction("subs-only") }

// Unique reports whether messages must differ from each other (r9k).
func (r RoomState) Unique() (on, set bool) { return r.restriction("r9k") }

// Slow returns how long everybody must wait between two messages; 0 if the mode is off.
func (r RoomState) Slow() (wait time.Duration, set bool) {
	_, set = r.rawTag("slow")
	return time.Duration(r.number("slow")) * time.Second, set
}

// FollowersOnly returns for how long one must have followed to write; -1 if the mode is off.
func (r RoomState) FollowersOnly() (age time.Duration, set bool) {
	value, set := r.rawTag("followers-only")
	if strings.HasPrefix(value, "-") || !set {
		return -1, set
	}
	return time.Duration(r.number("followers-only")) * time.Minute, true
}

func (r RoomState) restriction(name string) (on, set bool) {
	value, set := r.rawTag(name)
	return set && value != "0", set
}

// UserState tells what we are in a channel: after a JOIN and after each message
// sent.
type UserState struct{ Chatter }

// EmoteSets goes over the ids of the emote sets that we may use.
func (u UserState) EmoteSets() iter.Seq[string] { return listOf(u.tag("emote-sets"), ",") }

// GlobalUserState tells who we are, after the login.
type GlobalUserState struct{ Chatter }

// EmoteSets goes over the ids of the emote sets that we may use.
func (g GlobalUserState) EmoteSets() iter.Seq[string] { return listOf(g.tag("emote-sets"), ",") }

// Whisper is a message from one user to another.
type Whisper struct{ Chatter }

// Target returns the login of the receiver.
func (w Whisper) Target() string { return w.Param(0) }

// ThreadID returns the id of the conversation.
func (w Whisper) ThreadID() string { return w.tag("thread-id") }

// MessageID returns the number of the message in its conversation.
func (w Whisper) MessageID() string { return w.tag("message-id") }

// Text returns what was said.
func (w Whisper) Text() string { return said(w.Message) }

// Emotes goes over the emotes in [Whisper.Text].
func (w Whisper) Emotes() iter.Seq[Emote] { return emotes(w.tag("emotes"), w.Text()) }

// HostTarget says that a channel shows another one. Twitch ended this in 2022
// but its servers may still send it.
type HostTarget struct{ *Message }

// Target returns the channel that is shown, or "" if that has ended.
func (h HostTarget) Target() string {
	target, _, _ := strings.Cut(h.Param(1), " ")
	if target == "-" {
		return ""
	}
	return target
}

// Viewers returns how many came along; 0 if the line does not say.
func (h HostTarget) Viewers() int {
	_, viewers, ok := strings.Cut(h.Param(1), " ")
	if !ok {
		viewers = h.Param(2)
	}
	n, _ := number(viewers)
	return n
}

// ReconnectMsg says that the server is about to close the connection.
type ReconnectMsg struct{ *Message }

// said returns what a message to a target says, without the frame of an action.
func said(m *Message) string {
	if m.NumParams() < 2 {
		return ""
	}
	if text, ok := m.Action(); ok {
		return text
	}
	return m.Text()
}

func (m *Message) tag(name string) string { value, _ := m.Tag(name); return value }

func (m *Message) flag(name string) bool { value, _ := m.rawTag(name); return value == "1" }

// number returns a tag's value as a number from 0 to 2³¹-1, 0 if it is none.
func (m *Message) number(name string) int {
	value, _ := m.rawTag(name)
	n, _ := number(value)
	return n
}

// number reads a number from 0 to 2³¹-1.
func number(s string) (n int, ok bool) {
	ms, ok := parseMillis(s)
	if !ok || ms > math.MaxInt32 {
		return 0, false
	}
	return int(ms), true
}

// pairsOf goes over a list like "subscriber/12,premium/1".
func pairsOf(list string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for item := range listOf(list, ",") {
			name, value, _ := strings.Cut(item, "/")
			if name != "" && !yield(name, value) {
				return
			}
		}
	}
}

// listOf goes over what stands between separators, if anything does.
func listOf(list, sep string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for list := list; list != ""; {
			item, rest, _ := strings.Cut(list, sep)
			list = rest
			if item != "" && !yield(item) {
				return
			}
		}
	}
}
