package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/chatshard/chatshard/channels"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
)

// roster is what a relay is to read: what the configuration and the channels
// file list, and what was joined over the API. The former two are for who wrote
// them to change: the API neither parts nor changes what they list.
type roster struct {
	turn   chan struct{} // of one: its holder alone changes what follows, and may wait for the store
	listed channels.Set  // of the configuration and the channels file
	own    channels.Set  // joined over the API
	store  *relay.Store  // of own; nil: it ends with the relay

	now atomic.Pointer[wanted]
}

// wanted is what all of it comes to.
type wanted struct {
	set      channels.Set
	assigned channels.Assignment // on Twitch
	over     int                 // channels of Twitch that no account carries
}

const (
	originAPI    = "api"
	rosterName   = "joined" // of the document in the store
	maxRoster    = 512 << 10
	rosterFormat = 1
)

func newRoster(listed channels.Set) *roster {
	s := &roster{turn: make(chan struct{}, 1), listed: listed}
	s.now.Store(&wanted{set: listed})
	return s
}

// kept is the roster in the store.
type kept struct {
	Version  int           `json:"version"`
	Channels []keptChannel `json:"channels"`
}

type keptChannel struct {
	Name      channels.Name `json:"name"`
	Account   string        `json:"account,omitempty"`
	CapExempt bool          `json:"cap_exempt,omitempty"`
}

// rosterError is why channels are not joined or parted.
type rosterError struct {
	status int
	code   string
	text   string
}

func (e *rosterError) Error() string { return e.text }

func notJoined(status int, code, format string, args ...any) error {
	return &rosterError{status, code, fmt.Sprintf(format, args...)}
}

// restore takes what was joined over the API before the relay was started.
func (r *relayRun) restore(ctx context.Context, engine *relay.Engine) error {
	store, err := engine.Store(ctx, "channels")
	if err != nil {
		return err
	}
	r.roster.store = store
	text, err := store.Load(ctx, rosterName)
	if err != nil || text == nil {
		return err
	}
	var k kept
	if err = json.Unmarshal(text, &k); err == nil && k.Version != rosterFormat {
		err = fmt.Errorf("version %d, not %d", k.Version, rosterFormat)
	}
	if err != nil {
		return fmt.Errorf("%v: what was joined over the API cannot be read: %w; use the chatshard that wrote it", store, err)
	}
	var entries []channels.Entry
	for _, c := range k.Channels {
		e := channels.Entry{Name: c.Name, Settings: channels.Settings{Account: c.Account, CapExempt: c.CapExempt}, Origin: originAPI}
		if c.Account != "" && r.carrierOf(c.Name, c.Account) == nil { // one such would keep all of Twitch's channels as they are
			r.log.Warn().Stringer("key", c.Name).Str("account", c.Account).Msg("joined over the API by an account that is gone: another one takes the channel")
			e.Settings.Account, e.Settings.CapExempt = "", false
		}
		entries = append(entries, e)
	}
	if r.roster.own, err = channels.NewSet(entries...); err != nil {
		return fmt.Errorf("%v: %w", store, err)
	}
	return nil
}

// list takes what the configuration and the channels file list, at the start
// and after every change.
func (r *relayRun) list(set channels.Set) {
	r.roster.turn <- struct{}{}
	defer func() { <-r.roster.turn }()
	r.roster.listed = set
	r.sayForeign(set)
	r.apply()
}

// apply has everything carried that is on the roster. The turn is held.
func (r *relayRun) apply() {
	set := channels.Merge(r.roster.listed, r.roster.own)
	r.want(set)
	w := &wanted{set: set, assigned: r.assigned}
	for e := range set.All() {
		if isTwitch(e) && !e.Settings.Disabled && r.assigned[e.Name] == "" {
			w.over++
		}
	}
	r.roster.now.Store(w)
}

// edit changes what was joined over the API: what change makes of it is stored,
// then carried. Channels of again that were refused are tried at once.
func (r *relayRun) edit(ctx context.Context, again []channels.Name, change func() (channels.Set, error)) error {
	s := r.roster
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return notJoined(http.StatusServiceUnavailable, "busy", "another change is under way")
	}
	defer func() { <-s.turn }()
	own, err := change()
	if err != nil {
		return err
	}
	if !channels.Diff(s.own, own).Empty() {
		if err := s.save(context.WithoutCancel(ctx), own); err != nil {
			return err
		}
		s.own = own
		r.apply()
	}
	for _, n := range again {
		if k := r.carrierOf(n, r.assigned[n]); k != nil {
			if key, ok := k.carried[n]; ok {
				k.balancer.Join(key)
			}
		}
	}
	return nil
}

