package balancertest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// Limits are what a Network enforces. A zero field is not limited. What goes
// over one is counted in [Network.Violations], and done all the same, so that
// a test sees both.
type Limits struct {
	KeysPerConn int           // members of one connection
	Keys        int           // memberships of the account over all connections, double ones counted
	Joins       int           // joins per Per
	Logins      int           // logins per Per
	Per         time.Duration // default 10 s
}

// Config is how a Network behaves.
type Config struct {
	Limits  Limits
	NoIDs   bool                            // messages carry no ID: only their text tells them apart
	Latency func(conn int) time.Duration    // one-way delay of the n-th connection, from 0; nil: none
	Cap     int                             // what connections of free placement say that they may hold; 0: nothing
	Replay  int                             // messages kept per session for a resume; fixed placement only
	Answer  func(k balancer.Key) Answer     // how a join is answered; nil: with Joined
	Dial    func(id balancer.ShardID) error // refuses dials; nil: none
	Polled  bool                            // connections can be waited for together, by sockets in memory that the system knows nothing of
}

// Answer is how a Network answers a join.
type Answer struct {
	Silent bool          // not at all
	After  time.Duration // after this time
	Err    error         // with Refused
	Until  time.Time     // of Refused
}

// Message is the Data of a Network's events.
type Message struct {
	Key  balancer.Key
	N    int // 1, 2, 3 … per key
	Text string
	At   time.Time
}

// Sent returns when the message was published.
func (m *Message) Sent() time.Time { return m.At }

// Fingerprint hashes key and text, as a transport hashes a line.
func (m *Message) Fingerprint() uint64 {
	h := fnv.New64a()
	h.Write([]byte(m.Key))
	h.Write([]byte{0})
	h.Write([]byte(m.Text))
	return h.Sum64()
}

// Network is a chat service in memory. It works inside a synctest bubble and
// is safe for concurrent use.
type Network struct {
	cfg Config

	mu         sync.Mutex
	conns      []*conn // all that were ever made
	sessions   map[string]*session
	published  map[balancer.Key][]*record
	members    int
	heard      map[balancer.Key]bool // keys whose Joined was received at least once
	joins      []time.Time
	logins     []time.Time
	violations []string
	joinCount  int
	identifies int
	resumes    int
}

// record is what the network knows of one message.
type record struct {
	at   time.Time
	owed bool // it was published after the client had heard that it is a member
	read bool // a connection handed it out
}

type session struct {
	id    string
	shard balancer.ShardID
	seq   uint64
	log   []balancer.Event // with Seq; the last Config.Replay
	conn  *conn            // nil while nobody is connected
	heard bool             // its Up was received
}

// NewNetwork returns a Network.
func NewNetwork(cfg Config) *Network {
	if cfg.Limits.Per == 0 {
		cfg.Limits.Per = 10 * time.Second
	}
	return &Network{cfg: cfg, published: make(map[balancer.Key][]*record), sessions: make(map[string]*session), heard: make(map[balancer.Key]bool)}
}

// Free returns a Transport with free placement.
func (n *Network) Free() balancer.Transport { return free{n} }

// Fixed returns a Transport with fixed placement, whose sessions can be resumed.
func (n *Network) Fixed() balancer.Placer { return fixed{n} }

type free struct{ n *Network }

func (f free) Dial(ctx context.Context, id balancer.ShardID, _ *balancer.Session) (balancer.Conn, error) {
	c, err := f.n.dial(ctx, id)
	if err != nil {
		return nil, err
	}
	c.push(item{e: balancer.Event{Data: balancer.Up{Cap: f.n.cfg.Cap}}})
	return joiner{c}, nil
}

type fixed struct{ n *Network }

// Place hashes the key; the empty key is on shard 0.
func (f fixed) Place(k balancer.Key, count int) int {
	if k == "" {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(k))
	return int(h.Sum32() % uint32(count))
}

func (f fixed) Dial(ctx context.Context, id balancer.ShardID, s *balancer.Session) (balancer.Conn, error) {
	c, err := f.n.dial(ctx, id)
	if err != nil {
		return nil, err
	}
	n := f.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if s != nil {
		if old := n.sessions[string(s.State)]; old != nil && n.canReplay(old, s.Seq) {
			n.resumes++
			if old.conn != nil {
				old.conn.fail(&balancer.ConnError{Err: errors.New("session taken over")})
			}
			old.conn, c.session = c, old
			c.push(item{e: balancer.Event{Data: balancer.Up{Session: &balancer.Session{State: []byte(old.id)}, Resumed: true}}})
			for _, e := range old.log {
				if e.Seq > s.Seq {
					c.push(item{e: e, rec: n.recordOf(e)})
				}
			}
			return c, nil
		}
	}
	n.identifies++
	ses := &session{id: fmt.Sprintf("session-%d", n.identifies), shard: id, conn: c}
	n.sessions[ses.id] = ses
	c.session = ses
	ses.seq++
	c.push(item{e: balancer.Event{Seq: ses.seq, Data: balancer.Up{Session: &balancer.Session{State: []byte(ses.id)}}}})
	return c, nil
}

