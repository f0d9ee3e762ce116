package discordtest

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// steady is a client of one shard as a good one is: it resumes wherever it
// can, drops what it has seen, and reports gaps.
type steady struct {
	t            testing.TB
	s            *Server
	j            *Judge
	shard, count int
	mode         string

	session, url string
	seq          uint64
	last         time.Time // when the newest event was sent: what comes after may be lost
	gapFrom      time.Time // set while a new session is needed
	missing      map[string]bool
}

// run keeps the shard alive until ctx ends.
func (k *steady) run(ctx context.Context) {
	tries := 0
	for ctx.Err() == nil {
		url := "ws://gateway.discord.test"
		if k.session != "" && tries == 0 {
			url = k.url
		}
		ok := k.connect(ctx, url)
		if tries++; ok {
			tries = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(100+k.s.rnd.intn(400)) * time.Millisecond):
		}
	}
}

// connect lives through one connection and reports whether it became ready.
func (k *steady) connect(ctx context.Context, url string) (ready bool) {
	c, err := tryDial(k.t, k.s, url, k.mode)
	if err != nil {
		return false
	}
	code := 4900
	defer func() { c.close(code) }()
	stop := context.AfterFunc(ctx, func() { c.ws.SetReadDeadline(time.Now()) })
	defer stop()
	var mu sync.Mutex // of writes
	write := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		c.ws.WriteMessage(websocket.TextMessage, []byte(text))
	}
	beats, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end()
	for {
		c.ws.SetReadDeadline(time.Now().Add(45 * time.Second)) // ACKs are traffic too
		if ctx.Err() != nil {
			return ready
		}
		p, err := c.next()
		if err != nil {
			return ready
		}
		switch p.Op {
		case opHello:
			wg.Go(func() {
				for {
					select {
					case <-beats.Done():
						return
					case <-time.After(20 * time.Second):
						write(`{"op":1,"d":null}`)
					}
				}
			})
			if k.session != "" {
				write(fmt.Sprintf(`{"op":6,"d":{"token":"bot-token","session_id":%q,"seq":%d}}`, k.session, k.seq))
			} else {
				time.Sleep(5100 * time.Millisecond)
				write(fmt.Sprintf(identify, "bot-token", allIntents, k.shard, k.count))
			}
		case opHeartbeat:
			write(`{"op":1,"d":null}`)
		case opReconnect:
			return ready
		case opInvalidSession:
			if string(p.D) == "false" {
				k.session = ""
				if k.gapFrom.IsZero() {
					k.gapFrom = k.last
				}
			}
			return ready
		case opDispatch:
			ready = k.dispatch(p) || ready
		}
	}
}

// dispatch handles an event and reports whether the shard is ready.
func (k *steady) dispatch(p packet) bool {
	switch p.T {
	case "READY":
		var r readyEvent
		json.Unmarshal(p.D, &r)
		k.session, k.url, k.seq = r.Session, r.URL, p.S
		k.missing = make(map[string]bool)
		for _, g := range r.Guilds {
			k.missing[g.ID] = true
		}
		if !k.gapFrom.IsZero() {
			k.j.GapShard(k.gapFrom, time.Now(), k.shard, k.count)
		}
		return true
	case "RESUMED":
		k.seq = max(k.seq, p.S)
		return true
	}
	if p.S <= k.seq {
		return false // doubled
	}
	k.seq = p.S
	if p.T == "GUILD_CREATE" && len(k.missing) > 0 {
		var g struct{ ID string }
		json.Unmarshal(p.D, &g)
		if k.missing[g.ID] && !k.gapFrom.IsZero() {
			k.j.Gap(k.gapFrom, time.Now(), g.ID)
		}
		if delete(k.missing, g.ID); len(k.missing) == 0 {
			k.gapFrom = time.Time{}
		}
	}
	if id, key := eventID(p); id != "" {
		n, _ := strconv.ParseUint(id, 10, 64)
		k.last = time.UnixMilli(k.s.mint.millis(ID(n)))
		k.j.Received(key, id, time.Now())
	}
	return false
}

// TestStorm has a good client live through a storm: nothing is lost or doubled,
// and hardly an identify is spent.
func TestStorm(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(&Config{Seed: seed + 1, Bots: []Bot{{GuildCount: 60, MaxConcurrency: 16}}, EventIDs: true})
				defer s.Close()
				j := s.Judge()
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				for i := range 4 {
					k := &steady{t: t, s: s, j: j, shard: i, count: 4, mode: modes[i], last: time.Now()}
					wg.Go(func() { k.run(ctx) })
				}
				time.Sleep(10 * time.Second)
				storm, calm := context.WithTimeout(ctx, 3*time.Minute)
				wg.Go(func() { s.InjectPlan(storm, Storm()) })
				l := &Load{Rate: 40, Mix: Chatter(), Zipf: 1}
				wg.Go(func() { s.Load(storm, l) })
				<-storm.Done()
				calm()
				time.Sleep(2 * time.Minute)
				v := j.Verdict()
				st := s.Stats().Bot("")
				if !v.OK() || v.Received < 5000 {
					t.Errorf("%v\n%v\n%v", v, v.Offences, st)
				}
				if st.SessionsWasted != 0 || len(s.Violations()) != 0 {
					t.Errorf("%v\n%v", st, s.Violations())
				}
				t.Log(v, st)
				cancel()
				wg.Wait()
			})
		})
	}
}
