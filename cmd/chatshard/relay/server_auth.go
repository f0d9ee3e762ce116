package relay

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
)

// Role is what a token may do.
type Role string

const (
	RoleRead  Role = "read"  // streams, polls, metrics
	RoleSend  Role = "send"  // send messages
	RoleAdmin Role = "admin" // everything
)

// Token is a bearer token as it is configured: not itself but its hash. Since
// tokens are random and long, a plain SHA-256 keeps them.
type Token struct {
	Name        string // for logs and metrics
	Hash        string // "sha256:" and 64 hex digits of the token: HashToken
	Roles       []Role
	Connections int      // streams at a time; default 100
	Rate        float64  // requests a second; default 20, with bursts of twice as many
	Sends       irc.Rate // requests to send, those that are refused included; default 300 in 1 min; negative: no limit but Rate
}

// HashToken returns what Token.Hash has for a token.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Check says what is wrong with a configuration: a server with such a one
// does not start.
func (c *ServerConfig) Check() error {
	host, _, err := net.SplitHostPort(c.addr())
	if err != nil {
		return fmt.Errorf("%w: address %q: %w: want HOST:PORT as 127.0.0.1:8787", ErrServer, c.Addr, err)
	}
	if len(c.Tokens) == 0 && !isLoopback(host) {
		return fmt.Errorf("%w: address %q is public and there are no tokens: everybody could read and send; set tokens, or listen on 127.0.0.1", ErrServer, c.Addr)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return fmt.Errorf("%w: TLS needs both a certificate and a key file", ErrServer)
	}
	if err := checkTokens(c.Tokens); err != nil {
		return err
	}
	for _, o := range c.Origins {
		if u, err := url.Parse(o); o != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "") {
			return fmt.Errorf("%w: origin %q: want one as https://example.org, or *", ErrServer, o)
		}
	}
	return nil
}

func checkTokens(tokens []Token) error {
	names := map[string]bool{}
	for i, t := range tokens {
		if t.Name == "" || names[t.Name] {
			return fmt.Errorf("%w: token %d: name %q: want one of its own", ErrServer, i+1, t.Name)
		}
		names[t.Name] = true
		if _, err := t.sum(); err != nil {
			return err
		}
		if len(t.Roles) == 0 {
			return fmt.Errorf("%w: token %q has no role: want read, send or admin", ErrServer, t.Name)
		}
		for _, r := range t.Roles {
			if r != RoleRead && r != RoleSend && r != RoleAdmin {
				return fmt.Errorf("%w: token %q: role %q: want read, send or admin", ErrServer, t.Name, string(r))
			}
		}
		if t.Connections < 0 || t.Rate < 0 || t.Sends.N > 0 && t.Sends.Per <= 0 || t.Sends.N > maxSends {
			return fmt.Errorf("%w: token %q: a limit that is negative or too large", ErrServer, t.Name)
		}
	}
	return nil
}

func (t *Token) sum() (sum [32]byte, err error) {
	digits, ok := strings.CutPrefix(t.Hash, "sha256:")
	b, err := hex.DecodeString(digits)
	if !ok || err != nil || len(b) != len(sum) {
		// Not printed: it may be the token itself.
		return sum, fmt.Errorf("%w: token %q: hash: want sha256: and 64 hex digits", ErrServer, t.Name)
	}
	return [32]byte(b), nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// guest is who asks: a token, or anybody where there are none.
type guest struct {
	name  string
	roles []Role
	sum   [32]byte
	limit int
	rate  bucket
	sends *balancer.Window // nil: no limit

	of   Token           // what it was made of
	gone context.Context // ends when the token is taken away, and with the server
	end  context.CancelFunc

	mu    sync.Mutex // guards conns
	conns int
}

// full returns t with its defaults, and its roles in order.
func (t Token) full() Token {
	t.Roles = slices.Compact(slices.Sorted(slices.Values(t.Roles)))
	t.Connections, t.Rate = cmp.Or(t.Connections, 100), cmp.Or(t.Rate, 20)
	if t.Sends.N == 0 {
		t.Sends = irc.Rate{N: 300, Per: time.Minute}
	}
	return t
}

// newGuest returns who has a full token.
func newGuest(stop context.Context, t Token) (*guest, error) {
	sum, err := t.sum()
	if err != nil {
		return nil, err
	}
	g := &guest{name: t.Name, roles: t.Roles, sum: sum, limit: t.Connections, of: t}
	g.rate = bucket{rate: t.Rate, burst: max(2*t.Rate, 1)}
	if t.Sends.N > 0 {
		g.sends = balancer.NewWindow(t.Sends.N, t.Sends.Per)
	}
	g.gone, g.end = context.WithCancel(stop)
	return g, nil
}

// is reports whether g was made of a token with these roles and limits.
func (g *guest) is(t *Token) bool {
	return g.of.Name == t.Name && g.of.Hash == t.Hash && slices.Equal(g.of.Roles, t.Roles) &&
		g.of.Connections == t.Connections && g.of.Rate == t.Rate && g.of.Sends == t.Sends
}

func (g *guest) may(role Role) bool {
	return slices.Contains(g.roles, role) || slices.Contains(g.roles, RoleAdmin)
}

// enter takes one of the connections.
func (g *guest) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conns >= g.limit {
		return false
	}
	g.conns++
	return true
}

