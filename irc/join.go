package irc

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// room is one channel of a connection: what was asked for and what the server
// said. It is joined when the server has sent both our own JOIN back and the
// end of the list of names or the state of the room, in whatever order.
type room struct {
	key    balancer.Key
	names  []string // under which it stands in conn.rooms
	wanted bool     // the last thing asked for was a JOIN
	parts  int      // PARTs without an answer
	echoed bool     // own JOIN
	listed bool     // 366 or ROOMSTATE
	joined bool     // and Joined was said
}

// Join implements [balancer.Joiner].
func (c *conn) Join(ctx context.Context, keys ...balancer.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	channels := make([]string, 0, len(keys))
	wake := false
	c.mu.Lock()
	for _, k := range keys {
		name := c.channel(k)
		if err := ValidChannel(name); err != nil {
			c.later = append(c.later, balancer.Event{Key: k, Data: balancer.Refused{
				Err: &ChannelError{Channel: name, Reason: "not asked", Text: err.Error(), Err: ErrSuspended}}})
			wake = true
			continue
		}
		r := c.room(name)
		switch {
		case r == nil:
			r = c.enter(name, k)
		case r.key != k && (r.wanted || r.joined):
			c.later = append(c.later, balancer.Event{Key: k, Data: balancer.Refused{
				Err: &ChannelError{Channel: name, Reason: "CASEMAPPING", Text: string(r.key), Err: ErrSameChannel}}})
			wake = true
			continue
		case r.joined && r.parts == 0:
			c.later = append(c.later, balancer.Event{Key: k, Data: balancer.Joined{}})
			wake = true
			continue
		}
		r.wanted, r.key = true, k
		c.nameLen = 0
		channels = append(channels, name)
	}
	c.mu.Unlock()
	if wake { // what comes back lets Receive return
		_ = c.out.add(ping, true) // an error is its to find
		_ = c.out.flush()
	}
	return c.list("JOIN", channels)
}

// Part implements [balancer.Joiner].
func (c *conn) Part(ctx context.Context, keys ...balancer.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	channels := make([]string, 0, len(keys))
	c.mu.Lock()
	for _, k := range keys {
		name := c.channel(k)
		if ValidChannel(name) != nil {
			continue
		}
		if r := c.room(name); r != nil {
			r.wanted = false
			r.parts++
		}
		channels = append(channels, name)
	}
	if len(c.rooms) > c.sweepAt {
		c.sweep()
	}
	c.mu.Unlock()
	return c.list("PART", channels)
}

// list sends a JOIN or PART of channels, as many to a line as the server takes.
func (c *conn) list(verb string, channels []string) error {
	if len(channels) == 0 {
		return nil
	}
	if c.flood != nil {
		return c.flood.list(verb, channels)
	}
	out, err := c.encoder.appendList(nil, verb, channels)
	if err != nil {
		return err
	}
	return c.send(out)
}

// channel returns a key's name on the wire.
func (c *conn) channel(k balancer.Key) string { return c.t.channel(k) }

func (t *Transport) channel(k balancer.Key) string {
	if t.cfg.Profile == Twitch {
		return "#" + string(k)
	}
	return string(k)
}

// key returns the key of a channel's name. It allocates only for a channel
// that the connection was not asked to join. mu is held.
func (c *conn) key(name string) balancer.Key {
	if name == "" {
		return ""
	}
	// Most lines are about the same channel as the one before, or the
	// connection's only one: that costs no look at the map.
	if len(name) == c.nameLen && name == string(c.name[:c.nameLen]) {
		return c.nameKey
	}
	if r := c.room(name); r != nil {
		if len(name) <= len(c.name) {
			c.nameLen, c.nameKey = copy(c.name[:], name), r.key
		}
		return r.key
	}
	if c.isup == nil {
		return balancer.Key(strings.ToLower(strings.Clone(name[1:])))
	}
	return balancer.Key(c.isup.Fold(strings.Clone(name)))
}

// maxNames bounds under how many spellings a channel is found at once.
const maxNames = 4

// room returns the channel of a name in any spelling, or nil. mu is held.
func (c *conn) room(name string) *room {
	if r := c.rooms[name]; r != nil {
		return r
	}
	folded := c.fold(name)
	r := c.rooms[folded]
	if r != nil && len(r.names) < maxNames { // it will come again in this spelling
		alias := strings.Clone(name)
		r.names = append(r.names, alias)
		c.rooms[alias] = r
	}
	return r
}

func (c *conn) fold(name string) string {
	if c.isup == nil {
		return strings.ToLower(name)
	}
	return c.isup.Fold(name)
}

// enter makes a channel known. mu is held.
func (c *conn) enter(name string, k balancer.Key) *room {
	folded := strings.Clone(c.fold(name))
	r := &room{key: k, names: []string{folded}}
	if c.rooms == nil {
		c.rooms = make(map[string]*room)
	}
	c.rooms[folded] = r
	return r
}

// leave forgets a channel. mu is held.
func (c *conn) leave(r *room) {
	c.nameLen = 0
	for _, name := range r.names {
		delete(c.rooms, name)
	}
}

