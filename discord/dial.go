package discord

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// resumeTries is how often a RESUME may be sent without an answer before the
// session is given up.
const resumeTries = 3

// shardState is what a Transport remembers of a shard while connections come and
// go. Only one Dial of a shard runs at a time.
type shardState struct {
	guilds guilds
	down   atomic.Int64 // when its connection was last known to live, in ms since 1970, once that has ended; 0: it is there

	dialling chan struct{} // has one while a Dial runs: one that was stopped may wait for its session yet

	// Of the Dial.
	dialled bool      // a stored session has been looked for
	lived   bool      // a session of this process has been up
	since   time.Time // when the stored session that was lost was last heard of; zero: there was none
	stored  *Record   // of an earlier process, until it is resumed or given up
	tries   int       // RESUMEs in a row that came to nothing
	failed  int       // connections in a row on which no RESUME could be sent

	// Of the reader, and then of the Dial.
	broken int  // connections in a row that ended with what cannot be read
	slow   bool // the last one ended for sending too much
}

// brokenMost is how many connections in a row may end with what cannot be read:
// a RESUME would replay it for ever.
const brokenMost = 3

// slowDown is the pause after 4008.
const slowDown = 5 * time.Second

// ended hears what ended a connection.
func (sh *shardState) ended(ce *balancer.ConnError, err error) {
	var closed *CloseError
	sh.slow = errors.As(ce.Err, &closed) && closings[closed.Code].slow
	switch {
	case !errors.Is(err, ErrProtocol):
		sh.broken = 0
	case sh.broken+1 >= brokenMost:
		sh.broken, ce.Retry = 0, balancer.Fresh
	default:
		sh.broken++
	}
}

