package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/channels"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/irc"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// sink takes the events of accounts. write may wait; acked is called once, by
// any goroutine, when the event is where it cannot be lost any more.
type sink interface {
	write(enc *encoder, e balancer.Event, acked func())
}

// pipeline is a relay with a log: what events become goes into the log, and once
// that has them to its readers.
type pipeline struct {
	engine   *relay.Engine // nil: no history
	log      relay.Log     // nil: no history
	none     *relay.NoLog  // what stands there then
	hub      *relay.Hub
	server   *relay.Server
	hooks    []*hook
	stdout   *output // nil: not there as well
	zlog     zerolog.Logger
	registry *prometheus.Registry
	served   chan error   // what ended the server
	kept     *relay.Store // what this run leaves to the next; nil: no history
	lapses   *lapses      // likewise
	marks    *marks       // likewise
	lost     losses

	accounts []relay.Subject // all that there are, to say that all have lost something

	ids          *cursor       // its epoch is that of ids where the service gives none
	seq          atomic.Uint64 // of those
	encodeStates sync.Pool     // of *encodeState

	mu        sync.Mutex // guards what follows, and hub while it is made
	twins     map[*encoder]*encoder
	stdoutIDs *cursor

	ctx  context.Context // of what may wait: ended by kill
	kill context.CancelFunc

	serving sync.WaitGroup
}

// encodeState is what encoding needs. The connections of an account share its
// encoder, which is copied here, so that none waits for another.
type encodeState struct {
	encoder
	ids  cursor
	room []byte // for bodies, which are not changed once they are there; without a log for one at a time
}

const (
	encodingRoom = 64 << 10
	usualBody    = 4 << 10 // what is longer gets memory of its own
)

// newPipeline opens the log and what reads from it. Nothing is served yet.
func newPipeline(ctx context.Context, c *relayConfig, ids *cursor, stdout *output, log zerolog.Logger) (*pipeline, error) {
	p := &pipeline{stdout: stdout, zlog: log, ids: ids, registry: prometheus.NewRegistry()}
	p.ctx, p.kill = context.WithCancel(context.WithoutCancel(ctx))
	cfg := c.server()
	cfg.Logger, cfg.Registry = log, p.registry
	var hub relay.HubConfig
	if c.Log.Dir == noLog {
		p.none = relay.NewNoLog()
		hub.Epoch = p.none.Epoch()
	} else {
		engine, err := relay.StartEngine(ctx, &relay.EngineConfig{
			Dir: c.Log.Dir, MaxStore: int64(c.Log.MaxBytes) + int64(c.Log.MaxBytes)/2, URL: c.NATS.URL,
			Listen: c.NATS.Listen, Token: string(c.NATS.Token), Logger: log,
		})
		if err != nil {
			return nil, err
		}
		p.engine = engine
		natsLog, err := relay.OpenNATSLog(ctx, engine, &relay.NATSLogConfig{
			MaxAge: time.Duration(c.Log.MaxAge), MaxBytes: int64(c.Log.MaxBytes), Buffer: int(c.Log.Buffer),
			Dropped: p.dropped, Changed: p.changed, Logger: log,
		})
		if err == nil {
			p.log = natsLog // not before: the nil that comes with an error would not be nil there
			var store *relay.Store
			if store, err = engine.Store(ctx, "consumers"); err == nil {
				cfg.Cursors = cursors{store}
				p.kept, err = engine.Store(ctx, "lapses")
			}
			if err == nil {
				p.marks, err = newMarks(ctx, p.kept, log)
			}
		}
		if err != nil {
			p.abandon(ctx)
			return nil, err
		}
	}
	var err error
	if p.marks != nil {
		hub.Since = p.marks.since
	}
	p.mu.Lock()
	p.hub, err = relay.NewHub(ctx, p.log, &hub)
	p.mu.Unlock()
	if err != nil {
		p.abandon(ctx)
		return nil, err
	}
	if p.marks != nil {
		p.marks.begin(p.hub)
	} else {
		cfg.Ready = map[string]func() error{"log": p.none.Healthy} // the server asks a log itself
	}
	if p.server, err = relay.NewServer(p.hub, cfg); err != nil {
		p.abandon(ctx)
		return nil, err
	}
	return p, nil
}

