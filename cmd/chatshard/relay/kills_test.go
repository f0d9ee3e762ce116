package relay

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Consumers of every output are killed a hundred times under load: each misses
// nothing, and knows what came twice by its id.
func TestHundredKills(t *testing.T) {
	kills, load := 100, 4
	if testing.Short() {
		kills, load = 10, 1
	}
	r := newLiveRelay(t)
	s := &testServer{r.server, &testHub{Hub: r.hub}, r.http}
	r.say(300)
	stop := r.speak(load)
	defer stop()
	hook := newReceiver(t, r)
	// A life reads until done says that it is to be killed.
	type living func(t *testing.T, g *sightings, done func() bool)
	stream := func(output string) living {
		return func(t *testing.T, g *sightings, done func() bool) {
			c := s.consume(t, output, "from="+g.cursor(r))
			defer c.kill()
			for !done() {
				line, err := c.next()
				if err != nil {
					t.Error(err)
					return
				}
				g.add(line)
			}
		}
	}
	named := func(output string) living {
		return func(t *testing.T, g *sightings, done func() bool) {
			c := s.consume(t, output, "consumer="+output+"&from="+r.epoch+":0")
			defer c.kill()
			for n := 1; !done(); n++ {
				line, err := c.next()
				if err != nil {
					t.Error(err)
					return
				}
				g.add(line)
				if n%40 > 0 {
					continue
				}
				if ws, ok := c.(*wsConsumer); ok {
					err = ws.conn.WriteJSON(map[string]string{"type": "ack", "cursor": g.cursor(r)})
				} else {
					err = post(t, "http://"+r.http+"/v1/ack?consumer="+output+"&cursor="+g.cursor(r)+"&member="+c.(*lineConsumer).resp.Header.Get("Chatshard-Member"))
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		}
	}
	cases := []*struct {
		name string
		live living
		each int              // envelopes of a life at least
		run  func(*testing.T) // what runs over all lives
		seen sightings
	}{
		{name: "ws", live: stream("ws")},
		{name: "sse", live: stream("sse")},
		{name: "ndjson", live: stream("ndjson")},
		{name: "ws/named", live: named("ws")},
		{name: "sse/named", live: named("sse")},
		{name: "ndjson/named", live: named("ndjson")},
		{name: "poll", live: r.polls},
		{name: "nats", live: r.durable},
		{name: "webhook", live: hook.live, each: webhookBatch, run: hook.run}, // one that dies twice is waited for longer,
	}
	t.Run("killed", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				if c.run != nil {
					c.run(t)
				}
				for n := 0; n < kills && !t.Failed(); n++ {
					more := c.seen.count() + c.each + 1 + rand.IntN(100)
					c.live(t, &c.seen, func() bool { return c.seen.count() >= more })
				}
			})
		}
	})
	stop()
	until(t, "all is safe", func() bool { return len(r.wanted(nil)) == r.n })
	want := r.wanted(nil)
	for _, c := range cases {
		t.Run("in the end/"+c.name, func(t *testing.T) {
			if c.run != nil {
				c.run(t)
			}
			c.live(t, &c.seen, func() bool { return c.seen.count() >= len(want) })
			c.seen.check(t, want)
		})
	}
}

// polls is a life that ends in the middle of a poll.
func (r *liveRelay) polls(t *testing.T, g *sightings, done func() bool) {
	most := 30 * time.Millisecond
	for p := (patience{g: g}); !done(); {
		before := g.count()
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(most))
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+r.http+"/v1/poll?wait=1s&max=100&from="+g.cursor(r), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			for in := bufio.NewReader(resp.Body); ; {
				line, err := in.ReadBytes('\n')
				if err != nil {
					break
				}
				g.add(line)
			}
			resp.Body.Close()
		}
		cancel()
		if g.count() == before { // this machine takes longer for one
			most = min(2*most, within)
		}
		if p.over() {
			t.Errorf("nothing new came within %v", within)
			return
		}
	}
}

// durable is a life of a durable consumer of NATS whose connection is cut with
// acknowledgements on their way.
func (r *liveRelay) durable(t *testing.T, g *sightings, done func() bool) {
	cut := new(lastConn)
	nc, err := nats.Connect(r.nats, nats.Token(interopToken), nats.NoReconnect(), nats.SetCustomDialer(cut),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	defer func() { cut.Close() }() // before it can say goodbye
	js, err := jetstream.New(nc)
	var c jetstream.Consumer
	if err == nil {
		c, err = js.CreateOrUpdateConsumer(t.Context(), "EV", jetstream.ConsumerConfig{Durable: "mortal", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 500 * time.Millisecond})
	}
	var all jetstream.MessagesContext
	if err == nil {
		all, err = c.Messages(jetstream.PullMaxMessages(100))
	}
	if err != nil {
		t.Error(err)
		return
	}
	for !done() {
		m, err := all.Next(jetstream.NextMaxWait(within))
		if err != nil {
			t.Error(err)
			return
		}
		line, err := envelopeOf(r.epoch, m)
		if err != nil {
			t.Error(err)
			return
		}
		g.add(line)
		_ = m.Ack() // it comes again if the connection is cut
	}
}

// envelopeOf makes of a message what the other outputs hand out.
func envelopeOf(epoch string, m jetstream.Msg) ([]byte, error) {
	at, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	var a assembly
	body, err := a.add(&stored{seq: at.Sequence.Stream, name: m.Subject(), header: m.Headers(), data: m.Data()}, 1<<20)
	if err != nil {
		return nil, err
	}
	return AppendEnvelope(nil, Cursor{epoch, at.Sequence.Stream}, body), nil
}

// lastConn dials for NATS and keeps what it dialed.
type lastConn struct{ net.Conn }

func (c *lastConn) Dial(network, address string) (_ net.Conn, err error) {
	c.Conn, err = net.Dial(network, address)
	return c.Conn, err
}

const webhookBatch = 100

// receiver takes what a webhook posts, in many lives at one address.
type receiver struct {
	r    *liveRelay
	addr string
}

func newReceiver(t *testing.T, r *liveRelay) *receiver {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		l.Close()
		err = r.server.Consumers().store.Save(t.Context(), webhookConsumer+"hook", Cursor{r.epoch, 0}) // from the start
	}
	if err != nil {
		t.Fatal(err)
	}
	return &receiver{r, l.Addr().String()}
}

// run delivers until the test ends.
func (h *receiver) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		ended <- (&Webhook{Name: "hook", URL: "http://" + h.addr, Batch: webhookBatch}).Run(ctx, h.r.server.Consumers())
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		webhookClient.CloseIdleConnections()
	})
}

// live serves until done, and then cuts whatever is under way.
func (h *receiver) live(t *testing.T, g *sightings, done func() bool) {
	var l net.Listener
	var err error
	until(t, "the address is free", func() bool { l, err = net.Listen("tcp", h.addr); return err == nil })
	killed := make(chan struct{})
	kill := sync.OnceFunc(func() { close(killed) })
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if rand.IntN(100) == 0 {
			w.WriteHeader(http.StatusInternalServerError) // it took nothing
			return
		}
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return
		}
		for line := range strings.Lines(string(body)) {
			g.add([]byte(line))
			if done() { // the rest of the batch dies with it, and the answer
				kill()
				<-q.Context().Done()
				return
			}
		}
	})}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(l) }() // it is closed
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for p := (patience{g: g}); !closed(killed) && !done(); {
		select {
		case <-killed:
		case <-tick.C:
		}
		if p.over() {
			t.Errorf("nothing new came within %v", within)
			break
		}
	}
	_ = srv.Close()
	<-served
}
