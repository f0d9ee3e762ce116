package main

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/irc"
)

// cursor counts what one relay writes. Encoders share one; whoever shares an
// output among goroutines holds its lock while encoding, so that the sequence
// is that of the output.
type cursor struct {
	epoch string
	seq   uint64
}

// newCursor begins an epoch.
func newCursor() *cursor {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return &cursor{epoch: hex.EncodeToString(b[:])}
}

// encoder writes the events of one account as envelopes. It is used by one
// goroutine at a time.
type encoder struct {
	platform string // twitch, irc, discord
	network  string // of IRC, as configured
	account  string
	cursor   *cursor
	now      func() time.Time

	emotes   []irc.Emote    // reused
	params   []string       // reused
	dispatch dispatchFields // reused
	tags     irc.TagIndex   // reused

	id    string     // that the service gave what was written last; "" for none
	at    time.Time  // when that was
	start int        // where it begins
	meta  relay.Meta // where its values are that filters ask for
	noted bool       // all of them
	bare  bool       // what was received is left out: the log does not take it
}

// append appends the envelope of ev to dst, without a line break. It allocates
// nothing for a message without emotes and without escaped tags.
func (e *encoder) append(dst []byte, ev balancer.Event) []byte { return e.encode(dst, ev, true) }

// appendBody is append without the cursor, which a log will give it.
func (e *encoder) appendBody(dst []byte, ev balancer.Event) []byte { return e.encode(dst, ev, false) }

func (e *encoder) encode(dst []byte, ev balancer.Event, cursor bool) []byte {
	e.cursor.seq++
	m, _ := ev.Data.(*irc.Message)
	d, _ := ev.Data.(*discord.Dispatch)
	id, sent := ev.ID, time.Time{}
	switch {
	case m != nil:
		m = e.tags.Of(m)
		defer e.tags.Reset()
		sent = m.Sent()
		if id == "" {
			id = m.EventID()
		}
	case d != nil:
		if id == "" {
			_, id = d.KeyID() // of a transport with lazy keys
		}
		id = e.dispatch.read(d, id)
		sent = e.dispatch.sent
	}
	if !utf8.ValidString(id) {
		id = "" // two of these could look the same
	}
	e.id, e.at = id, e.now()
	e.start, e.meta, e.noted = len(dst), relay.Meta{}, false
	dst = append(dst, `{"v":1,`...)
	if cursor {
		dst = append(dst, `"cursor":{"epoch":"`...)
		dst = append(dst, e.cursor.epoch...)
		dst = append(dst, `","seq":`...)
		dst = strconv.AppendUint(dst, e.cursor.seq, 10)
		dst = append(dst, `},`...)
	}
	if id != "" {
		dst = e.appendNoted(dst, relay.FieldID, `"id":`, id)
	} else {
		dst = append(dst, `"id":"`...)
		n := len(dst)
		dst = append(dst, e.cursor.epoch...)
		dst = append(dst, ':')
		dst = strconv.AppendUint(dst, e.cursor.seq, 10)
		e.note(relay.FieldID, n, len(dst), false)
		dst = append(dst, '"')
	}
	dst = appendTime(dst, `,"time":`, sent)
	n := len(dst)
	if dst = appendTime(dst, `,"received":`, e.at); len(dst) > n {
		e.note(relay.FieldReceived, n+len(`,"received":"`), len(dst)-len(`"`), false)
	}
	dst = e.appendNoted(dst, relay.FieldPlatform, `,"platform":`, e.platform)
	dst = e.appendNoted(dst, relay.FieldNetwork, `,"network":`, e.network)
	dst = e.noteString(append(dst, `,"account":`...), relay.FieldAccount, e.account)
	dst = append(dst, `,"shard":"`...)
	dst = appendShard(dst, ev.Shard)
	dst = append(dst, '"')
	switch {
	case m != nil:
		dst = e.appendChannel(dst, ev.Key, m)
		dst = e.appendMessage(dst, m)
		dst = e.appendRaw(dst, m.Raw())
	case d != nil:
		dst = appendPlace(dst, d)
		dst = e.dispatch.append(dst, d)
		dst = e.appendPayload(dst, d)
	default:
		dst = e.appendChannel(dst, ev.Key, nil)
		dst = appendEvent(dst, ev.Data)
	}
	return append(dst, '}')
}

