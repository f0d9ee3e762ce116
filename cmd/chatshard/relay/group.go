package relay

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Cursors keeps the cursors of named consumers.
type Cursors interface {
	// Load returns the cursor of a name, the zero one if there is none.
	Load(ctx context.Context, name string) (Cursor, error)
	Save(ctx context.Context, name string, c Cursor) error
}

var (
	errBusy      = errors.New("relay: consumer: somebody reads under this name")
	errRebalance = errors.New("relay: consumer: what was handed out was not acknowledged in time for another reader of this name")
	consumerName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
)

const (
	maxMembers      = 64
	maxConsumers    = 1000
	maxLayers       = 64
	saveEvery       = time.Second
	rebalanceWithin = 30 * time.Second
)

// Consumers are the named ones of a hub. Each has one cursor, up to which all
// is acknowledged, and goes on from there when its readers come back.
//
// Several readers of one name share the channels: each channel is at one reader
// at a time, by rendezvous hashing. When a reader comes or goes, all readers of
// the name stop, until what they were handed is acknowledged or they are gone;
// then each begins at the common cursor with its new channels, without what
// others have acknowledged. What a reader was handed and did not acknowledge
// before it went comes again, at another.
type Consumers struct {
	hub   *Hub
	store Cursors

	mu     sync.Mutex // guards groups
	groups map[string]*group
}

// NewConsumers returns the consumers of a hub, whose cursors are in a store.
func NewConsumers(hub *Hub, store Cursors) *Consumers {
	return &Consumers{hub: hub, store: store, groups: map[string]*group{}}
}

type group struct {
	all  *Consumers
	name string
	load sync.Mutex // held while the first member comes

	mu       sync.Mutex // guards all below; not held for I/O
	loaded   bool
	begun    bool   // commit holds
	epoch    string // of commit
	over     bool   // the epoch is: another group has the name
	start    Cursor // from the store; zero: there was none
	commit   uint64 // all up to here is acknowledged
	members  []*Member
	left     []share // of members that are gone since the shares were dealt
	layers   []layer // of earlier dealings, as long as they matter
	turning  bool    // the shares are to be dealt again
	turned   chan struct{}
	deadline *time.Timer
	seeds    uint64
	savedAt  time.Time
	saved    uint64
}

// share is what a member had.
type share struct {
	seed uint64
	done uint64 // all of it up to here is acknowledged
}

// layer is an earlier dealing.
type layer []share

// owner returns the share of a channel.
func (l layer) owner(channel uint64) share {
	best, at := uint64(0), 0
	for i, s := range l {
		if h := hashMix(channel ^ s.seed); i == 0 || h > best {
			best, at = h, i
		}
	}
	return l[at]
}

// dealt is what a member knows of the shares.
type dealt struct {
	now    layer
	before []layer
}

// Member is one reader of a named consumer. Like a Reader it is used by one
// goroutine at a time, but for Ack, Poke and SetFilter.
type Member struct {
	*Reader
	group  *group
	seed   uint64
	auto   bool // what was written is acknowledged
	shares atomic.Pointer[dealt]
	handed atomic.Uint64 // the last entry that it was handed
	acked  atomic.Uint64
	parked bool // it is not in Reader.Next; guarded by group.mu
	kicked bool // guarded by group.mu
}

// Join returns a reader of a name. The options say where a name that is new
// begins, and what is read; all readers of a name shall have the same filter.
func (c *Consumers) Join(ctx context.Context, name string, o SubscribeOptions, alone bool) (*Member, error) {
	if !consumerName.MatchString(name) {
		return nil, fmt.Errorf("%w: consumer=%.64q: want 1 to 64 letters, digits, _ . or -", ErrOptions, name)
	}
	g, err := c.current(name)
	if err != nil {
		return nil, err
	}
	g.load.Lock()
	defer g.load.Unlock()
	if !g.loaded {
		start, err := c.store.Load(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("relay: consumer %q: %w", name, err)
		}
		g.mu.Lock()
		g.loaded, g.start = true, start
		g.mu.Unlock()
	}
	g.mu.Lock()
	n, from := len(g.members), g.start
	if g.begun {
		from = Cursor{g.epoch, g.commit}
	}
	g.mu.Unlock()
	if n >= maxMembers || alone && n > 0 {
		return nil, fmt.Errorf("%w: %q has %d readers", errBusy, name, n)
	}
	m := &Member{group: g, parked: true}
	if (from != Cursor{}) {
		o.From, o.Since, o.Last, o.LastFor = from, time.Time{}, 0, 0
	}
	o.claim, o.handed, o.Name = m.claim, &m.handed, name
	if m.Reader, err = c.hub.Subscribe(ctx, o); err != nil {
		return nil, err
	}
	g.mu.Lock()
	if !g.begun {
		g.begun, g.epoch, g.commit = true, m.of, m.pos.Load()
	}
	if g.epoch != m.of {
		g.mu.Unlock()
		m.Close()
		return nil, errRenewed
	}
	g.seeds++
	m.seed = hashMix(g.seeds * 0x9e3779b97f4a7c15)
	m.acked.Store(g.commit)
	m.handed.Store(g.commit)
	g.members = append(g.members, m)
	g.turn()
	g.mu.Unlock()
	if (from == Cursor{}) { // so that it begins here, whatever happens
		err = c.store.Save(ctx, name, Cursor{m.of, m.pos.Load()})
		if err != nil {
			m.Leave(ctx)
			return nil, fmt.Errorf("relay: consumer %q: %w", name, err)
		}
	}
	return m, nil
}