// Dial implements [balancer.Transport]. A session is resumed if there is one: s,
// or for the first connection of a shard that which the Store has. Only an error
// that says Fresh is followed by an IDENTIFY, and a session is given up only for
// what the service answered, or after three RESUMEs without an answer: never
// because it could not be reached.
//
// IDENTIFYs wait for their turn, so that Dial may block for hours when the day's
// are used up.
func (t *Transport) Dial(ctx context.Context, id balancer.ShardID, s *balancer.Session) (balancer.Conn, error) {
	if err := t.Start(ctx); err != nil {
		return nil, err
	}
	if id.Count < 1 || id.Index < 0 || id.Index >= id.Count {
		return nil, never(fmt.Errorf("%w: %v: the index must be below the count", ErrSharding, id))
	}
	sh := t.shard(id)
	select {
	case sh.dialling <- struct{}{}:
		defer func() { <-sh.dialling }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if sh.slow {
		sh.slow = false
		if err := sleep(ctx, slowDown); err != nil {
			return nil, err
		}
	}
	rec, err := t.session(sh, id, s)
	if err != nil {
		return nil, err
	}
	if rec != nil {
		return t.resume(ctx, id, sh, rec)
	}
	return t.identify(ctx, id, sh)
}

// session returns what a Dial may resume, nil if there is nothing.
func (t *Transport) session(sh *shardState, id balancer.ShardID, s *balancer.Session) (*Record, error) {
	switch {
	case s != nil:
		rec, err := decodeState(s.State)
		if err != nil {
			return nil, &balancer.ConnError{Err: err, Retry: balancer.Fresh}
		}
		rec.Seq = s.Seq
		if rec.Shard != id.Index || rec.Count != id.Count {
			return nil, &balancer.ConnError{Err: fmt.Errorf("%w: it is of shard %d/%d", ErrInvalidSession, rec.Shard, rec.Count), Retry: balancer.Fresh}
		}
		return &rec, nil
	case !sh.dialled:
		sh.dialled = true
		if id.Gen > 1 {
			break // of a generation that takes over within this process
		}
		if sh.stored, sh.since = t.storedOf(id); sh.stored != nil {
			sh.guilds.restore(sh.stored.Guilds, sh.stored.heard())
		}
	}
	return sh.stored, nil
}

// resume makes one try at a session.
func (t *Transport) resume(ctx context.Context, id balancer.ShardID, sh *shardState, rec *Record) (balancer.Conn, error) {
	// The resume host first; where it cannot be reached, the gateway's own,
	// turn by turn ("Resuming", events/gateway).
	at := rec.ResumeURL
	if at == "" || (sh.failed+sh.tries)%2 == 1 {
		at = t.gatewayURL()
	}
	c, err := t.connect(ctx, at, id, sh, true)
	if err != nil {
		var ce *balancer.ConnError
		if !errors.As(err, &ce) {
			sh.failed++
		}
		return nil, t.sessionError(id, sh, rec, err)
	}
	c.session, c.seq = *rec, rec.Seq
	c.heart.seq.Store(rec.Seq)
	c.token, err = t.token(ctx)
	if err == nil {
		err = c.write(resumeFrame(c.token, rec))
	}
	if err == nil {
		sh.tries++
		err = c.await(ctx, login{phase: awaitResumed, resume: true})
	}
	if err == nil {
		sh.tries, sh.failed, sh.stored, sh.lived = 0, 0, nil, true
		t.sessionBegan(id, *rec)
		t.resumed.Add(1)
		c.ready(balancer.Up{Session: &balancer.Session{State: encodeState(*rec), Seq: rec.Seq}, Resumed: true, Partial: sh.guilds.partial()})
		return c, nil
	}
	c.hangUp()
	return nil, t.sessionError(id, sh, rec, err)
}

// sessionError decides whether a session is to be tried again. It gives one up
// only for an answer, or for the want of one to three RESUMEs.
func (t *Transport) sessionError(id balancer.ShardID, sh *shardState, rec *Record, err error) error {
	ce := &balancer.ConnError{Err: err}
	errors.As(err, &ce)
	out := *ce
	if out.Retry == balancer.Resume && sh.tries >= resumeTries {
		out.Retry = balancer.Fresh
		out.Err = fmt.Errorf("discord: session given up after %d tries: %w", sh.tries, out.Err)
	}
	if out.Retry == balancer.Fresh {
		sh.tries, sh.failed = 0, 0
		if sh.stored != nil {
			sh.since, sh.stored = rec.heard(), nil // the Store has it until READY: the next process is to know since when
		}
	}
	return &out
}

// identify waits for its turn and begins a new session.
func (t *Transport) identify(ctx context.Context, id balancer.ShardID, sh *shardState) (balancer.Conn, error) {
	info, err := t.info(ctx)
	if err != nil {
		return nil, err
	}
	pass, err := t.turns.wait(ctx, lane{id.Index % max(info.Limit.MaxConcurrency, 1), sh.lived})
	if err != nil {
		return nil, err
	}
	defer pass()
	if err := t.doomed(ctx, id); err != nil {
		return nil, err // another shard was told, and each try would cost an IDENTIFY
	}
	if sh.lived {
		ctx = Emergency(ctx)
	}
	if err := t.until(ctx, id, almost); err != nil {
		return nil, err
	}
	c, err := t.connect(ctx, t.gatewayURL(), id, sh, false)
	if err != nil {
		return nil, err
	}
	if err = t.until(ctx, id, 0); err == nil {
		err = t.doomed(ctx, id)
	}
	if err == nil {
		c.token, err = t.token(ctx)
	}
	var frame []byte
	if err == nil {
		if frame, err = t.identifyFrame(c.token, id); err != nil {
			err = never(err) // of the Config: another try would be the same
		}
	}
	if err == nil {
		err = t.limiter.Wait(ctx, balancer.BudgetIdentify, id, 1)
	}
	if err != nil {
		c.hangUp()
		return nil, err
	}
	err = c.write(frame)
	t.identified.Add(1)
	pass()
	owes := sh.lived || !sh.since.IsZero() // a gap, which the Balancer tells with the session
	if err == nil {
		within := paidFor
		if owes {
			within = 0
		}
		lasting, end := outlasting(ctx, within)
		err = c.await(lasting, login{phase: awaitReady})
		end()
	}
	if err != nil {
		c.hangUp()
		if ctx.Err() == nil { // nobody stopped it
			t.outcome(id, err)
		}
		ce := &balancer.ConnError{Err: err, Retry: balancer.Fresh}
		errors.As(err, &ce)
		t.doom(id, c.token, ce)
		return nil, ce
	}
	t.outcome(id, nil)
	if !owes {
		fresh := c.session
		fresh.Seq, fresh.LastEventAt = c.seq, time.Now().Add(-onTheWay)
		t.sessionBegan(id, fresh)
	}
	select {
	case t.fresh <- struct{}{}:
	default:
	}
	up := balancer.Up{Session: &balancer.Session{State: encodeState(c.session)}, Partial: sh.guilds.partial(), Since: sh.since}
	sh.lived, sh.since, sh.tries, sh.failed = true, time.Time{}, 0, 0
	c.ready(up)
	return c, nil
}

// paidFor is how long a stop waits for the session of an IDENTIFY that has been
// sent: the next process resumes it. It does not wait, nor keeps the session,
// where another one was lost before: what is stored of that says since when
// events are missing.
const paidFor = 5 * time.Second

// outlasting returns a context that ends some time after ctx was cancelled, or
// with its deadline.
func outlasting(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			d = 0
		}
		time.AfterFunc(d, cancel)
	})
	return out, func() { stop(); cancel() }
}

// almost is how long before an IDENTIFY is due its connection is made.
const almost = 2 * time.Second

