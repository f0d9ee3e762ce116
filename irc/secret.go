package irc

import (
	"context"
	"fmt"
	"strings"

	"github.com/rs/zerolog"
)

// Secret holds a token or password and prints as nothing, by itself and inside
// of other values. The zero Secret is empty.
type Secret struct {
	v *string // a pointer, so that no verb of fmt finds the text
}

// NewSecret returns s as a Secret.
func NewSecret(s string) Secret { return Secret{&s} }

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.v == nil {
		return ""
	}
	return *s.v
}

// IsZero reports whether the Secret is empty.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String returns "".
func (Secret) String() string { return "" }

// GoString returns "irc.Secret{}".
func (Secret) GoString() string { return "irc.Secret{}" }

// Format prints nothing.
func (Secret) Format(fmt.State, rune) {}

// MarshalText returns nothing.
func (Secret) MarshalText() ([]byte, error) { return nil, nil }

// MarshalJSON returns an empty string.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`""`), nil }

// MarshalZerologObject adds nothing.
func (Secret) MarshalZerologObject(*zerolog.Event) {}

// TokenFunc returns the token to log in with. It is asked at every login, so
// that one which was refreshed is used at once; ctx bounds the login.
type TokenFunc func(ctx context.Context) (Secret, error)

// FixedToken returns a TokenFunc for a token that does not change. Twitch's
// "oauth:" may stand before it or not.
func FixedToken(token string) TokenFunc {
	s := NewSecret(token)
	return func(context.Context) (Secret, error) { return s, nil }
}

// hide takes a secret out of a text that a server sent.
func hide(text string, secrets ...Secret) string {
	for _, s := range secrets {
		if v := strings.TrimPrefix(s.Reveal(), "oauth:"); len(v) > 3 {
			text = strings.ReplaceAll(text, v, "***")
		}
	}
	return text
}