func (e *encoder) appendChannel(dst []byte, key balancer.Key, m *irc.Message) []byte {
	name, id := string(key), ""
	if e.platform == "discord" { // a key is a guild
		if name != "" {
			dst = append(dst, `,"guild":{"id":`...)
			dst = append(appendString(dst, name), '}')
		}
		return dst
	}
	if m != nil {
		id, _ = m.Tag("room-id")
		if name == "" {
			name = m.Channel()
			if e.platform == "twitch" {
				name = strings.TrimPrefix(name, "#")
			}
		}
	}
	if name == "" && id == "" {
		return dst
	}
	dst = append(dst, `,"channel":`...)
	n := len(dst)
	dst = e.appendNoted(dst, relay.FieldChannelID, `,"id":`, id)
	dst = e.appendNoted(dst, relay.FieldChannelName, `,"name":`, name)
	return closeObject(dst, n)
}

func (e *encoder) appendMessage(dst []byte, m *irc.Message) []byte {
	user := irc.Chatter{Message: m}
	switch m.Command() {
	case "PRIVMSG": // most of all: what filters ask for is noted, so that nobody needs to look for it
		e.noted = true
		msg := irc.PrivMsg{Chatter: user}
		kind := "message"
		if m.Channel() == "" {
			kind = "whisper"
		}
		dst = e.appendNoted(dst, relay.FieldKind, `,"kind":`, kind)
		if e.platform == "twitch" {
			how, _ := m.Tag("msg-id")
			dst = appendField(dst, `,"type":`, how)
		}
		dst = e.appendUser(dst, user)
		dst = e.appendNoted(dst, relay.FieldText, `,"text":`, msg.Text())
		dst = e.appendFragments(dst, user, msg.Text())
		dst = appendReply(dst, msg)
		dst = appendShared(dst, user)
		n := len(dst)
		if dst = appendFlags(dst, user, false); len(dst) > n {
			e.note(relay.FieldFlags, n+len(`,"flags":`), len(dst), false)
		}
		dst = appendNumber(dst, `,"bits":`, msg.Bits())
		return appendField(dst, `,"reward_id":`, msg.RewardID())
	case "USERNOTICE":
		msg := irc.UserNotice{Chatter: user}
		dst = append(dst, `,"kind":"user_notice"`...)
		dst = appendField(dst, `,"type":`, msg.Kind())
		dst = e.appendUser(dst, user)
		dst = appendRecipient(dst, msg)
		dst = appendField(dst, `,"text":`, msg.Text())
		dst = appendField(dst, `,"system_text":`, msg.SystemMsg())
		dst = e.appendFragments(dst, user, msg.Text())
		dst = e.appendParams(dst, msg)
		dst = appendShared(dst, user)
		return appendFlags(dst, user, false)
	case "WHISPER":
		msg := irc.Whisper{Chatter: user}
		dst = append(dst, `,"kind":"whisper"`...)
		dst = e.appendUser(dst, user)
		dst = appendField(dst, `,"text":`, msg.Text())
		dst = e.appendFragments(dst, user, msg.Text())
		return appendFlags(dst, user, false)
	case "NOTICE":
		msg := irc.NoticeMsg{Message: m}
		dst = append(dst, `,"kind":"notice"`...)
		dst = appendField(dst, `,"type":`, msg.MsgID())
		dst = e.appendUser(dst, user)
		dst = appendField(dst, `,"text":`, msg.Text())
		return appendFlags(dst, user, false)
	case "CLEARCHAT":
		msg := irc.ClearChat{Message: m}
		dst = append(dst, `,"kind":"clear"`...)
		dst = appendTarget(dst, "", msg.TargetID(), msg.Target())
		return appendNumber(dst, `,"seconds":`, int(msg.Duration()/time.Second))
	case "CLEARMSG":
		msg := irc.ClearMsg{Message: m}
		if msg.TargetID() == "" {
			break
		}
		dst = append(dst, `,"kind":"delete"`...)
		dst = appendTarget(dst, msg.TargetID(), "", msg.Login())
		return appendField(dst, `,"text":`, msg.Text())
	case "ROOMSTATE":
		return appendRoom(dst, irc.RoomState{Message: m})
	case "JOIN":
		dst = append(dst, `,"kind":"join"`...)
		return e.appendUser(dst, user)
	case "PART":
		dst = append(dst, `,"kind":"part"`...)
		dst = e.appendUser(dst, user)
		return appendField(dst, `,"text":`, irc.PartMsg{Message: m}.Reason())
	case "QUIT": // of all channels
		dst = append(dst, `,"kind":"part","type":"QUIT"`...)
		dst = e.appendUser(dst, user)
		return appendField(dst, `,"text":`, m.Param(0))
	case "TAGMSG":
		return e.appendTagMsg(dst, user)
	case "KICK":
		msg := irc.KickMsg{Message: m}
		if msg.Target() == "" {
			break
		}
		dst = append(dst, `,"kind":"kick"`...)
		dst = e.appendUser(dst, user)
		dst = appendTarget(dst, "", "", msg.Target())
		return appendField(dst, `,"text":`, msg.Reason())
	case "TOPIC":
		dst = append(dst, `,"kind":"topic"`...)
		dst = e.appendUser(dst, user)
		return appendField(dst, `,"text":`, irc.TopicMsg{Message: m}.Topic())
	}
	return e.appendOther(dst, user)
}