func (s *roster) save(ctx context.Context, own channels.Set) error {
	k := kept{Version: rosterFormat, Channels: []keptChannel{}}
	for e := range own.All() {
		k.Channels = append(k.Channels, keptChannel{e.Name, e.Settings.Account, e.Settings.CapExempt})
	}
	text, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("channels: %w", err)
	}
	if len(text) > maxRoster {
		return notJoined(http.StatusConflict, "too_many", "more channels than can be joined over the API (%d bytes of names): put some into the channels file", maxRoster)
	}
	if s.store == nil {
		return nil
	}
	if err := s.store.Save(ctx, rosterName, text); err != nil {
		return notJoined(http.StatusServiceUnavailable, "not_stored", "nothing was changed, as it could not be stored: %v", err)
	}
	return nil
}

// joinRequest asks for channels to be joined, or parted.
type joinRequest struct {
	Channels  []string `json:"channels"`
	Account   string   `json:"account,omitempty"`    // of Twitch's pool; default: one with room
	CapExempt bool     `json:"cap_exempt,omitempty"` // the account is broadcaster or moderator there
}

const maxJoin = 1000 // channels in a request

// names reads the channels of a request.
func (q *joinRequest) names() ([]channels.Name, error) {
	switch {
	case len(q.Channels) == 0:
		return nil, notJoined(http.StatusUnprocessableEntity, "bad_request", `no channels: name them, as in {"channels":["twitch:forsen"]}`)
	case len(q.Channels) > maxJoin:
		return nil, notJoined(http.StatusUnprocessableEntity, "too_many", "%d channels at once, %d are allowed", len(q.Channels), maxJoin)
	}
	var all []channels.Name
	for _, text := range q.Channels {
		n, err := channels.Parse(text)
		if err != nil {
			return nil, notJoined(http.StatusUnprocessableEntity, "bad_channel", "%s", strings.TrimPrefix(err.Error(), "channels: "))
		}
		all = append(all, n)
	}
	return all, nil
}

// join puts channels on the roster: all of them, or none and why.
func (r *relayRun) join(ctx context.Context, q *joinRequest) ([]channels.Name, error) {
	names, err := q.names()
	if err != nil {
		return nil, err
	}
	return names, r.edit(ctx, names, func() (channels.Set, error) {
		var fresh []channels.Entry
		for _, n := range names {
			e := channels.Entry{Name: n, Settings: channels.Settings{Account: q.Account, CapExempt: q.CapExempt}, Origin: originAPI}
			if err := r.joinable(e); err != nil {
				return channels.Set{}, err
			}
			old, listed := r.roster.listed.Lookup(n)
			switch {
			case listed && old.Settings.Disabled:
				return channels.Set{}, notJoined(http.StatusConflict, "configured", "%v: %s has it with enabled: false; change that", n, old.Origin)
			case listed && (q.Account != "" || q.CapExempt) && old.Settings != e.Settings:
				return channels.Set{}, notJoined(http.StatusConflict, "configured", "%v: %s has it, with other settings; change them there", n, old.Origin)
			case !listed:
				fresh = append(fresh, e)
			}
		}
		given, err := channels.NewSet(fresh...)
		if err != nil {
			return channels.Set{}, notJoined(http.StatusUnprocessableEntity, "bad_request", "%s", strings.TrimPrefix(err.Error(), "channels: "))
		}
		// A channel keeps its place: what was first there is first served.
		var own []channels.Entry
		for e := range r.roster.own.All() {
			if again, ok := given.Lookup(e.Name); ok {
				e = again
			}
			own = append(own, e)
		}
		all, err := channels.NewSet(own...)
		if err != nil {
			return channels.Set{}, err
		}
		all = channels.Merge(all, given)
		return all, r.fits(all)
	})
}