func (g *guest) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns--
}

// bucket admits rate things a second, and burst at once.
type bucket struct {
	rate, burst float64

	mu   sync.Mutex // guards the rest
	at   time.Time
	left float64
}

// take returns for how long to wait; 0: go.
func (b *bucket) take(now time.Time, n float64) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at.IsZero() {
		b.left = b.burst
	} else if d := now.Sub(b.at); d > 0 {
		b.left = min(b.burst, b.left+d.Seconds()*b.rate)
	}
	b.at = now
	if b.left < max(n, 1) {
		return time.Duration((max(n, 1) - b.left) / b.rate * float64(time.Second))
	}
	b.left -= n
	return 0
}

// guard knows the tokens, and who guesses.
type guard struct {
	stop    context.Context // of the server
	guests  atomic.Pointer[[]*guest]
	open    *guest // for everybody; nil: tokens are needed
	origins []string

	setting sync.Mutex         // one change of guests at a time
	mu      sync.Mutex         // guards guesses
	guesses map[string]*bucket // by address
	others  bucket             // of addresses for which there is no room
}

const (
	maxSends         = 1_000_000 // in a limit of a token
	guessesPerMinute = 10
	maxGuessers      = 4096
)

func newGuard(stop context.Context, c *ServerConfig) (*guard, error) {
	g := &guard{stop: stop, origins: c.Origins, guesses: map[string]*bucket{}, others: bucket{rate: 100.0 / 60, burst: 100}}
	if len(c.Tokens) == 0 {
		g.open = &guest{name: "local", roles: []Role{RoleAdmin}, limit: 10_000, rate: bucket{rate: 10_000, burst: 10_000}, gone: stop}
	}
	return g, g.set(c.Tokens)
}

// set replaces the tokens. Who is still there keeps its streams and what is
// left of its limits.
func (g *guard) set(tokens []Token) error {
	g.setting.Lock()
	defer g.setting.Unlock()
	var old, all []*guest
	if p := g.guests.Load(); p != nil {
		old = slices.Clone(*p)
	}
	for _, t := range tokens {
		t = t.full()
		if j := slices.IndexFunc(old, func(o *guest) bool { return o.is(&t) }); j >= 0 {
			all, old = append(all, old[j]), slices.Delete(old, j, j+1)
			continue
		}
		who, err := newGuest(g.stop, t)
		if err != nil {
			return err
		}
		all = append(all, who)
	}
	g.guests.Store(&all)
	for _, o := range old {
		o.end()
	}
	return nil
}

// problem is an answer that is not what was asked for.
type problem struct {
	status int
	wait   time.Duration
	text   string
}