func (e *encoder) appendOther(dst []byte, c irc.Chatter) []byte {
	dst = append(dst, `,"kind":"other"`...)
	dst = appendField(dst, `,"type":`, c.Command())
	return e.appendUser(dst, c)
}

// appendUser appends the sender, unless that is a server or nobody.
func (e *encoder) appendUser(dst []byte, c irc.Chatter) []byte {
	id, _ := c.Tag("user-id")
	login := c.Login()
	if c.User() == "" && strings.Contains(login, ".") {
		login = ""
	}
	if id == "" && login == "" {
		return dst
	}
	dst = append(dst, `,"user":`...)
	n := len(dst)
	name := c.DisplayName()
	if name == login {
		name = ""
	}
	account, _ := c.Tag("account")
	dst = e.appendNoted(dst, relay.FieldUserID, `,"id":`, id)
	dst = e.appendNoted(dst, relay.FieldUserLogin, `,"login":`, login)
	dst = appendField(dst, `,"name":`, name)
	dst = appendField(dst, `,"account":`, account)
	dst = appendField(dst, `,"color":`, c.Color())
	badges, _ := c.Tag("badges")
	return closeObject(appendBadges(dst, badges), n)
}

// appendBadges reads the list itself: the iterator of package irc allocates.
func appendBadges(dst []byte, list string) []byte {
	start := len(dst)
	for list != "" {
		var badge string
		badge, list, _ = strings.Cut(list, ",")
		name, version, _ := strings.Cut(badge, "/")
		if name == "" {
			continue
		}
		if len(dst) == start {
			dst = append(dst, `,"badges":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"name":`...)
		dst = appendString(dst, name)
		dst = append(dst, `,"version":`...)
		dst = appendString(dst, version)
		dst = append(dst, '}')
	}
	if len(dst) > start {
		dst = append(dst, ']')
	}
	return dst
}

// appendUserFields appends with a comma before each: see closeObject.
func appendUserFields(dst []byte, id, login, name string) []byte {
	dst = appendField(dst, `,"id":`, id)
	dst = appendField(dst, `,"login":`, login)
	return appendField(dst, `,"name":`, name)
}

// closeObject ends an object that begins at n with the comma before its first
// key, in whose place the brace belongs.
func closeObject(dst []byte, n int) []byte {
	if n == len(dst) {
		return append(dst, "{}"...)
	}
	dst[n] = '{'
	return append(dst, '}')
}

func appendTarget(dst []byte, messageID, userID, login string) []byte {
	if messageID == "" && userID == "" && login == "" {
		return dst
	}
	dst = append(dst, `,"target":`...)
	n := len(dst)
	dst = appendField(dst, `,"message_id":`, messageID)
	if userID != "" || login != "" {
		dst = append(dst, `,"user":`...)
		u := len(dst)
		dst = appendUserFields(dst, userID, login, "")
		dst = closeObject(dst, u)
	}
	return closeObject(dst, n)
}

// appendFragments appends the text of c cut at its emotes. Those of a notice or
// a whisper are written like those of a message.
func (e *encoder) appendFragments(dst []byte, c irc.Chatter, text string) []byte {
	if list, _ := c.Tag("emotes"); list == "" {
		return dst
	}
	e.emotes = e.emotes[:0]
	for emote := range (irc.PrivMsg{Chatter: c}).Emotes() { // not by AppendSeq, which allocates
		e.emotes = append(e.emotes, emote)
	}
	if len(e.emotes) == 0 {
		return dst
	}
	// The service lists them by emote.
	slices.SortFunc(e.emotes, func(a, b irc.Emote) int { return a.Start - b.Start })
	dst = append(dst, `,"fragments":[`...)
	at := 0
	for _, emote := range e.emotes {
		if emote.Start < at {
			continue // overlaps the one before
		}
		dst = appendFragment(dst, "text", "", text[at:emote.Start])
		dst = appendFragment(dst, "emote", emote.ID, emote.Name)
		at = emote.End
	}
	dst = appendFragment(dst, "text", "", text[at:])
	clear(e.emotes) // so that no line is kept
	dst[len(dst)-1] = ']'
	return dst
}

// appendFragment appends with a comma behind.
func appendFragment(dst []byte, kind, id, text string) []byte {
	if text == "" {
		return dst
	}
	dst = append(dst, `{"type":"`...)
	dst = append(dst, kind...)
	dst = append(dst, '"')
	dst = appendField(dst, `,"id":`, id)
	dst = append(dst, `,"text":`...)
	dst = appendString(dst, text)
	return append(dst, '}', ',')
}

func appendReply(dst []byte, m irc.PrivMsg) []byte {
	id, ok := m.Tag("reply-parent-msg-id")
	if !ok {
		if id, ok = m.Tag("+draft/reply"); !ok {
			return dst
		}
	}
	dst = append(dst, `,"reply_to":{"id":`...)
	dst = appendString(dst, id)
	if r, ok := m.Reply(); ok {
		dst = appendField(dst, `,"thread_id":`, r.ThreadID)
		if r.ParentUserID != "" || r.ParentLogin != "" {
			if r.ParentName == r.ParentLogin {
				r.ParentName = ""
			}
			dst = append(dst, `,"user":`...)
			n := len(dst)
			dst = appendUserFields(dst, r.ParentUserID, r.ParentLogin, r.ParentName)
			dst = closeObject(dst, n)
		}
		dst = appendField(dst, `,"text":`, r.ParentText)
	}
	return append(dst, '}')
}

func appendShared(dst []byte, c irc.Chatter) []byte {
	s, ok := c.Shared()
	if !ok {
		return dst
	}
	dst = append(dst, `,"shared":`...)
	n := len(dst)
	dst = appendField(dst, `,"id":`, s.ID)
	dst = append(dst, `,"channel_id":`...)
	dst = appendString(dst, s.RoomID)
	return closeObject(dst, n)
}

func appendFlags(dst []byte, c irc.Chatter, removed bool) []byte {
	n := len(dst)
	flag := func(on bool, name string) {
		if !on {
			return
		}
		if len(dst) == n {
			dst = append(dst, `,"flags":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, name...)
		dst = append(dst, '"')
	}
	first, _ := c.Tag("first-msg")
	returning, _ := c.Tag("returning-chatter")
	_, historical := c.Tag("historical")
	shared, ok := c.Shared()
	flag(c.IsAction(), "action")
	flag(first == "1", "first")
	flag(returning == "1", "returning")
	flag(ok && shared.IsCopy(), "shared")
	flag(historical, "backfill")
	flag(removed, "removed")
	if len(dst) > n {
		dst = append(dst, ']')
	}
	return dst
}

// appendShard is ShardID.String without its allocations.
func appendShard(dst []byte, id balancer.ShardID) []byte {
	dst = strconv.AppendInt(dst, int64(id.Index), 10)
	if id.Count > 0 {
		dst = append(dst, '/')
		dst = strconv.AppendInt(dst, int64(id.Count), 10)
	}
	if id.Gen > 0 {
		dst = append(dst, '#')
		dst = strconv.AppendInt(dst, int64(id.Gen), 10)
	}
	return dst
}
