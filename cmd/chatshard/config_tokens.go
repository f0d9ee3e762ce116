package main

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/chatshard/chatshard/irc"
)

// relayToken is a bearer token; the file has its hash alone.
type relayToken struct {
	Name   string      `yaml:"name"`
	Hash   string      `yaml:"hash"` // sha256:…
	Roles  []string    `yaml:"roles"`
	Limits tokenLimits `yaml:"limits"`
}

// tokenLimits is what whoever has the token may ask of the relay.
type tokenLimits struct {
	Connections int  `yaml:"connections"` // streams at a time
	Requests    rate `yaml:"requests"`    // with bursts of twice as many
	Sends       rate `yaml:"sends"`
}

func (l *tokenLimits) defaults() {
	*l = tokenLimits{Connections: 100, Requests: rate{N: 20, Per: time.Second}, Sends: rate{N: 300, Per: time.Minute}}
}

func (t *relayToken) defaults() { t.Limits.defaults() }

const (
	maxTokens     = 1000
	maxTokensFile = 1 << 20
	maxRequests   = 10_000 // a second, of one token
)

var relayRoles = []string{string(relay.RoleRead), string(relay.RoleSend), string(relay.RoleAdmin)}

var tokenHash = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// tokens checks the tokens of the configuration and adds those of its file.
func (k *checker) tokens(path string, c *relayConfig) {
	first := map[string]position{}
	for i := range c.Tokens {
		p := fmt.Sprintf("%s.tokens[%d]", path, i)
		k.token(func(key, what, fix string) {
			at := p
			if key != "" {
				at += "." + key
			}
			k.failAt(at, what, fix)
		}, &c.Tokens[i], k.where(p), first)
	}
	c.tokenNames = maps.Clone(first)
	if c.TokensFile != "" {
		c.TokensFile = k.where(path + ".tokens_file").relative(c.TokensFile)
		text, err := readFile(c.TokensFile, maxTokensFile)
		if err != nil {
			k.failAt(path+".tokens_file", fmt.Sprintf("%s %v", quote(c.TokensFile), err), "check the path and its permissions")
			return
		}
		wrong := len(k.problems)
		c.fromFile, c.fileSum = k.tokensFile(c.TokensFile, text, first), sha256.Sum256([]byte(text))
		if len(c.Tokens)+len(c.fromFile) == 0 && len(k.problems) == wrong {
			k.failAt(path+".tokens_file", quote(c.TokensFile)+" has no token, and without one everybody on this machine may do everything",
				"write a name, a hash and roles into it, or remove tokens_file")
		}
	}
	if n := len(c.Tokens) + len(c.fromFile); n > maxTokens {
		k.failAt(path, fmt.Sprintf("%d tokens", n), fmt.Sprintf("use at most %d", maxTokens))
	}
}

// token checks one without repeating what stands there, which may be the token
// itself, and notes its name as first seen at a position.
func (k *checker) token(fail func(key, what, fix string), t *relayToken, at position, first map[string]position) {
	other, twice := first[t.Name]
	switch {
	case t.Name == "":
		fail("", "token without a name of its own", "give it a name, which logs and metrics will show")
	case twice:
		fail("name", fmt.Sprintf("a second token called %s: first at %v", quote(t.Name), other), "give it a name of its own")
	case !tokenHash.MatchString(t.Hash):
		fail("hash", "hash is not sha256: and 64 hexadecimal digits", "write the token's hash, as in: printf %s TOKEN | sha256sum")
	case len(t.Roles) == 0:
		fail("roles", "token without a role", "give it some of "+strings.Join(relayRoles, ", "))
	}
	if !twice {
		first[t.Name] = at
	}
	for _, r := range t.Roles {
		if r != string(relay.RoleRead) && r != string(relay.RoleSend) && r != string(relay.RoleAdmin) {
			fail("roles", "not a role", "use some of "+strings.Join(relayRoles, ", "))
		}
	}
	var std tokenLimits
	std.defaults()
	if t.Limits.Requests == (rate{}) {
		t.Limits.Requests = std.Requests
	}
	if t.Limits.Sends == (rate{}) {
		t.Limits.Sends = std.Sends
	}
	if n := t.Limits.Connections; n < 1 || n > 10_000 {
		fail("limits.connections", fmt.Sprintf("%d is out of range", n), "use a number from 1 to 10000")
	}
	if r := t.Limits.Requests; r.N > 0 && perSecond(r) > maxRequests {
		fail("limits.requests", r.String()+" is out of range", fmt.Sprintf("write at most %d/1s, or off", maxRequests))
	}
}

