package balancer

import (
	"context"
	"slices"
	"time"
)

// ShardState is where a shard stands.
type ShardState uint8

const (
	Dialing  ShardState = iota // being connected, or waiting for the login budget
	Ready                      // connected and logged in
	Waiting                    // waits after a failure before it dials again
	Stopped                    // turned away for good; see Err
	Retiring                   // being closed: its keys move elsewhere first
)

var shardStateNames = [...]string{"dialing", "ready", "waiting", "stopped", "retiring"}

// String returns "dialing", "ready", "waiting", "stopped" or "retiring".
func (s ShardState) String() string {
	if int(s) < len(shardStateNames) {
		return shardStateNames[s]
	}
	return "state(?)"
}

// shard is one numbered slot. All fields but q are guarded by Balancer.mu.
type shard struct {
	b      *Balancer
	id     ShardID
	q      *queue
	view   int // index in Balancer.views; -1: takes no keys
	keys   []*entry
	coming int      // keys that are moving here, those in waits included
	waits  []*entry // keys that will move here once it is connected
	cap    int      // keys that it may have
	link   *link    // the connection that new keys are joined on; nil while there is none
	olds   []*link  // connections that have been replaced and still hold keys
	state  ShardState
	err    error
	since  time.Time
	conns  int // connections made
	fails  int // dials that failed in a row
	run    int // which run of the dial loop is the current one
	cancel context.CancelFunc

	retire      bool
	emptyAt     time.Time
	given       *Session  // to start from
	last        *link     // the last one that ended
	lastSent    time.Time // when the service sent its last event
	missing     time.Time // since when keys miss events that the service has yet to begin with; zero: none does
	leaving     *link     // the one that Release ends
	closed      bool
	takeover    *handover // of its generation
	settling    bool
	settled     bool
	takeoverTry int // grows when the takeover begins again
}

// roomFor reports whether one more key may be placed here.
func (s *shard) roomFor() bool { return len(s.keys)+s.coming < s.cap }

// newShard makes a shard that may take keys. mu is held.
func (b *Balancer) newShard(id ShardID) *shard {
	s := &shard{b: b, id: id, cap: b.cfg.ChannelsPerShard, since: time.Now(), emptyAt: time.Now(), view: -1}
	s.q = &queue{cfg: b.cfg.Queue, handle: b.handler, ack: !b.cfg.ManualAck, start: b.wg.Go}
	b.shards = append(b.shards, s)
	if b.placer == nil {
		b.show(s)
	}
	return s
}

// show adds s to the shards that may take keys. mu is held.
func (b *Balancer) show(s *shard) {
	s.view = len(b.open)
	b.open = append(b.open, s)
	b.views = append(b.views, ShardView{ID: s.id, Cap: s.cap})
	b.refreshView(s)
}

// hide takes s from the shards that may take keys. mu is held.
func (b *Balancer) hide(s *shard) {
	if s.view < 0 {
		return
	}
	b.open = append(b.open[:s.view], b.open[s.view+1:]...)
	b.views = append(b.views[:s.view], b.views[s.view+1:]...)
	for i := s.view; i < len(b.open); i++ {
		b.open[i].view = i
	}
	s.view = -1
}

// refreshView copies what changed into the view. mu is held.
func (b *Balancer) refreshView(s *shard) {
	if len(s.keys)+s.coming == 0 && s.emptyAt.IsZero() {
		s.emptyAt = time.Now()
		b.at(s.emptyAt.Add(b.cfg.IdleAfter), func(now time.Time) { b.retireIdle(s, now) })
	} else if len(s.keys)+s.coming > 0 {
		s.emptyAt = time.Time{}
	}
	if s.view < 0 {
		return
	}
	v := &b.views[s.view]
	v.Up, v.Keys, v.Cap = s.state == Ready, len(s.keys)+s.coming, s.cap
}

// all returns the connections of the shard that are up. mu is held.
func (s *shard) all() []*link {
	ls := slices.Clone(s.olds)
	if s.link != nil {
		ls = append(ls, s.link)
	}
	return ls
}

// pause waits for d, unless the shard is stopped or is no longer this run's.
func (s *shard) pause(ctx context.Context, run int, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.run != run {
		return false
	}
	if s.link == nil && !s.retire {
		s.state = Dialing
	}
	return true
}

// login waits for the login budget.
func (s *shard) login(ctx context.Context) error {
	if s.b.cfg.Limiter == nil {
		return nil
	}
	return s.b.cfg.Limiter.Wait(ctx, BudgetLogin, s.id, 1)
}