// until waits until an IDENTIFY will be allowed after so much time more.
func (t *Transport) until(ctx context.Context, id balancer.ShardID, almost time.Duration) error {
	d, ok := t.limiter.(interface {
		DelayFor(context.Context, balancer.ShardID) time.Duration
	})
	for ok {
		left := d.DelayFor(ctx, id) - almost
		if left <= 0 {
			break
		}
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// ready begins the connection's life: Up is the first event.
func (c *conn) ready(up balancer.Up) {
	c.alive = time.Now()
	c.shard.down.Store(0)
	first := c.later
	c.later = append([]balancer.Event{{Data: up}}, first...)
	if c.shard.guilds.partial() {
		c.heart.wakeIn(c.t.cfg.GuildTimeout)
	} else if !up.Resumed {
		c.settle(c.shard.guilds.settledNow(time.Now()))
	}
	c.t.cfg.Logger.Debug().Stringer("shard", c.id).Bool("resumed", up.Resumed).Msg("logged in")
}

// await reads until the login has come from l to where the next thing is to be
// sent, or to its end.
func (c *conn) await(ctx context.Context, l login) error {
	stop := context.AfterFunc(ctx, func() { c.fail(ctx.Err()) })
	defer stop()
	limit := c.t.cfg.ReadyTimeout
	if l.phase == awaitHello {
		limit = c.t.cfg.HelloTimeout
	}
	from := l.phase
	late := time.AfterFunc(limit, func() { c.fail(fmt.Errorf("%w: %v", ErrTimeout, from)) })
	defer late.Stop()
	for {
		raw, err := c.payload()
		if err != nil {
			if why := c.why.Load(); why != nil {
				return *why
			}
			return c.loginError(err)
		}
		p, err := peek(raw)
		if err != nil {
			return err
		}
		next, act, err := l.step(p.op, string(p.typ), mayResume(raw, p))
		if err != nil {
			return err
		}
		l = next
		switch act {
		case sendIdentify, sendResume:
			return c.hello(raw[p.d:])
		case sendHeartbeat:
			if err := c.heart.onDemand(); err != nil {
				return err
			}
		case begin:
			return c.begin(p, !l.resume)
		case cutOver:
			return &balancer.ConnError{Err: ErrReconnect, Retry: balancer.Resume}
		case tryAgain:
			if err := sleep(ctx, invalidPause()); err != nil {
				return err
			}
			return &balancer.ConnError{Err: ErrInvalidSession, Retry: balancer.Resume}
		case startOver:
			if err := sleep(ctx, invalidPause()); err != nil {
				return err
			}
			return &balancer.ConnError{Err: ErrInvalidSession, Retry: balancer.Fresh}
		}
		if p.op == opHeartbeatACK {
			c.heart.ack()
		}
	}
}

// invalidPause is the pause after op 9 that Discord used to ask for.
func invalidPause() time.Duration {
	return time.Second + time.Duration(rand.Int64N(int64(4*time.Second)))
}

// leastInterval is the shortest heartbeat_interval that is believed, in
// milliseconds: Discord's is some 41,000.
const leastInterval = 100

// hello takes d of HELLO.
func (c *conn) hello(d []byte) error {
	ms := 0
	if i := find(d, "heartbeat_interval"); i > 0 {
		n, _, _ := number(d, i)
		ms = int(min(n, 1<<30))
	}
	if ms < leastInterval {
		return fmt.Errorf("%w: HELLO with a heartbeat_interval of %d ms", ErrProtocol, ms)
	}
	c.heart.start(time.Duration(ms) * time.Millisecond)
	return nil
}

// begin keeps the first dispatch of the session, READY if it is a new one.
func (c *conn) begin(p peeked, fresh bool) error {
	var e balancer.Event
	c.dispatch(&e, p)
	d := e.Data.(*Dispatch)
	if fresh {
		rec, ids, err := readReady(d)
		if err != nil {
			return err
		}
		rec.Shard, rec.Count, rec.Intents, rec.Compression = c.id.Index, c.id.Count, c.t.cfg.Intents, c.t.cfg.Compression
		c.session = rec
		if c.t.cfg.Intents&IntentGuilds == 0 {
			ids = nil // no GUILD_CREATE will come
		}
		c.shard.guilds.reset(ids, time.Now())
	}
	c.later = append([]balancer.Event{e}, c.later...)
	c.heart.seq.Store(c.seq)
	return nil
}

// loginError says what a read that failed during the login means.
func (c *conn) loginError(err error) error {
	err = c.ended(err)
	var ce *balancer.ConnError
	switch {
	case errors.As(err, &ce):
		return ce
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("discord: shard %v: the service ended the connection during the login", c.id)
	}
	return fmt.Errorf("discord: shard %v: %w", c.id, err)
}

func never(err error) error { return &balancer.ConnError{Err: err, Retry: balancer.Never} }

// sleep waits for d.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