func perSecond(r rate) float64 { return float64(r.N) / r.Per.Seconds() }

// tokensFile reads a file of tokens: a line each, of a name, a hash, roles with
// commas between, and limits as in sends=20/1m. A # begins a comment.
func (k *checker) tokensFile(file, text string, first map[string]position) []relayToken {
	var all []relayToken
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(strings.TrimRight(line, "\r\n"), "#")
		if !utf8.ValidString(line) {
			k.fail(position{file, n, 1}, "not UTF-8", "save the file as UTF-8")
			continue
		}
		fields := fieldsAt(line)
		if len(fields) == 0 {
			continue
		}
		at := func(i int) position { return position{file, n, fields[i].col} }
		if len(fields) < 3 {
			k.fail(at(0), "a token is a name, a hash and roles", "write one a line, as in: logger sha256:… read,send")
			continue
		}
		t := relayToken{Name: fields[0].text, Hash: fields[1].text, Roles: strings.Split(fields[2].text, ",")}
		t.defaults()
		column := map[string]int{"name": 0, "hash": 1, "roles": 2}
		for i, f := range fields[3:] {
			key, value, ok := strings.Cut(f.text, "=")
			if _, again := column["limits."+key]; !ok || again || key != "connections" && key != "requests" && key != "sends" {
				k.fail(at(i+3), "not a limit, or a second one", "write connections=100, requests=20/1s or sends=300/1m")
				continue
			}
			column["limits."+key] = i + 3
			var err error
			switch key {
			case "connections":
				t.Limits.Connections, err = strconv.Atoi(value)
			case "requests":
				err = t.Limits.Requests.UnmarshalText([]byte(value))
			case "sends":
				err = t.Limits.Sends.UnmarshalText([]byte(value))
			}
			if err != nil {
				k.fail(at(i+3), "not a number, or not a rate", "write connections=100, requests=20/1s or sends=300/1m")
				t.Limits.defaults()
			}
		}
		k.token(func(key, what, fix string) { k.fail(at(column[key]), what, fix) }, &t, at(0), first)
		all = append(all, t)
	}
	return all
}

// word is a run of characters other than blanks.
type word struct {
	text string
	col  int // from 1, in characters
}

func fieldsAt(line string) []word {
	var all []word
	for rest := line; ; {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" {
			return all
		}
		text := rest
		if i := strings.IndexAny(rest, " \t"); i >= 0 {
			text = rest[:i]
		}
		all = append(all, word{text, utf8.RuneCountInString(line[:len(line)-len(rest)]) + 1})
		rest = rest[len(text):]
	}
}

// serverTokens returns what the configuration makes of the server's own.
func serverTokens(lists ...[]relayToken) []relay.Token {
	var all []relay.Token
	for _, t := range slices.Concat(lists...) {
		all = append(all, t.token())
	}
	return all
}

// token returns what the configuration makes of the server's own.
func (t *relayToken) token() relay.Token {
	out := relay.Token{Name: t.Name, Hash: t.Hash, Connections: t.Limits.Connections, Rate: maxRequests, Sends: irc.Rate{N: -1}}
	for _, r := range t.Roles {
		out.Roles = append(out.Roles, relay.Role(r))
	}
	if r := t.Limits.Requests; r.N > 0 {
		out.Rate = perSecond(r)
	}
	if r := t.Limits.Sends; r.N > 0 {
		out.Sends = irc.Rate{N: r.N, Per: r.Per}
	}
	return out
}
