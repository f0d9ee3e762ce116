package irc

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/xdg-go/scram"
)

// The SASL mechanisms that there are.
const (
	saslPlain    = "PLAIN"
	saslExternal = "EXTERNAL"
	saslScram    = "SCRAM-SHA-256"
)

// saslChunk is how much base64 one AUTHENTICATE carries.
// https://ircv3.net/specs/extensions/sasl-3.1
const (
	saslChunk = 400
	saslMax   = 64 << 10 // of a challenge, in base64
)

// sasl is the client's side of a SASL exchange.
type sasl struct {
	mech     string // asked for, then chosen
	user     string
	password Secret
	secure   bool // the connection is encrypted

	offers string // what the server said that it has
	begun  string // a challenge that came in part
	scram  *scram.ClientConversation
	done   bool
}

// wanted reports whether there is something to log in with.
func (s sasl) wanted() bool {
	return s.mech == saslExternal || s.user != ""
}

// choose picks the mechanism. List is what the server offers, "" if it does
// not say.
func (s sasl) choose(list string) (sasl, error) {
	offered := strings.Split(strings.ToUpper(list), ",")
	has := func(m string) bool { return list == "" || slices.Contains(offered, m) }
	switch {
	case s.mech != "" && has(s.mech):
	case s.mech != "":
		return s, fmt.Errorf("the server has no SASL %s, it offers %s", s.mech, clip(list, 100))
	case list != "" && has(saslScram):
		s.mech = saslScram
	case has(saslPlain) && s.secure:
		s.mech = saslPlain
	case has(saslPlain):
		return s, fmt.Errorf("SASL PLAIN would send the password in the clear: use TLS, or set Config.SASL to PLAIN")
	default:
		return s, fmt.Errorf("the server offers SASL %s alone", clip(list, 100))
	}
	return s, nil
}

// challenge answers one AUTHENTICATE.
func (s sasl) challenge(arg string) (sasl, []byte, error) {
	if arg != "+" {
		s.begun += arg
	}
	if len(s.begun) > saslMax {
		return s, nil, fmt.Errorf("the server's SASL challenge is too long")
	}
	if len(arg) == saslChunk {
		return s, nil, nil // there is more
	}
	text, err := base64.StdEncoding.DecodeString(s.begun)
	s.begun = ""
	if err != nil {
		return s, nil, fmt.Errorf("the server's SASL challenge is not base64")
	}
	var answer string
	switch s.mech {
	case saslPlain:
		answer = s.user + "\x00" + s.user + "\x00" + s.password.Reveal()
	case saslExternal:
		answer = s.user
	case saslScram:
		if s.scram == nil {
			client, err := scram.SHA256.NewClient(s.user, s.password.Reveal(), "")
			if err != nil {
				return s, nil, fmt.Errorf("the account's name or password cannot be used with SCRAM")
			}
			s.scram = client.NewConversation()
		}
		if answer, err = s.scram.Step(string(text)); err != nil {
			return s, nil, fmt.Errorf("SCRAM: the server does not know the password, or is not who it should be")
		}
	}
	return s, appendAuthenticate(nil, answer), nil
}

// appendAuthenticate appends an answer in as many lines as it takes.
func appendAuthenticate(dst []byte, answer string) []byte {
	text := base64.StdEncoding.EncodeToString([]byte(answer))
	for {
		n := min(len(text), saslChunk)
		piece := text[:n]
		text = text[n:]
		if piece == "" {
			piece = "+"
		}
		dst = append(append(append(dst, "AUTHENTICATE "...), piece...), "\r\n"...)
		if n < saslChunk {
			return dst
		}
	}
}