// write implements sink. What is too large for the log is there without what was
// received, or as a gap. Before the first word of a channel that another run
// carried stands what was missed between.
func (p *pipeline) write(enc *encoder, e balancer.Event, acked func()) {
	if _, ok := e.Data.(balancer.Joined); ok && p.lapses != nil {
		if from, ok := p.lapses.joinedFirst(enc.scope(), e.Key); ok {
			p.write(enc, balancer.Event{Shard: e.Shard, Key: e.Key, Data: balancer.Gap{From: from, To: enc.now(), Err: errRestarted}}, nil)
		}
	}
	if p.none != nil {
		p.pass(enc, e, acked)
	} else {
		p.keep(enc, e, acked)
	}
	if p.stdout != nil {
		p.stdout.write(p.shown(enc), e, nil)
	}
}

// pass hands an event to the readers, where there is no log. It allocates
// nothing.
func (p *pipeline) pass(enc *encoder, e balancer.Event, acked func()) {
	s := p.encodeState(enc, false)
	defer p.encodeStates.Put(s)
	if cap(s.room) > encodingRoom {
		s.room = nil
	}
	s.room = s.appendBody(s.room[:0], e)
	entry := relay.Entry{ID: s.id, Subject: relay.Subject{Platform: s.platform, Network: s.network}, Body: s.room, Time: s.at, Meta: s.places()}
	err := p.none.Append(&entry, func(seq uint64) error { return p.hub.Append(seq, entry.Body, entry.Meta) })
	if err != nil {
		if p.ctx.Err() == nil {
			p.zlog.Warn().Err(err).Msg("an event cannot be handed out")
		}
		return
	}
	if acked != nil {
		acked()
	}
}

// keep hands an event to the log.
func (p *pipeline) keep(enc *encoder, e balancer.Event, acked func()) {
	var conn lostConn
	if acked != nil {
		conn = p.lost.conn(enc, &e)
	}
	err := p.append(p.entry(enc, e, false), conn, acked)
	if errors.Is(err, relay.ErrTooLarge) {
		err = p.append(p.entry(enc, e, true), conn, acked)
	}
	if errors.Is(err, relay.ErrTooLarge) {
		err = p.append(p.entry(enc, tooLarge(e, enc.now(), err), false), conn, acked)
	}
	if err != nil && p.ctx.Err() == nil {
		p.zlog.Warn().Err(err).Msg("an event is lost to the log")
	}
}

// append hands an entry to the log, and once that has it to the readers.
func (p *pipeline) append(entry *relay.Entry, conn lostConn, acked func()) error {
	p.lapses.begin()
	err := p.log.Append(p.ctx, entry, func(seq uint64, dup bool, err error) {
		defer p.lapses.end(err)
		switch {
		case errors.Is(err, relay.ErrDropped):
			p.lost.drop(entry, conn, acked)
		case err != nil:
			p.zlog.Debug().Err(err).Msg("an event is not in the log")
		case !dup:
			if err := p.hub.Append(seq, entry.Body, entry.Meta); err != nil {
				p.zlog.Warn().Err(err).Msg("an event cannot be handed out")
			}
		}
		if err == nil && acked != nil {
			acked()
		}
	})
	if errors.Is(err, relay.ErrTooLarge) {
		p.lapses.end(nil) // it is tried in another form
	} else if err != nil {
		p.lapses.end(err)
	}
	return err
}

// encodeState returns what encodes the next event of an account, which the
// caller gives back.
func (p *pipeline) encodeState(enc *encoder, bare bool) *encodeState {
	s, ok := p.encodeStates.Get().(*encodeState)
	if !ok {
		s = new(encodeState)
	}
	s.platform, s.network, s.account, s.now, s.bare = enc.platform, enc.network, enc.account, enc.now, bare
	s.ids = cursor{p.ids.epoch, p.seq.Add(1)}
	s.cursor = &s.ids
	return s
}

// entry encodes an event for a log, which keeps it.
func (p *pipeline) entry(enc *encoder, e balancer.Event, bare bool) *relay.Entry {
	s := p.encodeState(enc, bare)
	defer p.encodeStates.Put(s)
	body := s.body(e)
	entry := &relay.Entry{ // outlives the event, whose memory is used again
		ID: strings.Clone(s.id), Body: body, Time: s.at,
		Subject: relay.Subject{
			Platform: enc.platform, Network: enc.network, Account: enc.account,
			Channel: strings.Clone(channelOf(e)), Kind: bodyKind(body),
		},
	}
	if m := s.places(); m != nil {
		entry.Meta = new(*m)
	}
	return entry
}

