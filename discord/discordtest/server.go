package discordtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer/balancertest/wire"
)

// Server is a fake Discord: a gateway and some REST. Make one with [New],
// connect to it with [Server.DialContext] or after [Server.Listen], end it with
// [Server.Close]. All methods are safe for concurrent use.
//
// A Server that is used inside a testing/synctest bubble must be made there.
type Server struct {
	cfg  Config
	mint *idMint
	bots []*bot // never changes
	rest restAPI
	wg   sync.WaitGroup // every goroutine of the Server
	done chan struct{}  // closed by Close

	mu        sync.RWMutex // guards what follows
	closed    bool
	conns     map[*conn]struct{}
	unsettled map[*conn]struct{} // over, but the client may still read
	guilds    map[uint64]*guild
	listeners []net.Listener
	nextConn  int

	stats stats
	viol  violations
	certs wire.Certs
	chaos chaos
	rnd   random
}

// New returns a Server. It listens nowhere and starts nothing. cfg may be nil.
func New(cfg *Config) *Server {
	s := &Server{
		cfg:       cfg.withDefaults(),
		mint:      newMint(time.Now()),
		done:      make(chan struct{}),
		conns:     make(map[*conn]struct{}),
		unsettled: make(map[*conn]struct{}),
		guilds:    make(map[uint64]*guild),
	}
	s.certs.Hosts = certHosts(s.cfg.Hosts)
	s.rnd.r = rand.New(rand.NewPCG(s.cfg.Seed, 0x646973))
	s.guilds[0] = newGuild(0, s.cfg.Seed) // direct messages
	for i, b := range s.cfg.Bots {
		s.bots = append(s.bots, newBot(s, i, b))
	}
	s.rest.init(s)
	return s
}

// Close ends all listeners and connections and blocks until every goroutine of
// the Server has ended. It may be called more than once.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	ls := s.listeners
	s.listeners = nil
	s.mu.Unlock()
	for _, l := range ls {
		l.Close()
	}
	for _, c := range s.live() {
		c.end(pull)
	}
	s.wg.Wait()
}

// live returns the connections in the order in which they were made.
func (s *Server) live() []*conn {
	s.mu.RLock()
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.RUnlock()
	sortConns(conns)
	return conns
}

// bot returns the bot of a token or name, the first one for "", or nil.
func (s *Server) bot(name string) *bot {
	for _, b := range s.bots {
		if name == "" || b.Name == name || b.isToken(name) {
			return b
		}
	}
	return nil
}

// mustBot panics where a test names a bot that does not exist.
func (s *Server) mustBot(name string) *bot {
	if b := s.bot(name); b != nil {
		return b
	}
	panic("discordtest: no such bot")
}

// guild returns a guild or nil.
func (s *Server) guild(id uint64) *guild {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.guilds[id]
}

// Stats counts what happened since the Server was made.
type Stats struct {
	Conns   int   // connections open now, REST included
	Dialled int64 // connections ever accepted
	Refused int64
	Events  int64 // published, once each
	Written int64 // dispatches written
	REST    int64 // requests answered
	Bots    []BotStats
}

// BotStats is what one bot's clients did.
type BotStats struct {
	Name              string
	Dead              bool // the token, because the budget was exceeded
	Remaining         int  // session starts left today
	Conns             int  // with a session, now
	Sessions          int  // that could be used or resumed now
	Identifies        int64
	IdentifiesRefused int64 // with op 9 or a close; the former cost budget
	Resumes           int64 // that ended in RESUMED
	ResumesFailed     int64
	SessionsKept      int64 // sessions that were resumed at least once
	SessionsWasted    int64 // identified anew although a session of the shard could have been resumed
	SessionsEnded     int64 // by the service: invalid, expired, or their buffer was too short
	Closes            map[int]int64
	ClientCloses      map[int]int64 // by the client's code; 1006: no close frame
	Guilds            int
}

type stats struct {
	dialled, refused, events, written, rest, ports atomic.Int64
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	s.mu.RLock()
	n := len(s.conns)
	s.mu.RUnlock()
	st := Stats{
		Conns: n, Dialled: s.stats.dialled.Load(), Refused: s.stats.refused.Load(), Events: s.stats.events.Load(),
		Written: s.stats.written.Load(), REST: s.stats.rest.Load(),
	}
	for _, b := range s.bots {
		st.Bots = append(st.Bots, b.stats())
	}
	return st
}

// Bot returns the counters of the bot with the name; the first for "".
func (st Stats) Bot(name string) BotStats {
	for _, b := range st.Bots {
		if name == "" || b.Name == name {
			return b
		}
	}
	return BotStats{}
}

func (b BotStats) String() string {
	return fmt.Sprintf("%s: %d identifies (%d refused), %d resumes (%d failed), %d sessions, %d wasted, %d left today",
		b.Name, b.Identifies, b.IdentifiesRefused, b.Resumes, b.ResumesFailed, b.Sessions, b.SessionsWasted, b.Remaining)
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

func (r *random) uint64() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.r.Uint64()
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
