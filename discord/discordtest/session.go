package discordtest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// session is what a client identified for and can resume: a place among
// num_shards, a sequence and the last events.
type session struct {
	b            *bot
	id           string
	shard, count int
	intents      uint64
	how          params // of the connection that identified
	max          int    // events kept
	judges       []*Judge
	known        atomic.Bool // the client has read READY

	mu       sync.Mutex // guards all below
	seq      uint64
	ring     []*payload // the last ones, the newest with seq; nil entries are not replayed
	head     int
	conn     *conn
	lostAt   time.Time // when conn went
	ended    bool
	replaced bool // its client identified anew while it could have been resumed
	resumes  int
	pending  map[uint64]struct{}
	todo     []*guild // pending ones that will become available by themselves
	total    int      // of them at first
}

// push gives the event the next sequence number, keeps it, and writes it to
// the connection if there is one. It reports false if the session is over.
func (x *session) push(p *payload) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.pushLocked(p)
}

func (x *session) pushLocked(p *payload) bool {
	if x.ended {
		return true
	}
	if x.conn == nil && time.Since(x.lostAt) >= x.b.s.cfg.SessionLife {
		return false
	}
	x.seq++
	x.keep(p)
	if x.conn != nil {
		x.conn.dispatch(x, p, x.seq)
	}
	return true
}

// keep appends to the replay buffer.
func (x *session) keep(p *payload) {
	if len(x.ring)-x.head == x.max {
		x.ring[x.head] = nil
		x.head++
	}
	if x.head > 64 && x.head > len(x.ring)/2 {
		n := copy(x.ring, x.ring[x.head:])
		clear(x.ring[n:])
		x.ring, x.head = x.ring[:n], 0
	}
	x.ring = append(x.ring, p)
}

// deliver pushes an event of a guild, if the session wants it and has the
// guild available. The caller holds the guild's mutex.
func (x *session) deliver(p *payload, guild uint64) bool {
	if p.need != 0 && p.need&x.intents == 0 {
		return true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, waits := x.pending[guild]; waits {
		return true
	}
	return x.pushLocked(p)
}

// available makes a guild available: GUILD_CREATE, and its events from now on.
// The caller holds the guild's mutex.
func (x *session) available(g *guild) {
	from := x.b.s.mint.next(g.id)
	for _, j := range x.judges {
		j.track(g).entered(from)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.pending, g.id)
	if x.intents&IntentGuilds != 0 {
		x.pushLocked(&payload{t: "GUILD_CREATE", create: g, g: g, id: from})
	}
}

// withdraw takes a guild away: GUILD_DELETE. The caller holds the guild's mutex.
func (x *session) withdraw(g *guild, p *payload) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if p.need&x.intents != 0 {
		x.pushLocked(p)
	}
	if g.outage {
		if x.pending == nil {
			x.pending = make(map[uint64]struct{})
		}
		x.pending[g.id] = struct{}{}
	} else {
		delete(x.pending, g.id)
	}
}

func (x *session) waitsFor(guild uint64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, ok := x.pending[guild]
	return ok
}

// guildBatch is how many guilds become available at a time.
const guildBatch = 100

// backfill makes the next guilds available and returns how long to wait for
// the next ones; 0 if there are none.
func (x *session) backfill() time.Duration {
	x.mu.Lock()
	n := min(guildBatch, len(x.todo))
	if d := x.b.s.cfg.GuildDelay; d > 0 && x.total > 1 {
		n = min(n, max(1, x.total/20)) // so that the delay shows
	}
	batch := x.todo[:n]
	x.todo = x.todo[n:]
	more := len(x.todo) > 0
	total := x.total
	x.mu.Unlock()
	for _, g := range batch {
		g.mu.Lock()
		if !g.outage && !g.withheld && x.waitsFor(g.id) {
			x.available(g)
		}
		g.mu.Unlock()
	}
	if !more {
		return 0
	}
	if d := x.b.s.cfg.GuildDelay; d > 0 {
		return max(time.Microsecond, d*time.Duration(n)/time.Duration(max(1, total)))
	}
	return 5 * time.Millisecond
}

// usable reports whether the session has a connection, and whether it has one
// or could be resumed.
func (x *session) usable(now time.Time) (conn, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.conn != nil, !x.ended && (x.conn != nil || now.Sub(x.lostAt) < x.b.s.cfg.SessionLife)
}

// detach says that a connection is gone; the session can be resumed.
func (x *session) detach(c *conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn == c {
		x.conn, x.lostAt = nil, time.Now()
	}
}

// finish ends the session and returns the connection that it had. wasted says
// that the client gave away what the session held.
func (x *session) finish(why string, wasted bool) *conn {
	x.mu.Lock()
	if x.ended {
		x.mu.Unlock()
		return nil
	}
	x.ended = true
	c, ring := x.conn, x.ring[x.head:]
	x.conn, x.ring, x.head, x.pending, x.todo = nil, nil, 0, nil, nil
	x.mu.Unlock()
	if wasted {
		for _, j := range x.judges {
			for _, p := range ring {
				if p.judged() {
					j.track(p.g).reachable(p.id)
				}
			}
		}
	}
	b := x.b
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, x.id)
	if !wasted {
		b.st.SessionsEnded++
	}
	if len(b.gone) > 100_000 {
		clear(b.gone)
	}
	b.gone[x.id] = why
	if f := b.fleets[x.count]; f != nil {
		f.remove(x)
		if f.empty() {
			delete(b.fleets, x.count)
		}
	}
	return c
}

// expire ends a session that nobody resumed in time.
func (x *session) expire() {
	x.mu.Lock()
	replaced := x.replaced
	x.mu.Unlock()
	x.finish("expired", replaced)
}

// judged reports whether a judge may ask after the event.
func (p *payload) judged() bool {
	return p != nil && p.id != 0 && p.g != nil && p.create == nil && !p.ready
}

func (f *fleet) add(x *session) { f.shards[x.shard] = append(f.shards[x.shard], x) }

func (f *fleet) remove(x *session) {
	l := f.shards[x.shard]
	for i := range l {
		if l[i] == x {
			f.shards[x.shard] = append(l[:i:i], l[i+1:]...)
			return
		}
	}
}

func (f *fleet) empty() bool {
	for _, l := range f.shards {
		if len(l) > 0 {
			return false
		}
	}
	return true
}

// each calls f for every session that carries the guild.
func (b *bot) each(guild uint64, f func(*session)) {
	var buf [8]*session
	all := buf[:0]
	b.mu.RLock()
	for n, fl := range b.fleets {
		all = append(all, fl.shards[Place(guild, n)]...)
	}
	b.mu.RUnlock()
	for _, x := range all {
		f(x)
	}
}

// newSessionID returns 32 hex digits.
func (s *Server) newSessionID() string {
	return fmt.Sprintf("%016x%016x", s.rnd.uint64(), s.rnd.uint64())
}
