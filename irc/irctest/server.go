package irctest

import (
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer/balancertest/wire"
)

// Server is a fake chat server. Make one with [NewTwitch] or [NewIRC], connect
// to it with [Server.DialContext] or after [Server.Listen], end it with
// [Server.Close]. All methods are safe for concurrent use.
//
// A Server that is used inside a testing/synctest bubble must be made there.
type Server struct {
	cfg  Config
	prof profile
	mint idMint
	wg   sync.WaitGroup // every goroutine of the Server
	done chan struct{}  // closed by Close

	mu        sync.RWMutex // guards what follows
	closed    bool
	conns     map[*conn]struct{}
	channels  map[string]*channel // by folded name
	list      []*channel          // by number
	accounts  map[string]*account // by folded login, anonymous ones by address
	listeners []net.Listener
	nicks     map[string]*conn // plain IRC: folded nick
	nextConn  int
	judges    []*Judge
	revoked   map[string]bool // logins whose token is void
	renamed   map[string]bool // channel names that existed

	stats stats
	viol  violations
	certs wire.Certs
	chaos chaos
	rnd   random
}

// profile is the protocol that a Server speaks. Its methods are called by the
// connection's reading goroutine.
type profile interface {
	fold(name string) string                     // canonical form of a channel name given by the API
	wire(folded string) string                   // its form in lines
	valid(folded string) bool                    // whether such a channel may exist
	handle(c *conn, l clientLine)                // one line from the client
	tooLong(c *conn)                             // the client sent a line without end
	leave(c *conn, m *membership)                // the connection ended while joined
	farewell(c *conn, why string)                // the last line, if there is one
	casefold(login string) string                // canonical form of a nick or login
	closed(c *conn)                              // the connection is gone
	selfPart(c *conn, m *membership, why string) // ends a membership from the server's side
}

// NewTwitch returns a server that speaks as Twitch chat does. It listens
// nowhere and starts nothing. cfg may be nil.
func NewTwitch(cfg *Config) *Server {
	s := newServer(cfg.withDefaults("tmi.twitch.tv", normalLimits))
	s.prof = twitch{s}
	s.populate()
	return s
}

// NewIRC returns a plain IRC server. It listens nowhere and starts nothing.
// cfg may be nil. Limits apply only where they are set, and
// [Config.IRC] says the rest.
func NewIRC(cfg *Config) *Server {
	s := newServer(cfg.withDefaults("irc.example.net", unlimited))
	s.prof = ircd{s}
	s.populate()
	return s
}

func newServer(cfg Config) *Server {
	s := &Server{
		cfg:      cfg,
		mint:     idMint{cfg.Seed},
		done:     make(chan struct{}),
		conns:    make(map[*conn]struct{}),
		channels: make(map[string]*channel),
		accounts: make(map[string]*account),
		nicks:    make(map[string]*conn),
		revoked:  make(map[string]bool),
		renamed:  make(map[string]bool),
	}
	s.certs.Hosts = certHosts(cfg.Hosts)
	s.rnd.r = rand.New(rand.NewPCG(cfg.Seed, 0x697263))
	return s
}

func (s *Server) populate() {
	for _, name := range s.cfg.Channels {
		s.AddChannel(name)
	}
	for i := range s.cfg.Accounts {
		a := &s.cfg.Accounts[i]
		s.accounts[s.prof.casefold(a.Login)] = newAccount(a.Login, a, s.cfg.Normal)
	}
}

// Close ends all listeners and connections and blocks until every goroutine of
// the Server has ended. It may be called more than once.
func (s *Server) Close() {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	if first {
		close(s.done)
	}
	conns := s.snapshot()
	ls := s.listeners
	s.listeners = nil
	s.mu.Unlock()
	for _, l := range ls {
		l.Close()
	}
	for _, c := range conns {
		c.end(pull)
	}
	s.wg.Wait()
}

// snapshot returns the connections. The caller holds s.mu.
func (s *Server) snapshot() []*conn {
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// live returns the connections in the order in which they were made.
func (s *Server) live() []*conn {
	s.mu.RLock()
	conns := s.snapshot()
	s.mu.RUnlock()
	sortConns(conns)
	return conns
}

// lookup returns the channel of a name as the API takes it, or nil.
func (s *Server) lookup(name string) *channel {
	name = s.prof.fold(name)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.channels[name]
}

// channel returns the channel of a name, making it if need be.
func (s *Server) channel(name string) *channel {
	if ch := s.lookup(name); ch != nil {
		return ch
	}
	name = s.prof.fold(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.channels[name]; ch != nil {
		return ch
	}
	ch := newChannel(uint32(len(s.list)), name, s.prof.wire(name))
	s.channels[name] = ch
	s.list = append(s.list, ch)
	for _, j := range s.judges {
		j.track(ch)
	}
	return ch
}

// existing returns the channel of a name if it exists; where every channel
// does, it is made.
func (s *Server) existing(name string) *channel {
	if ch := s.lookup(name); ch != nil {
		return ch
	}
	if s.cfg.Channels != nil || !s.prof.valid(s.prof.fold(name)) {
		return nil
	}
	s.mu.RLock()
	renamed := s.renamed[s.prof.fold(name)]
	s.mu.RUnlock()
	if renamed {
		return nil
	}
	return s.channel(name)
}

// AddChannel makes channels exist.
func (s *Server) AddChannel(names ...string) {
	for _, name := range names {
		s.channel(name)
	}
}

// Stats counts what happened since the Server was made.
type Stats struct {
	Conns    int   // connections open now
	Dialled  int64 // connections ever accepted
	Refused  int64 // connections refused
	Logins   int64 // completed
	Members  int64 // memberships now
	Lines    int64 // lines written to clients
	Messages int64 // messages broadcast, once each
}

type stats struct {
	dialled, refused, logins, members, lines, messages, ports atomic.Int64
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	s.mu.RLock()
	n := len(s.conns)
	s.mu.RUnlock()
	return Stats{
		Conns: n, Dialled: s.stats.dialled.Load(), Refused: s.stats.refused.Load(),
		Logins: s.stats.logins.Load(), Members: s.stats.members.Load(),
		Lines: s.stats.lines.Load(), Messages: s.stats.messages.Load(),
	}
}

// random is a seeded source for many goroutines.
type random struct {
	mu sync.Mutex
	r  *rand.Rand // guarded by mu
}

// chance reports true with probability p.
func (r *random) chance(p float64) bool {
	if p <= 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.r.Float64() < p
}

func (r *random) intn(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.r.IntN(n)
}

// sleep waits for d or until stop is closed, and reports whether d passed.
func sleep(d time.Duration, stop <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop:
		return false
	}
}

// bare strips the # that the API allows before a Twitch channel's name.
func bare(name string) string { return strings.TrimPrefix(name, "#") }
