package discord

import (
	"context"
	"fmt"
	"strings"

	"github.com/rs/zerolog"
)

// Secret holds a token or session and prints as nothing, by itself and inside
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

// GoString returns "discord.Secret{}".
func (Secret) GoString() string { return "discord.Secret{}" }

// Format prints nothing.
func (Secret) Format(fmt.State, rune) {}

// MarshalText returns nothing.
func (Secret) MarshalText() ([]byte, error) { return nil, nil }

// MarshalJSON returns an empty string.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`""`), nil }

// MarshalZerologObject adds nothing.
func (Secret) MarshalZerologObject(*zerolog.Event) {}

// TokenFunc returns the bot's token. It is asked at every IDENTIFY, RESUME and
// REST call, so that one which was reset is used at once; ctx bounds the call.
type TokenFunc func(ctx context.Context) (Secret, error)

// FixedToken returns a TokenFunc for a token that does not change. "Bot " may
// stand before it or not.
func FixedToken(token string) TokenFunc {
	s := NewSecret(bare(token))
	return func(context.Context) (Secret, error) { return s, nil }
}

// bare returns a token without what may stand before it.
func bare(token string) string {
	return strings.TrimPrefix(strings.TrimSpace(token), "Bot ")
}

// hide takes a token out of a text that a server sent.
func hide(text string, token Secret) string {
	if v := token.Reveal(); len(v) > 3 {
		text = strings.ReplaceAll(text, v, "***")
	}
	return text
}