// sweep forgets channels that were parted and whose PART the server never
// answered, since they were not joined. mu is held.
func (c *conn) sweep() {
	for _, r := range c.rooms {
		if !r.wanted && !r.echoed {
			c.leave(r)
		}
	}
	c.sweepAt = 2*len(c.rooms) + 256
}

// onJoin takes our own JOIN. mu is held.
func (c *conn) onJoin(name string) {
	if name == "" {
		return
	}
	r := c.room(name)
	if r == nil { // forwarded, or asked for in an earlier life
		r = c.enter(name, c.key(name))
	}
	r.echoed = true
	c.confirm(r)
}

// confirm says Joined once all of it was seen. mu is held.
func (c *conn) confirm(r *room) {
	if r.echoed && r.listed && !r.joined {
		r.joined = true
		if r.wanted {
			r.parts = 0
		}
		c.later = append(c.later, balancer.Event{Key: r.key, Data: balancer.Joined{}})
	}
}

// onPart takes our own PART, or a KICK of us. mu is held.
func (c *conn) onPart(m *Message, why string) {
	name := m.Channel()
	if name == "" {
		return
	}
	k := c.key(name)
	r := c.room(name)
	kicked := m.Command() == "KICK"
	asked := !kicked && (r == nil || r.parts > 0)
	if r != nil {
		r.echoed, r.listed, r.joined = false, false, false
		if asked && r.parts > 0 {
			r.parts--
		}
		if !asked || !r.wanted {
			c.leave(r)
		}
	}
	c.note()
	d := balancer.Parted{Last: c.sent.time()}
	if !asked {
		d.Err = &ChannelError{Channel: strings.Clone(name), Reason: strings.Clone(m.Command()),
			Text: strings.Clone(clip(why, 300)), Err: ErrRemoved}
	}
	c.later = append(c.later, balancer.Event{Key: k, Data: d})
}

// onNumeric takes a number that tells an error. mu is held.
func (c *conn) onNumeric(code string, m *Message) {
	name := m.Param(1)
	r := c.room(name)
	if r != nil && !r.wanted && r.parts > 0 && !r.joined && (code == "403" || code == "442") {
		c.leave(r)
		c.later = append(c.later, balancer.Event{Key: r.key, Data: balancer.Parted{}})
		return
	}
	f, ok := numerics[code]
	if !ok {
		return
	}
	if r != nil && r.wanted && !r.joined && c.refuse(r, f, code, m.Text()) {
		return
	}
	if f.send {
		c.settle(name, Receipt{State: SendRefused, Reason: code, Text: m.Text()})
	}
}

// onNotice takes a NOTICE: of a JOIN that is refused, a message that is not
// sent, or a token that is not valid any more. mu is held.
func (c *conn) onNotice(m *Message) {
	if c.isup != nil {
		return
	}
	if err := loginNotice(c.nick, m); err != nil && c.err == nil {
		c.err = c.revoked(err)
		return
	}
	id, _ := m.Tag("msg-id")
	f, ok := refusals[id]
	if !ok {
		return
	}
	name := m.Channel()
	if r := c.room(name); r != nil && r.wanted && !r.joined && c.refuse(r, f, id, m.Text()) {
		return
	}
	if f.send {
		c.settle(name, Receipt{State: SendRefused, Reason: id, Text: m.Text()})
	}
}

// revoked is a login that ended in the middle. It is dialled again: the dial
// asks for the token, and ends it for good if that is still the same one.
func (c *conn) revoked(err error) error {
	c.t.account.reject(c.token)
	return &balancer.ConnError{Err: err, Retry: balancer.Fresh}
}

// refuse says that a JOIN was refused. mu is held.
func (c *conn) refuse(r *room, f refusal, code, text string) bool {
	e, ok := f.refused(r.key, r.names[0], code, text, time.Now())
	if !ok {
		return false
	}
	if r.wanted = false; r.parts == 0 {
		c.leave(r)
	}
	c.later = append(c.later, e)
	return true
}

// joinPace is the [balancer.Limiter] for a plain IRC network: each connection
// is asked for no more JOINs than the rate of its lines lets through in time.
type joinPace struct {
	t      *Transport
	mu     sync.Mutex // guards shards; never held while waiting
	shards map[balancer.ShardID]*balancer.Window
}

// joinTargets is how many channels of a JOIN are counted on.
const joinTargets = 4

func (p *joinPace) Wait(ctx context.Context, kind balancer.Budget, id balancer.ShardID, n int) error {
	if err := p.t.account.Wait(ctx, kind, id, n); err != nil || kind != balancer.BudgetJoin {
		return err
	}
	p.mu.Lock()
	w := p.shards[id]
	if w == nil {
		if p.shards == nil {
			p.shards = make(map[balancer.ShardID]*balancer.Window)
		}
		rate, per := p.t.cfg.Flood, int(p.t.targets.Load())
		if per <= 0 || per > joinTargets {
			per = joinTargets
		}
		w = balancer.NewWindow(max(rate.N-1, 1)*per, rate.Per)
		p.shards[id] = w
	}
	p.mu.Unlock()
	return w.Wait(ctx, n)
}