// current returns the group of a name. One of an epoch that is over gives its
// place to another, which begins where that one was: with a gap.
func (c *Consumers) current(name string) (*group, error) {
	g, err := c.group(name)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.begun || g.epoch == c.hub.Epoch() {
		return g, nil
	}
	g.over = true
	next := &group{all: c, name: name, loaded: true, start: Cursor{g.epoch, g.commit}}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.groups[name] == g {
		c.groups[name] = next
	}
	return c.groups[name], nil
}

func (c *Consumers) group(name string) (*group, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groups[name]
	if g == nil {
		if len(c.groups) >= maxConsumers {
			return nil, fmt.Errorf("%w: %d names are in use: no more are possible", errBusy, maxConsumers)
		}
		g = &group{all: c, name: name}
		c.groups[name] = g
	}
	return g, nil
}

// Ack acknowledges what the reader of a name was handed up to a cursor; seed
// says which reader, 0 the only one.
func (c *Consumers) Ack(ctx context.Context, name string, seed uint64, at Cursor) error {
	c.mu.Lock()
	g := c.groups[name]
	c.mu.Unlock()
	if g == nil {
		return fmt.Errorf("%w: consumer %.64q has no reader: acknowledge while one is connected", ErrOptions, name)
	}
	g.mu.Lock()
	var m *Member
	for _, other := range g.members {
		if other.seed == seed || seed == 0 && len(g.members) == 1 {
			m = other
		}
	}
	g.mu.Unlock()
	if m == nil {
		return fmt.Errorf("%w: consumer %.64q has no such reader, or several: say which with member=", ErrOptions, name)
	}
	return m.Ack(ctx, at)
}

