package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/rs/zerolog"
)

const (
	lapseEvery = 2 * time.Second
	// unnoticed is for how long a connection may be dead before that shows, and
	// events may wait for the log: both are less.
	unnoticed = 45 * time.Second
	// onTheWay is how long a line may take from a service that gives no times.
	onTheWay   = 5 * time.Second
	mostAbsent = 1000    // channels that are noted one by one
	mostTail   = 200_000 // entries that are read at the start
)

// errRestarted is the reason of a gap between two runs.
var errRestarted = errors.New("the relay was not running, or not joined yet")

// lapses are what was missed between two runs. Twitch and IRC repeat nothing,
// and whoever was killed could not say what he was about to miss. So a run
// leaves in the engine, every two seconds, up to when all channels were
// listened to and what was said is in the log; and which channels are not
// joined, each with a time of its own. The next run reads that, and the end of
// the log, where busy channels have later events. When a channel is joined for
// the first time, a gap stands before it: from there to now.
//
// A time that is too early makes a gap longer than what is missing; one that is
// too late would hide something. So doubt goes backwards: a connection may have
// been dead for a while unnoticed, and where very many channels are not joined
// yet the common time stands still.
type lapses struct {
	store *relay.Store
	log   relay.Log
	zlog  zerolog.Logger

	begun, ended atomic.Uint64 // events handed to the log, and those done there
	dropped      atomic.Uint64 // of them lost

	saving sync.Mutex // one save at a time
	mu     sync.Mutex // guards scopes; not held for I/O
	scopes map[string]*lapse
}

// lapse is that of all accounts of Twitch, or of one IRC network.
type lapse struct {
	heard    time.Time                   // of channels that are not in absent
	absent   map[balancer.Key]time.Time  // not joined
	joined   map[balancer.Key]bool       // absent, and joined when that was asked last
	due      map[balancer.Key]time.Time  // carried by the run before, and not joined in this one
	keys     map[*carrier][]balancer.Key // wanted
	earlier  map[balancer.Key]bool       // wanted by the run before
	carriers []*carrier
}

// lapseState is a lapse as it is stored.
type lapseState struct {
	Heard  time.Time                  `json:"heard"`
	Absent map[balancer.Key]time.Time `json:"absent,omitempty"`
}

const (
	docHeard = "heard"    // lapseState by scope
	docKeys  = "channels" // lists of channels by scope
)

// newLapses reads what the run before has left.
func newLapses(ctx context.Context, store *relay.Store, log relay.Log, carriers []*carrier, zlog zerolog.Logger) (*lapses, error) {
	a := &lapses{store: store, log: log, zlog: zlog, scopes: map[string]*lapse{}}
	for _, k := range carriers {
		s := k.encoder.scope()
		if a.scopes[s] == nil {
			a.scopes[s] = &lapse{heard: now(), absent: map[balancer.Key]time.Time{}, joined: map[balancer.Key]bool{}, due: map[balancer.Key]time.Time{}, keys: map[*carrier][]balancer.Key{}, earlier: map[balancer.Key]bool{}}
		}
		a.scopes[s].carriers = append(a.scopes[s].carriers, k)
	}
	var heard map[string]lapseState
	var keys map[string][]balancer.Key
	for name, into := range map[string]any{docHeard: &heard, docKeys: &keys} {
		text, err := store.Load(ctx, name)
		if err == nil && text != nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			return nil, fmt.Errorf("since when nobody listened: %w", err)
		}
	}
	begin := now()
	for scope, l := range a.scopes {
		was, ok := heard[scope]
		if !ok {
			continue
		}
		l.heard = was.Heard
		maps.Copy(l.absent, was.Absent)
		for _, k := range keys[scope] {
			l.earlier[k] = true
			l.due[k] = l.heard
			if t, ok := was.Absent[k]; ok {
				l.due[k] = t
			}
		}
		if l.heard.Before(begin) {
			begin = l.heard
		}
	}
	if err := a.readTail(ctx, begin); err != nil {
		return nil, err
	}
	a.saveHeard(ctx)
	return a, nil
}

// scope is what the accounts that can take over each other's channels share.
func (e *encoder) scope() string {
	if e.network != "" {
		return e.platform + " " + e.network
	}
	return e.platform
}

// readTail looks for later events of channels than what was stored says.
func (a *lapses) readTail(ctx context.Context, begin time.Time) error {
	_, first, last, err := a.log.Bounds(ctx)
	if err != nil || first > last {
		return err
	}
	from, err := a.log.At(ctx, begin)
	if err != nil {
		return err
	}
	from = max(from, first-1, last-min(last, mostTail))
	_, err = a.log.Read(ctx, from, last, func(_ uint64, body []byte) bool {
		var e struct {
			Platform, Network, Kind string
			Time, Received          time.Time
			Channel                 struct{ Name balancer.Key }
			Flags                   []string
			Raw                     json.RawMessage
		}
		if json.Unmarshal(body, &e) != nil || e.Channel.Name == "" {
			return true
		}
		l := a.scopes[(&encoder{platform: e.Platform, network: e.Network}).scope()]
		// What the service did not say proves nothing about when it was heard.
		if l == nil || len(e.Raw) == 0 && (e.Kind != "join" || !slices.Contains(e.Flags, "self")) {
			return true
		}
		at := e.Time
		if at.IsZero() {
			at = e.Received.Add(-onTheWay)
		}
		if t, ok := l.due[e.Channel.Name]; ok && at.After(t) {
			l.due[e.Channel.Name] = at
		}
		return true
	})
	if pruned := (*relay.PrunedError)(nil); errors.As(err, &pruned) {
		return nil // what is gone was older
	}
	return err
}

