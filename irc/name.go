package irc

import (
	"errors"
	"fmt"
	"strings"
)

// ErrName is wrapped by the errors about names of users that cannot exist.
var ErrName = errors.New("irc: not a name")

// ValidLogin returns an error that wraps [ErrName] unless login is one that
// Twitch could have given: 1 to 25 of a-z, 0-9 and _.
func ValidLogin(login string) error {
	if login == "" {
		return fmt.Errorf("%w: a login is not empty", ErrName)
	}
	for i := 0; i < len(login); i++ {
		c := login[i]
		if (c < 'a' || 'z' < c) && (c < '0' || '9' < c) && c != '_' {
			if 'A' <= c && c <= 'Z' {
				return fmt.Errorf("%w: login %.30q: lower case is needed", ErrName, login)
			}
			return fmt.Errorf("%w: login %.30q: byte %d: only a-z, 0-9 and _ are allowed", ErrName, login, i)
		}
	}
	if len(login) > 25 {
		return fmt.Errorf("%w: login %.30q: %d characters, 25 are allowed", ErrName, login, len(login))
	}
	return nil
}

// ValidChannel returns a [*LineError] unless name can be a channel on some IRC
// network. What a certain one allows is for [ISupport.ValidChannel] to say.
func ValidChannel(name string) error {
	if !looksLikeChannel(name) {
		return &LineError{"channel", 0, "must begin with one of #&+!"}
	}
	return checkChannel(name)
}

func checkChannel(name string) error {
	if i := strings.IndexAny(name, " ,\a\r\n\x00"); i >= 0 {
		return &LineError{"channel", i, fmt.Sprintf("the byte 0x%02x is not allowed", name[i])}
	}
	return nil
}

// checkName checks what may stand as a target: a nick or a channel.
func checkName(field, name string) error {
	if name == "" {
		return &LineError{Field: field, Why: "is empty"}
	}
	if name[0] == ':' {
		return &LineError{field, 0, "begins with a colon"}
	}
	if i := strings.IndexAny(name, " ,\a\r\n\x00"); i >= 0 {
		return &LineError{field, i, fmt.Sprintf("the byte 0x%02x is not allowed", name[i])}
	}
	if field == "nick" {
		if i := strings.IndexAny(name, "!@*?#"); i >= 0 {
			return &LineError{field, i, fmt.Sprintf("the character %q is not allowed", name[i])}
		}
	}
	return nil
}

// MatchMask reports whether a mask such as "*!*@*.example.org" matches a
// source, upper and lower case as they stand: * is anything, ? one byte.
func MatchMask(mask, source string) bool {
	star, back := -1, 0 // the last * and what it has matched up to
	i, j := 0, 0
	for j < len(source) {
		switch {
		case i < len(mask) && mask[i] == '*':
			star, back = i, j
			i++
		case i < len(mask) && (mask[i] == '?' || mask[i] == source[j]):
			i++
			j++
		case star >= 0:
			back++
			i, j = star+1, back
		default:
			return false
		}
	}
	return strings.Trim(mask[i:], "*") == ""
}
