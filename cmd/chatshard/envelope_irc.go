package main

import (
	"slices"
	"strconv"
	"time"

	"github.com/chatshard/chatshard/irc"
)

// maxParams bounds what a user notice may bring.
const maxParams = 64

// appendRecipient appends who a subscription was given to.
func appendRecipient(dst []byte, u irc.UserNotice) []byte {
	id, login := u.MsgParam("recipient-id"), u.MsgParam("recipient-user-name")
	if id == "" && login == "" {
		return dst
	}
	name := u.MsgParam("recipient-display-name")
	if name == login {
		name = ""
	}
	dst = append(dst, `,"target":{"user":`...)
	dst = closeObject(appendUserFields(dst, id, login, name), len(dst))
	return append(dst, '}')
}

// appendParams appends what the notice says by tags of its own. A tag that
// comes twice counts once, as it does last.
func (e *encoder) appendParams(dst []byte, u irc.UserNotice) []byte {
	e.params = e.params[:0]
	for name := range u.MsgParams() {
		if len(e.params) == maxParams || !isTagName(name) || slices.Contains(e.params, name) {
			continue
		}
		if len(e.params) == 0 {
			dst = append(dst, `,"params":{`...)
		} else {
			dst = append(dst, ',')
		}
		e.params = append(e.params, name)
		dst = append(appendString(dst, name), ':')
		dst = appendString(dst, u.MsgParam(name))
	}
	if len(e.params) > 0 {
		dst = append(dst, '}')
	}
	clear(e.params) // so that no line is kept
	return dst
}

// isTagName reports whether s can be the name of a tag: others could become
// equal in JSON.
func isTagName(s string) bool {
	for i := range len(s) {
		if !isWord(s[i]) && s[i] != '-' && s[i] != '.' && s[i] != '/' {
			return false
		}
	}
	return s != ""
}

// appendTagMsg appends what is said by tags alone
// (https://ircv3.net/specs/client-tags/typing, react).
func (e *encoder) appendTagMsg(dst []byte, c irc.Chatter) []byte {
	if state, ok := c.Tag("+typing"); ok {
		dst = append(dst, `,"kind":"typing","type":"TAGMSG"`...)
		dst = e.appendUser(dst, c)
		return appendFlags(dst, c, state != "active")
	}
	emoji, added := c.Tag("+draft/react")
	if !added {
		emoji, _ = c.Tag("+draft/unreact")
	}
	id, _ := c.Tag("+draft/reply")
	if emoji == "" || id == "" {
		return e.appendOther(dst, c)
	}
	dst = append(dst, `,"kind":"reaction","type":"TAGMSG"`...)
	dst = e.appendUser(dst, c)
	dst = appendTarget(dst, id, "", "")
	dst = append(dst, `,"emoji":{"name":`...)
	dst = append(appendString(dst, emoji), '}')
	return appendFlags(dst, c, !added)
}

func appendRoom(dst []byte, r irc.RoomState) []byte {
	dst = append(dst, `,"kind":"room_state","room":`...)
	n := len(dst)
	onOff := func(key string, on, set bool) {
		if set {
			dst = append(dst, key...)
			dst = strconv.AppendBool(dst, on)
		}
	}
	on, set := r.EmoteOnly()
	onOff(`,"emote_only":`, on, set)
	on, set = r.SubsOnly()
	onOff(`,"subs_only":`, on, set)
	on, set = r.Unique()
	onOff(`,"unique_only":`, on, set)
	if wait, set := r.Slow(); set {
		dst = append(dst, `,"slow_seconds":`...)
		dst = strconv.AppendInt(dst, int64(wait/time.Second), 10)
	}
	if age, set := r.FollowersOnly(); set {
		minutes := int64(-1)
		if age >= 0 {
			minutes = int64(age / time.Minute)
		}
		dst = append(dst, `,"follow_minutes":`...)
		dst = strconv.AppendInt(dst, minutes, 10)
	}
	return closeObject(dst, n)
}
