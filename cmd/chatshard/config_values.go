package main

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// valueError is why a text is no value of its type, and what to write instead.
type valueError struct{ what, fix string }

func (e *valueError) Error() string { return e.what + "; " + e.fix }

// secret is a token or password. Nothing prints it.
type secret string

func (s secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

func (s secret) GoString() string                      { return s.String() }
func (s secret) MarshalText() ([]byte, error)          { return []byte(s.String()), nil }
func (s secret) MarshalZerologObject(e *zerolog.Event) { e.Str("secret", s.String()) }
func (s *secret) UnmarshalText(text []byte) error      { *s = secret(text); return nil }

// duration is written as 30s, 1m30s or 500ms.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if _, number := strconv.ParseFloat(string(text), 64); err != nil && number == nil {
		return &valueError{quote(text) + " has no unit", fmt.Sprintf("write %ss for seconds", text)}
	}
	if err != nil {
		return &valueError{quote(text) + " is not a duration", "write one as in 30s, 1m30s or 500ms"}
	}
	if v <= 0 {
		return &valueError{quote(text) + " is not positive", "write a duration as in 30s"}
	}
	*d = duration(v)
	return nil
}

// size is a number of bytes, written as 64KiB, 1MiB, 500kB or 65536.
type size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}}

func (s size) MarshalText() ([]byte, error) {
	for _, u := range sizeUnits {
		if int64(s) >= u.bytes && int64(s)%u.bytes == 0 {
			return fmt.Appendf(nil, "%d%s", int64(s)/u.bytes, u.name), nil
		}
	}
	return []byte("0B"), nil
}