func (n *Network) canReplay(s *session, seq uint64) bool {
	if seq > s.seq {
		return false
	}
	return seq == s.seq || len(s.log) > 0 && s.log[0].Seq <= seq+1
}

func (n *Network) recordOf(e balancer.Event) *record {
	m := e.Data.(*Message)
	return n.published[m.Key][m.N-1]
}

func (n *Network) dial(ctx context.Context, id balancer.ShardID) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if n.cfg.Dial != nil {
		if err := n.cfg.Dial(id); err != nil {
			return nil, err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.logins = n.spend(n.logins, n.cfg.Limits.Logins, "logins")
	c := &conn{n: n, id: id, keys: make(map[balancer.Key]time.Time), ended: make(chan struct{})}
	c.cond.L = &c.mu
	if n.cfg.Latency != nil {
		c.latency = n.cfg.Latency(len(n.conns))
	}
	n.conns = append(n.conns, c)
	return c, nil
}

// spend notes one more in a sliding window of limit per Per. n.mu is held.
func (n *Network) spend(log []time.Time, limit int, what string) []time.Time {
	now := time.Now()
	for len(log) > 0 && now.Sub(log[0]) >= n.cfg.Limits.Per {
		log = log[1:]
	}
	log = append(log, now)
	if limit > 0 && len(log) > limit {
		n.violate("%d %s in %v", len(log), what, n.cfg.Limits.Per)
	}
	return log
}

func (n *Network) violate(format string, a ...any) {
	n.violations = append(n.violations, fmt.Sprintf(format, a...))
}

// Violations returns every limit that was exceeded, in order.
func (n *Network) Violations() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.violations...)
}

// Publish sends a message to every member of k. Its text is "k/n" unless text
// is given.
func (n *Network) Publish(k balancer.Key, text ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := &Message{Key: k, N: len(n.published[k]) + 1, At: time.Now()}
	m.Text = string(k) + "/" + strconv.Itoa(m.N)
	if len(text) > 0 {
		m.Text = text[0]
	}
	rec := &record{at: m.At, owed: n.heard[k]}
	n.published[k] = append(n.published[k], rec)
	e := balancer.Event{Key: k, Size: 100, Data: m}
	if !n.cfg.NoIDs {
		e.ID = string(k) + "/" + strconv.Itoa(m.N)
	}
	for _, s := range n.sessions {
		if s.carries(k) {
			s.seq++
			es := e
			es.Seq = s.seq
			s.log = append(s.log, es)
			if len(s.log) > n.cfg.Replay {
				s.log = s.log[len(s.log)-n.cfg.Replay:]
			}
			rec.owed = rec.owed || s.heard
			if s.conn != nil {
				s.conn.push(item{e: es, rec: rec})
			}
		}
	}
	for _, c := range n.conns {
		if c.session == nil && c.member(k) {
			c.push(item{e: e, rec: rec})
		}
	}
}

func (s *session) carries(k balancer.Key) bool {
	return fixed{}.Place(k, s.shard.Count) == s.shard.Index
}

// Repeat sends the last message of k once more, as services do. Without IDs it does nothing.
func (n *Network) Repeat(k balancer.Key) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.published[k]
	if len(p) == 0 {
		return
	}
	id := string(k) + "/" + strconv.Itoa(len(p))
	if n.cfg.NoIDs {
		return // nothing would tell it from a new message
	}
	for _, c := range n.conns {
		if c.session == nil && c.member(k) {
			c.push(item{e: balancer.Event{Key: k, ID: id, Size: 100, Data: &Message{Key: k, N: len(p), Text: id, At: p[len(p)-1].at}}, rec: p[len(p)-1]})
		}
	}
}

// Identifies and resumes of fixed placement so far.
func (n *Network) Identifies() (identifies, resumes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.identifies, n.resumes
}

// Joins returns how many joins were asked for so far.
func (n *Network) Joins() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.joinCount
}

// Sent returns what the client sent over the live connections of a shard.
func (n *Network) Sent(id balancer.ShardID) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var frames []string
	for _, c := range n.live() {
		if c.id == id {
			c.mu.Lock()
			frames = append(frames, c.frames...)
			c.mu.Unlock()
		}
	}
	return frames
}