// joinable says why a channel cannot be joined over the API, whatever else is.
func (r *relayRun) joinable(e channels.Entry) error {
	n := e.Name
	if n.Platform == channels.Discord {
		return notJoined(http.StatusUnprocessableEntity, "not_joinable", "%v: a bot of Discord reads the guilds that it was added to: add it there, with an invitation; discord.channels and the channels file say which channels are written", n)
	}
	k := r.carrierOf(n, e.Settings.Account)
	switch {
	case n.Platform == channels.Twitch && r.config.Twitch == nil, n.Platform == channels.IRC && k == nil:
		return notJoined(http.StatusUnprocessableEntity, "no_section", "%v: %s", n, r.noSection(n))
	case n.Platform == channels.IRC && (e.Settings.Account != "" || e.Settings.CapExempt):
		return notJoined(http.StatusUnprocessableEntity, "bad_request", "%v: account and cap_exempt are Twitch's", n)
	case k == nil:
		var have []string
		for _, a := range r.config.Twitch.pool() {
			have = append(have, quote(a.Name))
		}
		return notJoined(http.StatusUnprocessableEntity, "no_account", "%v: no account is called %s; use one of %s", n, quote(e.Settings.Account), strings.Join(have, ", "))
	case e.Settings.CapExempt && e.Settings.Account == "" && len(r.config.Twitch.pool()) > 1:
		return notJoined(http.StatusUnprocessableEntity, "bad_request", "%v: cap_exempt without account: name the one that is broadcaster or moderator there", n)
	}
	if _, err := k.transport.Key(n.Channel); err != nil {
		return notJoined(http.StatusUnprocessableEntity, "bad_channel", "%v: %v", n, err)
	}
	return nil
}

func (r *relayRun) noSection(n channels.Name) string {
	if n.Platform == channels.IRC {
		return "the configuration has no section irc." + n.Network
	}
	return "the configuration has no section " + string(n.Platform)
}

// carrierOf returns who would carry a channel: the account by a name, or any.
func (r *relayRun) carrierOf(n channels.Name, account string) *carrier {
	for _, k := range r.carriers {
		switch {
		case n.Platform != k.platform:
		case n.Platform == channels.IRC && n.Network == k.account:
			return k
		case n.Platform == channels.Twitch && (account == "" || account == k.account):
			return k
		}
	}
	return nil
}

// fits says which cap has no room for all that would be wanted, if one that
// has room for what is.
func (r *relayRun) fits(own channels.Set) error {
	before, _, err := r.load(r.roster.own)
	if err != nil {
		return notJoined(http.StatusConflict, "over_cap", "%v", err) // the configuration has to be mended first
	}
	after, over, err := r.load(own)
	if err != nil {
		return notJoined(http.StatusUnprocessableEntity, "no_account", "%v", err)
	}
	if after[""] > before[""] {
		return notJoined(http.StatusConflict, "over_cap", "%s", strings.TrimPrefix(over.Error(), "channels: "))
	}
	for _, k := range r.carriers {
		s := k.sharding
		if n := after[k.name]; n > s.ChannelsPerShard*s.shards() && n > before[k.name] {
			return notJoined(http.StatusConflict, "over_cap", "%s: %d channels, and %d shards of %d hold %d; part some, or raise channels_per_shard or max_shard_count",
				k.name, n, s.shards(), s.ChannelsPerShard, s.ChannelsPerShard*s.shards())
		}
	}
	return nil
}

// load counts the channels of each carrier by its name, and under "" those for
// which no account of Twitch has room.
func (r *relayRun) load(own channels.Set) (n map[string]int, over *channels.CapError, err error) {
	n = make(map[string]int)
	set := channels.Merge(r.roster.listed, own)
	var assigned channels.Assignment
	if r.config.Twitch != nil {
		if assigned, err = r.assignment(set.Filter(isTwitch)); errors.As(err, &over) {
			n[""], err = len(over.Over), nil
		}
	}
	for e := range set.All() {
		if k := r.carrierOf(e.Name, assigned[e.Name]); k != nil && !e.Settings.Disabled && (k.platform == channels.IRC || assigned[e.Name] != "") {
			n[k.name]++
		}
	}
	return n, over, err
}

// part takes channels off the roster: all of them, or none and why.
func (r *relayRun) part(ctx context.Context, q *joinRequest) ([]channels.Name, error) {
	names, err := q.names()
	if err != nil {
		return nil, err
	}
	return names, r.edit(ctx, nil, func() (channels.Set, error) {
		gone := make(map[channels.Name]bool)
		for _, n := range names {
			e, listed := r.roster.listed.Lookup(n)
			_, joined := r.roster.own.Lookup(n)
			switch {
			case listed && !e.Settings.Disabled && r.fromFile(e):
				return channels.Set{}, notJoined(http.StatusConflict, "configured", "%v: %s has it; remove it there, which parts it at once", n, e.Origin)
			case listed && !e.Settings.Disabled:
				return channels.Set{}, notJoined(http.StatusConflict, "configured", "%v: %s has it; remove it there", n, e.Origin)
			case !joined:
				return channels.Set{}, notJoined(http.StatusNotFound, "not_wanted", "%v: not a channel that is wanted", n)
			}
			gone[n] = true
		}
		return r.roster.own.Filter(func(e channels.Entry) bool { return !gone[e.Name] }), nil
	})
}