// Next is Reader.Next, for the channels of this member. It waits while shares
// are dealt, and may return nil without a call of f.
func (m *Member) Next(ctx context.Context, f func(*Item) bool) error {
	g := m.group
	for {
		g.mu.Lock()
		if m.kicked {
			g.mu.Unlock()
			return errRebalance
		}
		if !g.turning {
			m.parked = false
			g.mu.Unlock()
			break
		}
		turned := g.turned
		g.mu.Unlock()
		select {
		case <-turned:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := m.Reader.Next(ctx, f)
	if errors.Is(err, ErrIdle) {
		g.save(context.WithoutCancel(ctx), false)
	}
	return err
}

// Done says that what Next gave is written: the member can be dealt another
// share, once all is acknowledged.
func (m *Member) Done(ctx context.Context) {
	if m.auto {
		_ = m.Ack(ctx, Cursor{m.of, m.handed.Load()})
	}
	g := m.group
	g.mu.Lock()
	m.parked = true
	g.tryTurn()
	g.mu.Unlock()
}

// claim says whether an entry is this member's.
func (m *Member) claim(seq uint64, line []byte, meta *Meta) bool {
	d := m.shares.Load()
	if len(d.now) > 1 || len(d.before) > 0 {
		channel := meta.channelHash(line)
		if d.now.owner(channel).seed != m.seed {
			return false
		}
		for _, l := range d.before {
			if seq <= l.owner(channel).done {
				return false
			}
		}
	}
	return true
}

// Ack says that all up to a cursor that the member was handed is done.
func (m *Member) Ack(ctx context.Context, at Cursor) error {
	if at.Epoch != m.of {
		return fmt.Errorf("%w: %v: acknowledged of epoch %s", ErrCursor, at, m.of)
	}
	g := m.group
	g.mu.Lock()
	if at := min(at.Seq, m.handed.Load()); at > m.acked.Load() {
		m.acked.Store(at)
	}
	g.tryTurn()
	g.mu.Unlock()
	g.save(ctx, false)
	return nil
}

// confirm takes the acknowledgement of a poll for what a poll before it gave:
// the only member, which has read nothing, begins after it.
func (m *Member) confirm(at Cursor) error {
	if at.Epoch != m.of || at.Seq > m.hub.Cursor().Seq {
		return fmt.Errorf("%w: %v: acknowledged of epoch %s", ErrCursor, at, m.of)
	}
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if at.Seq > g.commit {
		g.commit = at.Seq
		m.seek(at.Seq)
		m.acked.Store(at.Seq)
		m.handed.Store(at.Seq)
	}
	return nil
}

// done returns up to where all of the member's share is acknowledged.
func (m *Member) done() uint64 {
	pos := m.pos.Load() // before handed: see SubscribeOptions.handed
	if acked := m.acked.Load(); acked < m.handed.Load() {
		return acked
	}
	return pos
}

// Leave ends the member.
func (m *Member) Leave(ctx context.Context) {
	m.Close()
	g := m.group
	g.mu.Lock()
	g.members = slices.DeleteFunc(g.members, func(other *Member) bool { return other == m })
	if m.shares.Load() != nil {
		g.left = append(g.left, share{m.seed, m.done()})
	}
	g.turn()
	g.mu.Unlock()
	g.save(context.WithoutCancel(ctx), true)
}

// turn deals the shares anew, when everybody is ready. mu is held.
func (g *group) turn() {
	if !g.turning {
		g.turning, g.turned = true, make(chan struct{})
		g.deadline = time.AfterFunc(rebalanceWithin, g.late)
	}
	for _, m := range g.members {
		m.Poke()
	}
	g.tryTurn()
}

// late sends away who did not acknowledge.
func (g *group) late() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.members {
		if g.turning && (!m.parked || m.acked.Load() < m.handed.Load()) {
			m.kicked = true
			m.Poke()
		}
	}
	if g.turning { // they leave and turn
		close(g.turned)
		g.turned = make(chan struct{})
	}
}

// tryTurn deals the shares if everybody is ready. mu is held.
func (g *group) tryTurn() {
	if !g.turning {
		return
	}
	for _, m := range g.members {
		if !m.parked || m.acked.Load() < m.handed.Load() {
			return
		}
	}
	before := layer(slices.Clone(g.left))
	for _, m := range g.members {
		if m.shares.Load() != nil {
			before = append(before, share{m.seed, m.done()})
		}
	}
	if len(before) > 0 {
		low := before[0].done
		for _, s := range before {
			low = min(low, s.done)
		}
		g.commit = max(g.commit, low)
		g.layers = append(g.layers, before)
	}
	g.layers = slices.DeleteFunc(g.layers, func(l layer) bool {
		return !slices.ContainsFunc(l, func(s share) bool { return s.done > g.commit })
	})
	if len(g.layers) > maxLayers { // what they knew comes twice
		g.layers = slices.Delete(g.layers, 0, len(g.layers)-maxLayers)
	}
	d := &dealt{before: slices.Clone(g.layers)}
	for _, m := range g.members {
		d.now = append(d.now, share{seed: m.seed})
	}
	for _, m := range g.members {
		m.seek(g.commit)
		m.acked.Store(g.commit)
		m.handed.Store(g.commit)
		m.shares.Store(d)
	}
	g.left, g.turning = nil, false
	g.deadline.Stop()
	close(g.turned)
}

// seek makes a reader that is not in Next go on after seq.
func (r *Reader) seek(seq uint64) {
	if pos := r.pos.Load(); seq != pos && !r.epoch {
		r.pos.Store(seq)
		r.live, r.paced, r.slow, r.seen = false, false, time.Time{}, nil
	}
}

// save stores the cursor, if it is due.
func (g *group) save(ctx context.Context, now bool) {
	g.mu.Lock()
	low := ^uint64(0)
	for _, m := range g.members {
		if m.shares.Load() != nil {
			low = min(low, m.done())
		}
	}
	for _, s := range g.left {
		low = min(low, s.done)
	}
	at := g.commit
	if low != ^uint64(0) && low > at {
		at = low
	}
	if g.over || at == g.saved || !now && time.Since(g.savedAt) < saveEvery {
		g.mu.Unlock()
		return
	}
	g.saved, g.savedAt = at, time.Now()
	epoch := g.epoch
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if g.all.store.Save(ctx, g.name, Cursor{epoch, at}) != nil {
		g.mu.Lock()
		g.saved = 0 // again the next time; what is acknowledged may come twice
		g.mu.Unlock()
	}
}