func (s *size) UnmarshalText(text []byte) error {
	number, unit := string(text), int64(1)
	for _, u := range sizeUnits {
		if n, ok := cutSuffixFold(number, u.name); ok {
			number, unit = strings.TrimRight(n, " "), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 {
		return &valueError{quote(text) + " is not a size", "write one as in 64KiB, 1MiB or 500kB"}
	}
	if n == 0 || n > (1<<40)/unit {
		return &valueError{quote(text) + " is out of range", "write a size between 1B and 1024GiB"}
	}
	*s = size(n * unit)
	return nil
}

func cutSuffixFold(s, suffix string) (string, bool) {
	if i := len(s) - len(suffix); i >= 0 && strings.EqualFold(s[i:], suffix) {
		return s[:i], true
	}
	return s, false
}

// rate is so many in any interval of a length, written as 20/11s. The zero
// rate, auto, leaves the choice to us; "off" is no limit.
type rate struct {
	N   int
	Per time.Duration
	Off bool
}

func (r rate) String() string {
	switch {
	case r.Off:
		return "off"
	case r == rate{}:
		return "auto"
	}
	return strconv.Itoa(r.N) + "/" + r.Per.String()
}

func (r rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r *rate) UnmarshalText(text []byte) error {
	switch string(text) {
	case "off":
		*r = rate{Off: true}
		return nil
	case "auto":
		*r = rate{}
		return nil
	}
	count, per, ok := strings.Cut(string(text), "/")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	per = strings.TrimSpace(per)
	if per == "s" || per == "m" || per == "h" {
		per = "1" + per
	}
	d, perErr := time.ParseDuration(per)
	if !ok || err != nil || perErr != nil {
		return &valueError{quote(text) + " is not a rate", "write how many in which time, as in 20/11s, or off"}
	}
	if n < 1 || n > 1e6 || d <= 0 {
		return &valueError{quote(text) + " is out of range", "write between 1 and 1000000 in a positive time, as in 20/11s, or off"}
	}
	*r = rate{N: n, Per: d}
	return nil
}

// proxyURL is a URL that may hold a password; it prints without.
type proxyURL string

// parse returns nil for no proxy.
func (p proxyURL) parse() *url.URL {
	if p == "" {
		return nil
	}
	u, _ := url.Parse(string(p)) // UnmarshalText has made sure
	return u
}

func (p proxyURL) String() string {
	u := p.parse()
	if u == nil || u.User == nil {
		return string(p)
	}
	user := url.User(u.User.Username()).String()
	u.User = nil
	return strings.Replace(u.String(), "://", "://"+user+":***@", 1)
}

func (p proxyURL) GoString() string             { return p.String() }
func (p proxyURL) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

func (p *proxyURL) UnmarshalText(text []byte) error {
	const fix = "write one as in socks5://127.0.0.1:1080 or http://proxy:3128"
	u, err := url.Parse(string(text))
	if err != nil { // it quotes the URL, password included
		return &valueError{"not a URL", fix}
	}
	switch u.Scheme {
	case "socks5", "http", "https":
	default:
		return &valueError{"the scheme " + quote(clipped(u.Scheme, 20)) + " is not supported", fix}
	}
	if u.Hostname() == "" {
		return &valueError{"the URL names no host", fix}
	}
	*p = proxyURL(text)
	return nil
}

// The values below are one of a few words.
type (
	logLevel     string
	logFormat    string
	policyName   string
	whenFull     string
	mechanism    string
	outputFormat string
)

func (v *logLevel) UnmarshalText(text []byte) error {
	return choose(v, text, "debug", "info", "warn", "error")
}
func (v *logFormat) UnmarshalText(text []byte) error {
	return choose(v, text, "auto", "json", "console")
}
func (v *policyName) UnmarshalText(text []byte) error {
	return choose(v, text, "distributed", "weighted", "single")
}
func (v *whenFull) UnmarshalText(text []byte) error {
	return choose(v, text, "block", "drop_oldest")
}
func (v *mechanism) UnmarshalText(text []byte) error {
	return choose(v, text, "plain", "external", "scram-sha-256")
}
func (v *outputFormat) UnmarshalText(text []byte) error { return choose(v, text, "ndjson") }

func choose[T ~string](v *T, text []byte, words ...string) error {
	for _, w := range words {
		if w == string(text) {
			*v = T(w)
			return nil
		}
	}
	if near := nearest(string(text), words); near != "" {
		return &valueError{quote(text) + " is not known", "did you mean " + near + "?"}
	}
	if len(words) == 1 {
		return &valueError{quote(text) + " is not known", "write " + words[0]}
	}
	return &valueError{quote(text) + " is not known", "use one of " + strings.Join(words, ", ")}
}

func (t *tlsConfig) UnmarshalText(text []byte) error {
	switch string(text) {
	case "true":
		*t = tlsConfig{}
	case "false":
		*t = tlsConfig{Off: true}
	default:
		return &valueError{quote(text) + " is neither true nor false", "write true, false, or a mapping with ca_file, server_name, cert_file, key_file or insecure"}
	}
	return nil
}

// MarshalYAML writes what UnmarshalText and a mapping read.
func (t tlsConfig) MarshalYAML() (any, error) {
	type plain tlsConfig
	switch t {
	case tlsConfig{}:
		return true, nil
	case tlsConfig{Off: true}:
		return false, nil
	}
	return plain(t), nil
}

func (c *channelConfig) UnmarshalText(text []byte) error {
	*c = channelConfig{Name: string(text), Enabled: true}
	return nil
}

// MarshalYAML writes what UnmarshalText and a mapping read.
func (c channelConfig) MarshalYAML() (any, error) {
	type plain channelConfig
	if c == (channelConfig{Name: c.Name, Enabled: true}) {
		return c.Name, nil
	}
	return plain(c), nil
}

// quote quotes a text of the user's: printable, and not too long.
func quote[T ~string | ~[]byte](s T) string { return strconv.Quote(clipped(string(s), 60)) }

func clipped(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// twitchToken returns a token without the "oauth:" before it. Errors never
// show the token.
func twitchToken(s secret) (secret, error) {
	token, _ := strings.CutPrefix(string(s), "oauth:")
	switch {
	case token == "":
		return "", errors.New("is empty")
	case strings.HasPrefix(token, "oauth:"):
		return "", errors.New(`has "oauth:" twice before it`)
	case strings.ContainsAny(token, " \t\r\n"):
		return "", errors.New("contains a blank or a line break")
	case len(token) > 512:
		return "", fmt.Errorf("is %d characters long, which no token is", len(token))
	}
	for _, r := range token {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~+/=", r)) {
			return "", errors.New("contains characters that no token has")
		}
	}
	return secret(token), nil
}
