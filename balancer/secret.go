package balancer

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rs/zerolog"
)

// Secret holds a token, password or session and prints as nothing, by itself and inside
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

// GoString returns "balancer.Secret{}".
func (Secret) GoString() string { return "balancer.Secret{}" }

// Format prints nothing.
func (Secret) Format(fmt.State, rune) {}

// MarshalText returns nothing.
func (Secret) MarshalText() ([]byte, error) { return nil, nil }

// MarshalJSON returns an empty string.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`""`), nil }

// MarshalZerologObject adds nothing.
func (Secret) MarshalZerologObject(*zerolog.Event) {}

var errNoText = errors.New("not a string")

// UnmarshalJSON takes a string or null.
func (s *Secret) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return errNoText // the decoder's own error would show what it read
	}
	if string(b) != "null" {
		*s = NewSecret(text)
	}
	return nil
}