// body returns an event's body, behind the one before it in memory where it fits.
func (s *encodeState) body(e balancer.Event) []byte {
	if cap(s.room)-len(s.room) < usualBody {
		s.room = make([]byte, 0, encodingRoom)
	}
	at := len(s.room)
	body := s.appendBody(s.room[at:], e)
	if len(body) > cap(s.room)-at {
		return body // append has made room
	}
	s.room = s.room[:at+len(body)]
	return body[:len(body):len(body)]
}

// shown returns the encoder for standard output, whose cursor counts what is
// written there.
func (p *pipeline) shown(enc *encoder) *encoder {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.twins == nil {
		p.twins, p.stdoutIDs = map[*encoder]*encoder{}, newCursor()
	}
	if p.twins[enc] == nil {
		p.twins[enc] = &encoder{platform: enc.platform, network: enc.network, account: enc.account, cursor: p.stdoutIDs, now: enc.now}
	}
	return p.twins[enc]
}

// tooLarge returns the gap that stands for an event.
func tooLarge(e balancer.Event, at time.Time, err error) balancer.Event {
	if d, ok := e.Data.(*discord.Dispatch); ok {
		e.Key, _ = d.KeyID()
	}
	e.ID, e.Data = "", balancer.Gap{From: at.Add(-time.Millisecond), To: at, Dropped: 1, Err: err}
	return e
}

// channelOf is the channel of an event as subjects name it: what survives a
// rename, where the service gives such a thing.
func channelOf(e balancer.Event) string {
	switch d := e.Data.(type) {
	case *discord.Dispatch:
		return d.ChannelID()
	case *irc.Message:
		if id, _ := d.Tag("room-id"); id != "" {
			return id
		}
	}
	return string(e.Key)
}

// bodyKind returns an envelope's kind.
func bodyKind(body []byte) string {
	const key = `,"kind":"`
	if i := bytes.Index(body, []byte(key)); i >= 0 {
		rest := body[i+len(key):]
		if end := bytes.IndexByte(rest, '"'); end >= 0 {
			return string(rest[:end])
		}
	}
	return "other"
}

// changed is told that the log has lost its history.
func (p *pipeline) changed(at relay.Cursor) {
	p.mu.Lock()
	hub := p.hub
	p.mu.Unlock()
	if hub != nil {
		hub.Renew(at)
	}
}

