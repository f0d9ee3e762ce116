package main

import (
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
)

// losses is what is known of events that did not fit while the log could not be
// written, until gaps stand for them in the log.
//
// An event of Discord that was dropped must be acknowledged, or its session
// would stand still for good; and not before its gap is in the log, or a crash
// would lose both. Of each connection the first one waits for that; it holds
// back all that follow it.
type losses struct {
	mu    sync.Mutex // guards all to nth; nothing is called with it held
	from  time.Time  // when the service sent the first
	more  int        // events that gaps which were lost themselves stood for
	where map[relay.Subject]lostPlace
	owed  map[lostConn]func()
	nth   int // gaps that were made: their ids

	connsMu sync.RWMutex     // guards conns, which each event of Discord reads
	conns   map[lostConn]int // connections that a shard has had
}

// lostConn is a connection; as a key of conns its nth is 0.
type lostConn struct {
	enc   *encoder
	shard balancer.ShardID
	nth   int
}

// lostPlace is how envelopes name a channel.
type lostPlace struct {
	Gap     *envelopeGap     `json:"gap"`
	Time    time.Time        `json:"time"`
	Guild   *envelopeGuild   `json:"guild"`
	Channel *envelopeChannel `json:"channel"`
}

// conn returns the connection that an event came over, to acknowledge it.
func (l *losses) conn(enc *encoder, e *balancer.Event) lostConn {
	c := lostConn{enc: enc, shard: e.Shard}
	if _, ok := e.Data.(balancer.Up); ok {
		l.connsMu.Lock()
		if l.conns == nil {
			l.conns = map[lostConn]int{}
		}
		l.conns[c]++
		l.connsMu.Unlock()
	}
	l.connsMu.RLock()
	defer l.connsMu.RUnlock()
	c.nth = l.conns[c]
	return c
}

// drop notes that an event is lost; or a gap, before it was in the log.
func (l *losses) drop(e *relay.Entry, c lostConn, acked func()) {
	s := e.Subject
	s.Kind = ""
	var place lostPlace
	_ = json.Unmarshal(e.Body, &place) // the encoder wrote it
	sent := place.Time
	if sent.IsZero() {
		sent = e.Time.Add(-onTheWay)
	}
	more := 0
	if place.Gap != nil {
		more = max(0, place.Gap.Dropped-1)
		if from := instant(place.Gap.From); !from.IsZero() {
			sent = from
		}
	}
	l.mu.Lock()
	l.more += more
	if l.from.IsZero() || sent.Before(l.from) {
		l.from = sent
	}
	if l.where == nil {
		l.where = map[relay.Subject]lostPlace{}
	}
	if _, ok := l.where[s]; !ok && len(l.where) < 2000 {
		l.where[s] = place
	}
	if _, held := l.owed[c]; !held && acked != nil {
		if l.owed == nil {
			l.owed = map[lostConn]func(){}
		}
		l.owed[c], acked = acked, nil
	}
	l.mu.Unlock()
	if acked != nil {
		acked()
	}
}

// settled acknowledges what was held back: the gaps are in the log.
func (l *losses) settled() {
	l.mu.Lock()
	owed := l.owed
	l.owed = nil
	l.mu.Unlock()
	for _, acked := range owed {
		acked()
	}
}

// instant reads a time of an envelope; zero for none.
func instant(s string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, s)
	return t
}

// gaps are what stands in the log for what was lost: one for each channel, of
// those that are too many one for each account.
func (l *losses) gaps(lost relay.Lost, accounts []relay.Subject, epoch string) []relay.Entry {
	l.mu.Lock()
	from, where, more := l.from, l.where, l.more
	l.from, l.where, l.more = time.Time{}, nil, 0
	l.mu.Unlock()
	if from.IsZero() || lost.From.Before(from) {
		from = lost.From
	}
	var subjects []relay.Subject
	seen := map[relay.Subject]bool{}
	for _, s := range lost.Subjects {
		if s.Kind = ""; !seen[s] {
			seen[s] = true
			subjects = append(subjects, s)
		}
	}
	if lost.More {
		subjects = append(subjects, accounts...)
	}
	var all []relay.Entry
	for i, s := range subjects {
		at := now()
		g := envelopeGap{From: stamp(from), To: stamp(lost.To)}
		if i == 0 {
			g.Dropped = lost.N + more
		}
		l.mu.Lock()
		l.nth++
		id := epoch + ":lost:" + strconv.Itoa(l.nth)
		l.mu.Unlock()
		place := where[s]
		body, err := json.Marshal(struct {
			V        int              `json:"v"`
			ID       string           `json:"id"`
			Received string           `json:"received"`
			Platform string           `json:"platform"`
			Network  string           `json:"network,omitempty"`
			Account  string           `json:"account"`
			Shard    string           `json:"shard"`
			Guild    *envelopeGuild   `json:"guild,omitempty"`
			Channel  *envelopeChannel `json:"channel,omitempty"`
			Kind     string           `json:"kind"`
			Gap      envelopeGap      `json:"gap"`
			Error    string           `json:"error"`
		}{1, id, stamp(at), s.Platform, s.Network, s.Account, "", place.Guild, place.Channel, "gap", g, "the log could not be written"})
		if err != nil {
			panic(err) // texts and numbers alone
		}
		s.Kind = "gap"
		all = append(all, relay.Entry{ID: id, Subject: s, Body: body, Time: at})
	}
	return all
}
