package irc

import (
	"context"
	"strings"

	"github.com/chatshard/chatshard/balancer"
)

// Secret holds a token and prints as nothing.
type Secret = balancer.Secret

// NewSecret returns s as a Secret.
func NewSecret(s string) Secret { return balancer.NewSecret(s) }

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
