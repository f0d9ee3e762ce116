package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

const interopToken = "outside"

// liveRelay is a whole relay on loopback: engine, log, hub and server. It can be
// restarted, and keeps its addresses and its history.
type liveRelay struct {
	t          testing.TB
	dir        string
	http, nats string // addresses

	mu     sync.Mutex // guards the rest; held over a restart
	engine *Engine
	log    *NATSLog
	hub    *Hub
	server *Server
	end    func()
	n      int // envelopes said
	epoch  string

	safe sync.Mutex // guards what the log's goroutine writes
	said []saying   // in the order of the log
}

// saying is an envelope that is in the log.
type saying struct {
	seq     uint64
	id      string
	subject Subject
}

func newLiveRelay(t testing.TB) *liveRelay {
	r := &liveRelay{t: t, dir: t.TempDir(), http: "127.0.0.1:0", nats: "127.0.0.1:0"}
	r.start()
	t.Cleanup(func() { r.end() })
	return r
}

func (r *liveRelay) start() {
	ctx, cancel := context.WithCancel(context.Background())
	fail := func(err error) {
		if err != nil {
			r.t.Fatal(err)
		}
	}
	var err error
	// A client that tries to come back may have the port for a moment, as its own.
	for over := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		r.engine, err = StartEngine(ctx, &EngineConfig{Dir: r.dir, MaxStore: 1 << 30, Listen: r.nats, Token: interopToken})
		if err == nil || time.Now().After(over) {
			break
		}
	}
	fail(err)
	r.nats = r.engine.Addr()
	r.log, err = OpenNATSLog(ctx, r.engine, nil)
	fail(err)
	r.hub, err = NewHub(ctx, r.log, &HubConfig{RingEntries: 600})
	fail(err)
	r.epoch = r.hub.epoch
	r.server, err = NewServer(r.hub, &ServerConfig{Cursors: new(keptCursors)})
	fail(err)
	var l net.Listener
	until(r.t, "the address is free", func() bool { l, err = net.Listen("tcp", r.http); return err == nil })
	r.http = l.Addr().String()
	served := make(chan error)
	go func() { served <- r.server.Serve(ctx, l) }()
	engine, log, hub := r.engine, r.log, r.hub
	r.end = sync.OnceFunc(func() {
		closing, done := context.WithTimeout(context.Background(), within)
		defer done()
		for _, err := range []error{log.Close(closing), func() error { cancel(); return <-served }(), func() error { hub.Close(); return engine.Close(closing) }()} {
			if err != nil {
				r.t.Error(err)
			}
		}
	})
}

func (r *liveRelay) restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end()
	r.start()
}

// rooms have names that mean something to NATS, and to whom it is escaped.
var rooms = []Subject{
	{Platform: "twitch", Account: "bot", Channel: "22484632"}, {Platform: "twitch", Account: "bot", Channel: "71092938"},
	{Platform: "irc", Network: "libera", Account: "me", Channel: "#c++"}, {Platform: "irc", Network: "libera", Account: "me", Channel: "*"},
	{Platform: "irc", Network: "a.b", Account: "me", Channel: "#\u00fc >\x01"}, {Platform: "discord", Account: "bot", Channel: "81384788765712384"},
}