// dial makes one connection within the dial's time.
func (s *shard) dial(ctx context.Context, run int, session *Session) (*link, error) {
	b := s.b
	dctx := ctx
	if b.cfg.DialTimeout > 0 {
		var cancel context.CancelFunc
		dctx, cancel = context.WithTimeout(ctx, b.cfg.DialTimeout)
		defer cancel()
	}
	b.log.Debug().Stringer("shard", s.id).Bool("resume", session != nil).Msg("dialling")
	conn, err := b.t.Dial(dctx, s.id, session)
	if err != nil {
		return nil, err
	}
	l := &link{b: b, s: s, id: s.id, q: s.q, conn: conn, stop: make(chan struct{}), done: make(chan struct{})}
	l.acks.Store(new(acks))
	l.join, _ = conn.(Joiner)
	if l.polled, _ = conn.(Polled); l.polled != nil {
		l.wakeUp = l.wake
	}
	l.lastAt = time.Now()
	l.upAt = l.lastAt
	b.mu.Lock()
	if s.run != run || ctx.Err() != nil {
		b.mu.Unlock()
		conn.Close()
		return nil, context.Canceled
	}
	defer b.mu.Unlock()
	if s.last != nil && time.Since(s.last.diedAt) < seenFor {
		l.elder.Store(s.last)
		for o := s.last; o != nil; o = o.elder.Load() {
			if e := o.elder.Load(); e != nil && time.Since(e.diedAt) > seenFor {
				o.elder.Store(nil) // its window no longer counts
			}
		}
	}
	if session != nil {
		l.session, l.seq = session, session.Seq
		if s.last != nil {
			l.acks.Store(s.last.acks.Load()) // what it received and is not handled yet is still to be acknowledged
		} else {
			l.acks.Load().resumeAt(session.Seq)
		}
	}
	s.conns++
	l.nth = s.conns
	if s.link != nil {
		s.olds = append(s.olds, s.link)
	}
	s.link = l
	s.err = nil
	if b.measure != (time.Time{}) {
		l.measure()
	}
	return l, nil
}

// resume is the session that the next connection starts from.
func (l *link) resume() *Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == nil {
		return nil
	}
	s := *l.session
	s.Seq = l.seq
	return &s
}

// lost tells that l ended, and reports whether the run is over: because l was
// asked to end, or because another run took over.
func (s *shard) lost(run int, l *link, err error) (over bool) {
	asked := l.ended()
	l.close()
	b := s.b
	last := l.lastEvent(err)
	b.mu.Lock()
	asked = asked || l.retiring || s.retire
	l.dead, l.diedAt = true, time.Now()
	if e := l.elder.Load(); e != nil && l.diedAt.Sub(e.diedAt) > seenFor {
		l.elder.Store(nil)
	}
	for _, heir := range s.all() {
		// What heir knows ended before it was dialled, and l, which was alive then, knows of it too.
		if e := heir.elder.Load(); heir.nth > l.nth && (e == nil || e.nth < l.nth) {
			heir.elder.Store(l)
		}
	}
	s.last, s.lastSent = l, last
	s.olds = slices.DeleteFunc(s.olds, func(o *link) bool { return o == l })
	if s.link == l {
		s.link = nil
		if !asked {
			s.state = Waiting
		}
	}
	over = asked || s.run != run
	b.mu.Unlock()
	if !asked {
		s.q.append(Event{Shard: s.id, link: l, at: time.Now().UnixNano(), Data: Down{Err: err}})
	}
	b.post(note{link: l, data: Down{Err: err}, at: last})
	close(l.done)
	return over
}

// failed notes that a connection or a dial failed.
func (s *shard) failed(run int, err error, fails int) {
	b := s.b
	b.log.Debug().Stringer("shard", s.id).Err(err).Int("fails", fails).Msg("connection lost")
	b.mu.Lock()
	if s.run == run {
		s.err, s.fails = err, fails
		if s.link == nil && !s.retire {
			s.state = Waiting
		}
	}
	b.mu.Unlock()
	if fails >= 3 {
		b.post(note{data: func() { b.rescue(s) }})
	}
}

// stop ends a shard that the service turned away for good.
func (s *shard) stop(run int, err error) {
	b := s.b
	b.log.Warn().Stringer("shard", s.id).Err(err).Msg("shard stopped: the service turned it away for good")
	b.mu.Lock()
	if s.run != run {
		b.mu.Unlock()
		return
	}
	s.state, s.err = Stopped, err
	b.mu.Unlock()
	s.q.append(Event{Shard: s.id, Data: Down{Err: &ShardError{Shard: s.id, Err: err}}})
	b.post(note{data: func() { b.onStopped(s) }})
}

// stopShards closes every connection and leaves sessions resumable.
func (b *Balancer) stopShards() {
	b.mu.Lock()
	var links []*link
	for _, s := range b.shards {
		for _, l := range s.all() {
			l.retiring = true
			links = append(links, l)
		}
		if s.cancel != nil {
			s.cancel()
		}
	}
	b.mu.Unlock()
	for _, l := range links {
		l.close()
	}
}
