package irctest

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// user is the author of a message.
type user struct {
	login, display, id string
	mod                bool
	nonce              string
	parent             Sent   // what is replied to
	shared             string // source tags of a Shared Chat copy
}

// someone makes up the user of a login.
func someone(login string) user {
	login = strings.ToLower(login)
	return user{login: login, display: login, id: userID(login)}
}

// say returns the draft of a PRIVMSG.
func (u user) say(text string) draft {
	return draftFunc{counts: true, f: func(b []byte, ch *channel, id []byte, ms int64) []byte {
		badges, kind := "", ""
		switch {
		case ch.folded() == u.login:
			badges = "broadcaster/1"
		case u.mod:
			badges, kind = "moderator/1", "mod"
		}
		b = append(b, "@badge-info=;badges="+badges...)
		if u.nonce != "" {
			b = append(b, ";client-nonce="+u.nonce...)
		}
		b = append(b, ";color="+color(u.login)+";display-name="+escapeTag(u.display)+";emotes="+emoteTag(text)+
			";first-msg=0;flags=;id="...)
		b = append(b, id...)
		b = append(b, ";mod="+flag(kind == "mod")...)
		if p := u.parent; p.ID != "" {
			b = append(b, ";reply-parent-display-name="+p.Login+";reply-parent-msg-body="+escapeTag(p.Text)+
				";reply-parent-msg-id="+p.ID+";reply-parent-user-id="+userID(p.Login)+
				";reply-parent-user-login="+p.Login+";reply-thread-parent-msg-id="+p.ID+
				";reply-thread-parent-user-login="+p.Login...)
		}
		b = append(b, ";returning-chatter=0;room-id="+ch.roomID+u.shared+";subscriber=0;tmi-sent-ts="...)
		b = strconv.AppendInt(b, ms, 10)
		return append(b, ";turbo=0;user-id="+u.id+";user-type="+kind+" "+who(u.login)+" PRIVMSG "+ch.wire+" :"+text...)
	}}
}

var colors = [...]string{"#FF0000", "#0000FF", "#008000", "#B22222", "#FF7F50", "#9ACD32", "#FF4500", "#2E8B57", "#DAA520", "#D2691E", "#5F9EA0", "#1E90FF", "#FF69B4", "#8A2BE2", "#00FF7F", ""}

func color(login string) string {
	h := uint32(0)
	for i := range len(login) {
		h = h*31 + uint32(login[i])
	}
	return colors[h%uint32(len(colors))]
}

// emoteTag returns the emotes tag of a text: positions are counted in code
// points, their ends included.
func emoteTag(text string) string {
	var order []string
	at := map[string][]string{}
	pos := 0
	for i, w := range strings.Split(text, " ") {
		if i > 0 {
			pos++
		}
		n := utf8.RuneCountInString(w)
		if id, ok := emoteIDs[w]; ok {
			if at[id] == nil {
				order = append(order, id)
			}
			at[id] = append(at[id], strconv.Itoa(pos)+"-"+strconv.Itoa(pos+n-1))
		}
		pos += n
	}
	for i, id := range order {
		order[i] = id + ":" + strings.Join(at[id], ",")
	}
	return strings.Join(order, "/")
}