// say appends n envelopes. It does not wait until they are safe.
func (r *liveRelay) say(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range n {
		r.n++
		s := rooms[rand.IntN(len(rooms))]
		s.Kind = "message"
		if r.n%5 == 0 {
			s.Kind = "join"
		}
		text := fmt.Sprintf("hello %d; \u00f1and\u00fa \U0001f389 \"\u2028\x00", r.n)
		if r.n%700 == 0 {
			text = strings.Repeat(text, 4000) // compressed in the log
		}
		id := fmt.Sprint("id-", r.n)
		body, err := json.Marshal(map[string]any{
			"id": id, "received": stampOf(time.Now()), "platform": s.Platform, "network": s.Network, "account": s.Account, "shard": "0",
			"channel": map[string]string{"id": s.Channel}, "kind": s.Kind, "text": text,
		})
		if err != nil {
			r.t.Error(err)
			return
		}
		// The encoder's order: version and id first.
		body = append([]byte(envelopeStart+`"id":"`+id+`",`), body[1:]...)
		hub := r.hub
		err = r.log.Append(context.Background(), &Entry{ID: id, Subject: s, Body: body, Time: time.Now()}, func(seq uint64, dup bool, err error) {
			if err == nil && !dup {
				err = hub.Append(seq, body, nil)
			}
			if err != nil || dup {
				r.t.Errorf("%s: %v, a copy: %v", id, err, dup)
			}
			r.safe.Lock()
			r.said = append(r.said, saying{seq, id, s})
			r.safe.Unlock()
		})
		if err != nil {
			r.t.Error(err)
			return
		}
	}
}

func stampOf(t time.Time) string { return t.UTC().Format(timeFormat) }

// speak says n envelopes a hundred times a second, until stop.
func (r *liveRelay) speak(n int) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if r.t.Failed() {
					return
				}
				r.say(n)
			}
		}
	}()
	return sync.OnceFunc(func() { close(done); <-ended })
}

// wanted returns what a consumer of some subjects has to have been told.
func (r *liveRelay) wanted(is func(Subject) bool) (all []saying) {
	r.safe.Lock()
	defer r.safe.Unlock()
	for _, s := range r.said {
		if is == nil || is(s.subject) {
			all = append(all, s)
		}
	}
	return all
}

// sightings are what a consumer was told in all of its lives.
type sightings struct {
	mu    sync.Mutex
	times map[string]int
	seqs  map[string]uint64
	last  Cursor
	wrong []string
}

// add takes a line that a client has written.
func (g *sightings) add(line []byte) {
	var l testLine
	err := json.Unmarshal(line, &l)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.times == nil {
		g.times, g.seqs = map[string]int{}, map[string]uint64{}
	}
	switch {
	case err != nil || l.ID == "" || l.Kind == "gap":
		g.wrong = append(g.wrong, fmt.Sprintf("%v: %.300s", err, line))
	case g.times[l.ID] > 0 && g.seqs[l.ID] != l.Cursor.Seq:
		g.wrong = append(g.wrong, fmt.Sprintf("%s came as %d and as %d", l.ID, g.seqs[l.ID], l.Cursor.Seq))
	}
	g.times[l.ID]++
	g.seqs[l.ID] = l.Cursor.Seq
	g.last = Cursor{l.Cursor.Epoch, l.Cursor.Seq}
}

func (g *sightings) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.times)
}

func (g *sightings) cursor(r *liveRelay) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last.Epoch == "" {
		return r.epoch + ":0"
	}
	return g.last.String()
}

// patience ends when nothing new was seen for a while, however slow the machine.
type patience struct {
	g  *sightings
	n  int
	at time.Time
}

func (p *patience) over() bool {
	if n := p.g.count(); n != p.n || p.at.IsZero() {
		p.n, p.at = n, time.Now()
	}
	return time.Since(p.at) > within
}

// check compares with what was said.
func (g *sightings) check(t testing.TB, want []saying) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	missing, twice := 0, 0
	for _, s := range want {
		if g.times[s.id] == 0 {
			if missing++; missing < 5 {
				t.Errorf("%s (%d) is missing", s.id, s.seq)
			}
		} else if g.seqs[s.id] != s.seq {
			t.Errorf("%s has the cursor %d, want %d", s.id, g.seqs[s.id], s.seq)
		}
		if g.times[s.id] > 1 {
			twice++
		}
	}
	if missing > 0 || len(g.times) != len(want) {
		t.Errorf("%d of %d are missing, %d came", missing, len(want), len(g.times))
	}
	if len(g.wrong) > 0 {
		t.Errorf("%d lines are wrong: %q", len(g.wrong), g.wrong[0])
	}
	t.Logf("%d envelopes, %d of them again", len(want), twice)
}
