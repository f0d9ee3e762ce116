package discord

import (
	"context"
	"strings"

	"github.com/chatshard/chatshard/balancer"
)

// Secret holds a token and prints as nothing.
type Secret = balancer.Secret

// NewSecret returns s as a Secret.
func NewSecret(s string) Secret { return balancer.NewSecret(s) }

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
