package irc

import "strings"

// twitchLogin is the login to Twitch chat.
// https://dev.twitch.tv/docs/chat/irc/#authenticating-with-the-twitch-irc-server
type twitchLogin struct {
	nick       string
	token      Secret
	membership bool

	acked   bool // the capabilities were granted
	welcome bool // 001 was received
}

// begin asks for everything at once: Twitch answers in order.
func (l *twitchLogin) begin() ([]byte, error) {
	caps := "twitch.tv/tags twitch.tv/commands"
	if l.membership {
		caps += " twitch.tv/membership"
	}
	out, err := AppendCap(make([]byte, 0, 128), "REQ", caps)
	if err != nil {
		return nil, err
	}
	if !l.token.IsZero() {
		if out, err = AppendPass(out, "oauth:"+strings.TrimPrefix(l.token.Reveal(), "oauth:")); err != nil {
			return nil, never(&LoginError{Login: l.nick, Err: ErrToken, Do: "the token has characters that no token has"})
		}
	}
	return AppendNick(out, l.nick)
}

func (l *twitchLogin) step(m *Message) (loginStep, error) {
	switch m.Command() {
	case "PING":
		pong, err := AppendPong(nil, m.Text())
		return loginStep{send: pong}, err
	case "CAP":
		switch m.Param(1) {
		case "ACK":
			l.acked = true
		case "NAK":
			return loginStep{}, never(&LoginError{Login: l.nick, Text: strings.Clone(m.Text()), Err: ErrCapability,
				Do: "the server is not Twitch's"})
		}
	case "001":
		l.welcome, l.nick = true, strings.Clone(m.Param(0))
	case "376", "422":
		if !l.acked {
			return loginStep{}, never(&LoginError{Login: l.nick, Err: ErrCapability, Do: "the server is not Twitch's"})
		}
		return loginStep{done: l.welcome}, nil
	case "NOTICE":
		if err := loginNotice(l.nick, m); err != nil {
			return loginStep{}, never(err)
		}
	case "RECONNECT":
		return loginStep{}, errRetryLater
	}
	return loginStep{}, nil
}

func (l *twitchLogin) result() loginResult {
	return loginResult{nick: l.nick}
}

// loginNotices has the texts by which Twitch turns a login away. They come
// without a msg-id.
var loginNotices = map[string]struct {
	err error
	do  string
}{
	"Login authentication failed": {ErrToken, "get a new token with the scopes chat:read and chat:edit"},
	"Improperly formatted auth":   {ErrToken, "the token must be an OAuth user access token, and the login that of its user"},
	"Login unsuccessful":          {ErrToken, "get a new token with the scopes chat:read and chat:edit, and log in less often"},
	"Invalid NICK":                {ErrNick, "the login must be that of the token's user, in lower case"},
	"Error logging in":            {ErrToken, "check login and token, and try again later"},
}

// loginNotice returns the error that a NOTICE to nobody stands for; nil if it is another.
func loginNotice(login string, m *Message) error {
	if m.Param(0) != "*" {
		return nil
	}
	text := m.Text()
	n, ok := loginNotices[text]
	if !ok {
		return nil
	}
	return &LoginError{Login: login, Text: strings.Clone(text), Do: n.do, Err: n.err}
}
