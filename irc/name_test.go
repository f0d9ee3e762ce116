package irc

import (
	"errors"
	"strings"
	"testing"
)

func TestValidLogin(t *testing.T) {
	for _, login := range []string{"a", "forsen", "justinfan123", "_x_", strings.Repeat("x", 25)} {
		if err := ValidLogin(login); err != nil {
			t.Errorf("ValidLogin(%q) = %v", login, err)
		}
	}
	for _, login := range []string{"", "Forsen", "#forsen", "a,b", "a b", "a-b", "ü", "a\r\nJOIN", strings.Repeat("x", 26)} {
		if err := ValidLogin(login); !errors.Is(err, ErrName) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("ValidLogin(%q) = %v, want ErrName", login, err)
		}
	}
}

func TestMatchMask(t *testing.T) {
	for _, test := range []struct {
		mask, source string
		want         bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"**", "abc", true}, {"?", "", false}, {"a*b*c", "aXbYbZc", true},
		{"a*b*c", "aXbYbZ", false}, {"*a", "ba", true}, {"*a", "ab", false}, {"a?c", "abc", true},
		{strings.Repeat("*a", 30) + "b", strings.Repeat("a", 10_000), false},
	} {
		if got := MatchMask(test.mask, test.source); got != test.want {
			t.Errorf("MatchMask(%.20q, %.20q) = %v, want %v", test.mask, test.source, got, test.want)
		}
	}
}