// dropped makes gaps of what did not fit while the log could not be written.
func (p *pipeline) dropped(lost relay.Lost) []relay.Pending {
	p.zlog.Warn().Int("events", lost.N).Time("from", lost.From).Time("to", lost.To).Msg("the log could not be written: events are lost, and gaps say so")
	var gaps []relay.Pending
	for _, e := range p.lost.gaps(lost, p.accounts, p.ids.epoch) {
		p.lapses.begin()
		gaps = append(gaps, relay.Pending{Entry: &e, Done: func(seq uint64, dup bool, err error) {
			p.lapses.end(err)
			switch {
			case errors.Is(err, relay.ErrDropped):
				p.lost.drop(&e, lostConn{}, nil)
			case err == nil && !dup:
				_ = p.hub.Append(seq, e.Body, nil) // it is an envelope
			}
		}})
	}
	if n := len(gaps); n > 0 { // the last one: they are done in their order
		done := gaps[n-1].Done
		gaps[n-1].Done = func(seq uint64, dup bool, err error) {
			done(seq, dup, err)
			if err == nil {
				p.lost.settled()
			}
		}
	}
	return gaps
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// pipe opens the relay's log and begins to serve what reads from it and sends.
func (r *relayRun) pipe(ctx context.Context, ids *cursor, out *output) (*pipeline, error) {
	var also *output
	if r.config.Relay.Stdout {
		also = out
	}
	p, err := newPipeline(ctx, r.config.Relay, ids, also, r.log.With().Str("part", "relay").Logger())
	if err != nil {
		return nil, err
	}
	p.accounts = r.accounts()
	if p.kept != nil {
		if p.lapses, err = newLapses(ctx, p.kept, p.log, r.carriers, p.zlog); err != nil {
			p.abandon(ctx)
			return nil, err
		}
		for _, k := range r.carriers {
			k.noted = func(keys []balancer.Key) { p.lapses.want(p.ctx, k, keys) }
		}
	}
	router := relay.NewRouter(r.routes()...)
	p.server.Handle("POST /v1/send", relay.RoleSend, relay.SendHandler(router, relay.Caller))
	if p.engine != nil {
		err = r.restore(ctx, p.engine)
	}
	if err == nil {
		err = p.registry.Register(&runMetrics{r, p})
	}
	if err == nil {
		err = p.registry.Register(router)
	}
	if err != nil {
		p.abandon(ctx)
		return nil, err
	}
	r.serveChannels(p.server)
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", r.config.Relay.Listen)
	if err != nil {
		p.abandon(ctx)
		return nil, fmt.Errorf("relay.listen: %w; use another port, or end who has it", err)
	}
	if err := p.serveWebhooks(r.config.Relay); err != nil {
		p.abandon(ctx)
		return nil, err
	}
	if c := r.config.Relay; c.TokensFile != "" {
		p.serving.Go(func() { newTokenWatcher(c, p.server.SetTokens, p.zlog).watch(p.ctx) })
	}
	if p.lapses != nil {
		p.serving.Go(func() { p.lapses.watch(p.ctx) })
		p.serving.Go(func() { p.marks.watch(p.ctx, p.hub) })
	}
	p.served = make(chan error, 1)
	p.serving.Go(func() { p.served <- p.server.Serve(p.ctx, l) })
	if p.engine != nil {
		p.serving.Go(func() {
			if err := relay.ServeNATS(p.ctx, p.engine.Conn(), router, r.config.Relay.NATS.sends()); err != nil {
				p.zlog.Warn().Err(err).Msg("nothing can be sent over NATS")
			}
		})
	}
	r.log.Info().Str("address", l.Addr().String()).Msg("serving")
	return p, nil
}

// accounts are all that events can be of.
func (r *relayRun) accounts() []relay.Subject {
	var all []relay.Subject
	for _, k := range r.carriers {
		all = append(all, relay.Subject{Platform: k.encoder.platform, Network: k.encoder.network, Account: k.encoder.account})
	}
	if r.bot != nil {
		all = append(all, relay.Subject{Platform: "discord", Account: r.bot.account})
	}
	return all
}

// routes are where each account sends; it makes what sends on Discord. Of Twitch
// an anonymous account is among them, which says that it cannot, if there is no other.
func (r *relayRun) routes() []relay.Route {
	named := slices.ContainsFunc(r.carriers, func(k *carrier) bool { return k.platform == channels.Twitch && !k.transport.Account().IsAnonymous() })
	var all []relay.Route
	if k := r.sender; k != nil {
		all = append(all, relay.Route{Platform: k.platform, Account: k.account, Sender: relay.NewIRCSender(k.client, k.config)})
	}
	for _, k := range r.carriers {
		if k.platform == channels.Twitch && (r.sender != nil || named && k.transport.Account().IsAnonymous()) {
			continue
		}
		route := relay.Route{Platform: k.platform, Account: k.account, Sender: relay.NewIRCSender(k.client, k.config)}
		if k.platform == channels.IRC {
			route.Network, route.Account = k.account, k.encoder.account
		}
		all = append(all, route)
	}
	if c := r.config.Discord; c != nil {
		tls, err := c.TLS.client()
		if err == nil {
			r.rest = relay.NewDiscordSender(discord.FixedToken(string(c.Account.Token)), &relay.DiscordConfig{API: c.API, HTTPClient: httpClient(tls)})
			all = append(all, relay.Route{Platform: channels.Discord, Account: c.Account.Name, Sender: r.rest})
		}
	}
	return all
}

// abandon closes a pipeline that nothing has been written to, whether or not ctx
// has ended.
func (p *pipeline) abandon(ctx context.Context) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	_ = p.close(within)
}

// close ends what the pipeline has opened, in the order in which it is used.
func (p *pipeline) close(ctx context.Context) error {
	var errs []error
	if p.log != nil {
		errs = append(errs, p.log.Close(ctx))
	}
	if p.none != nil {
		errs = append(errs, p.none.Close(ctx))
	}
	p.kill()
	p.serving.Wait()
	if p.hub != nil {
		p.hub.Close()
	}
	if p.engine != nil {
		errs = append(errs, p.engine.Close(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}