// joinedFirst returns since when a channel that was just joined may have missed
// something, if it is joined for the first time and was wanted before.
func (a *lapses) joinedFirst(scope string, k balancer.Key) (from time.Time, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.scopes[scope]
	if l == nil {
		return time.Time{}, false
	}
	from, ok = l.due[k]
	delete(l.due, k)
	return from, ok
}

// begin and end count an event on its way into the log.
func (a *lapses) begin() {
	if a != nil {
		a.begun.Add(1)
	}
}

func (a *lapses) end(err error) {
	if a == nil {
		return
	}
	if err != nil {
		a.dropped.Add(1)
	}
	a.ended.Add(1)
}

// want notes the channels of a carrier, before they are joined.
func (a *lapses) want(ctx context.Context, k *carrier, keys []balancer.Key) {
	a.mu.Lock()
	l := a.scopes[k.encoder.scope()]
	l.keys[k] = keys
	all := map[string][]balancer.Key{}
	for scope, l := range a.scopes {
		for _, k := range l.carriers {
			all[scope] = append(all[scope], l.keys[k]...)
			if _, known := l.keys[k]; !known { // its turn comes
				all[scope] = slices.AppendSeq(all[scope], maps.Keys(l.earlier))
			}
		}
		slices.Sort(all[scope])
		all[scope] = slices.Compact(all[scope])
	}
	a.mu.Unlock()
	a.save(ctx, docKeys, all)
}

// snapshot is what is known at a time; it may be stored once the log has the
// first begun events.
type snapshot struct {
	at             time.Time
	begun, dropped uint64
	absent         map[string][]balancer.Key
	many           map[string]bool // too many to tell
}

// watch stores how far all is heard, until ctx ends.
func (a *lapses) watch(ctx context.Context) {
	tick := time.NewTicker(lapseEvery)
	defer tick.Stop()
	var last *snapshot
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch {
		case a.log.Healthy() != nil || last != nil && last.dropped != a.dropped.Load():
			last = nil
			continue
		case last != nil && a.ended.Load() < last.begun:
			continue
		case last != nil:
			a.take(last)
			a.saveHeard(ctx)
		}
		last = a.look()
	}
}

func (a *lapses) look() *snapshot {
	s := &snapshot{at: now(), begun: a.begun.Load(), dropped: a.dropped.Load(), absent: map[string][]balancer.Key{}, many: map[string]bool{}}
	for scope, l := range a.scopes {
		for _, k := range l.carriers {
			keys, ok := k.absent(mostAbsent)
			s.absent[scope] = append(s.absent[scope], keys...)
			if !ok || len(s.absent[scope]) > mostAbsent {
				s.many[scope] = true
			}
		}
	}
	return s
}

// take makes a snapshot what is stored.
func (a *lapses) take(s *snapshot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for scope, l := range a.scopes {
		if s.many[scope] {
			continue // what is stored holds for all
		}
		out := make(map[balancer.Key]bool, len(s.absent[scope]))
		for _, k := range s.absent[scope] {
			out[k] = true
			delete(l.joined, k)
			if _, ok := l.absent[k]; ok {
				continue
			}
			l.absent[k] = l.heard
			if t, ok := l.due[k]; ok {
				l.absent[k] = t
			}
		}
		for k := range l.absent {
			if _, due := l.due[k]; due || out[k] {
				continue
			}
			if !l.joined[k] { // its gap may still be on its way to the log
				l.joined[k] = true
				continue
			}
			delete(l.absent, k)
			delete(l.joined, k)
		}
		if at := s.at.Add(-unnoticed); at.After(l.heard) {
			l.heard = at
		}
	}
}

func (a *lapses) saveHeard(ctx context.Context) {
	a.mu.Lock()
	all := map[string]lapseState{}
	for scope, l := range a.scopes {
		all[scope] = lapseState{l.heard, maps.Clone(l.absent)}
	}
	a.mu.Unlock()
	a.save(ctx, docHeard, all)
}

func (a *lapses) save(ctx context.Context, name string, doc any) {
	a.saving.Lock()
	defer a.saving.Unlock()
	text, err := json.Marshal(doc)
	if err == nil {
		err = a.store.Save(ctx, name, text)
	}
	if err != nil && ctx.Err() == nil {
		a.zlog.Warn().Err(err).Msg("since when channels are heard was not stored: after a crash their gaps are longer")
	}
}

// absent returns the channels that are not joined, unless they are more than most.
func (k *carrier) absent(most int) (keys []balancer.Key, ok bool) {
	n := 0
	for state, count := range k.balancer.Count() {
		if state != balancer.Member && state != balancer.Parting {
			n += count
		}
	}
	away := map[balancer.ShardID]bool{}
	for _, s := range k.balancer.Shards() {
		if s.State != balancer.Ready && s.State != balancer.Retiring {
			away[s.ID] = true
			n += s.Joined
		}
	}
	if n > most {
		return nil, false
	}
	if n == 0 {
		return nil, true
	}
	for _, st := range k.balancer.Keys() {
		if st.State != balancer.Parting && (st.State != balancer.Member || st.Placed && away[st.Shard]) {
			keys = append(keys, st.Key)
		}
	}
	return keys, true
}