func (p *problem) write(w http.ResponseWriter) {
	if p.wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((p.wait+time.Second-1)/time.Second)))
	}
	if p.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="chatshard"`)
	}
	WriteProblem(w, p.status, "", p.text)
}

// WriteProblem answers with an error as RFC 9457 has it: what is wrong for
// people, and a code for programs where there is one.
func WriteProblem(w http.ResponseWriter, status int, code, detail string) {
	writeSendProblem(w, sendProblem{Status: status, Title: http.StatusText(status), Detail: detail, Code: code})
}

// admit says who asks and whether he may.
func (g *guard) admit(r *http.Request, role Role) (*guest, *problem) {
	if p := g.place(r); p != nil {
		return nil, p
	}
	now := time.Now()
	if g.open != nil {
		return g.open, nil
	}
	token := bearer(r)
	who := g.open
	address, _, _ := net.SplitHostPort(r.RemoteAddr)
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		for _, c := range *g.guests.Load() { // all of them: how long it takes says nothing
			if subtle.ConstantTimeCompare(sum[:], c.sum[:]) == 1 {
				who = c
			}
		}
	}
	if who == nil {
		cost := 0.0
		if token != "" {
			cost = 1
		}
		if wait := g.guesser(address).take(now, cost); wait > 0 {
			return nil, &problem{http.StatusTooManyRequests, wait, "too many wrong tokens from this address"}
		}
		return nil, &problem{http.StatusUnauthorized, 0, "a token is needed: Authorization: Bearer TOKEN"}
	}
	if wait := who.rate.take(now, 1); wait > 0 {
		return nil, &problem{http.StatusTooManyRequests, wait, "more requests than this token may make"}
	}
	if !who.may(role) {
		return nil, &problem{http.StatusForbidden, 0, "this token has not the role " + string(role)}
	}
	if role == RoleSend && who.sends != nil {
		if wait, _ := who.sends.Take(now, 1); wait > 0 {
			return nil, &problem{http.StatusTooManyRequests, wait, "more messages than this token may send"}
		}
	}
	return who, nil
}

// guesser returns the bucket of an address. A right token is never refused for
// the wrong ones of a neighbour.
func (g *guard) guesser(address string) *bucket {
	if a, err := netip.ParseAddr(address); err == nil && a.Is6() && !a.Is4In6() {
		if p, err := a.WithZone("").Prefix(64); err == nil { // one customer has as many addresses as he likes
			address = p.String()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if b := g.guesses[address]; b != nil {
		return b
	}
	if len(g.guesses) >= maxGuessers {
		for a, b := range g.guesses {
			b.mu.Lock()
			idle := time.Since(b.at) > time.Minute
			b.mu.Unlock()
			if idle {
				delete(g.guesses, a)
			}
		}
		if len(g.guesses) >= maxGuessers {
			return &g.others
		}
	}
	b := &bucket{rate: guessesPerMinute / 60.0, burst: guessesPerMinute}
	g.guesses[address] = b
	return b
}

// place refuses pages of other origins: a browser lets them open WebSockets and
// post forms to us. Where no token protects, it also refuses names that are
// not ours, which a page could have pointed at us.
func (g *guard) place(r *http.Request) *problem {
	origin := r.Header.Get("Origin")
	if origin != "" && !g.origin(origin, r.Host) {
		return &problem{http.StatusForbidden, 0, "origin " + strconv.Quote(cut(origin, 100)) + " is not allowed: set server.origins"}
	}
	if g.open != nil && origin == "" || g.open != nil && !slices.Contains(g.origins, "*") {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !isLoopback(strings.Trim(host, "[]")) && host != "" {
			return &problem{http.StatusForbidden, 0, "host " + strconv.Quote(cut(host, 100)) + ": without tokens only localhost is served"}
		}
	}
	return nil
}

func (g *guard) origin(origin, host string) bool {
	if slices.Contains(g.origins, "*") || slices.Contains(g.origins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, host)
}

// bearer returns the token of a request: of the header, or for browsers'
// WebSockets of the subprotocol bearer.TOKEN. One in the URL is not read: those
// are logged everywhere.
func bearer(r *http.Request) string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if token, ok := strings.CutPrefix(strings.TrimSpace(p), "bearer."); ok {
				return token
			}
		}
	}
	return ""
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// asProblem says what status an error of ours has.
func asProblem(err error) *problem {
	switch {
	case errors.Is(err, ErrFilter), errors.Is(err, ErrOptions), errors.Is(err, ErrCursor):
		return &problem{http.StatusBadRequest, 0, err.Error()}
	case errors.Is(err, errBusy):
		return &problem{http.StatusConflict, 0, err.Error()}
	}
	return &problem{http.StatusServiceUnavailable, time.Second, err.Error()}
}
