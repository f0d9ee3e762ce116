package irc

import "strings"

// verbs are the commands whose lower-case spelling costs no allocation.
var verbs = [...]string{
	"ACCOUNT", "AUTHENTICATE", "AWAY", "BATCH", "CAP", "CHGHOST", "CLEARCHAT", "CLEARMSG", "ERROR", "FAIL",
	"GLOBALUSERSTATE", "HOSTTARGET", "INVITE", "JOIN", "KICK", "MODE", "NICK", "NOTE", "NOTICE", "PART", "PASS",
	"PING", "PONG", "PRIVMSG", "QUIT", "RECONNECT", "ROOMSTATE", "SETNAME", "TAGMSG", "TOPIC", "USER",
	"USERNOTICE", "USERSTATE", "WARN", "WHISPER",
}

// upperVerb returns verb with its ASCII letters in capitals.
func upperVerb(verb string) string {
	for _, v := range verbs {
		if len(v) == len(verb) && strings.EqualFold(v, verb) {
			return v
		}
	}
	b := []byte(verb)
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - ('a' - 'A')
		}
	}
	return string(b)
}
