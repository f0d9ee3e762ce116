package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/chatshard/chatshard/discord/discordtest"
	"github.com/nats-io/nats.go/jetstream"
)

// gate stands between a relay and an engine elsewhere, and can be shut.
type gate struct {
	l    net.Listener
	mu   sync.Mutex // guards all below
	shut bool
	open map[net.Conn]bool
	wg   sync.WaitGroup
}

func newGate(t *testing.T, target func() string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{l: l, open: map[net.Conn]bool{}}
	g.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", target())
			if err != nil || !g.pass(c, up) {
				c.Close()
				if err == nil {
					up.Close()
				}
				continue
			}
			for _, way := range [][2]net.Conn{{up, c}, {c, up}} {
				g.wg.Go(func() {
					_, _ = io.Copy(way[0], way[1]) // ends with either
					c.Close()
					up.Close()
				})
			}
		}
	})
	t.Cleanup(func() { l.Close(); g.set(true); g.wg.Wait() })
	return g
}

func (g *gate) pass(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		if !g.shut {
			g.open[c] = true
		}
	}
	return !g.shut
}

// set shuts the gate, for what is open too, or opens it.
func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	for c := range g.open {
		if shut {
			c.Close()
			delete(g.open, c)
		}
	}
}

// readyz returns what a relay says of itself, and all that it says of its log.
func readyz(addr string) (ready bool, log string) {
	res, err := http.Get("http://" + addr + "/readyz")
	if err != nil {
		return false, ""
	}
	defer res.Body.Close()
	var said struct {
		Ready   bool
		Reasons []struct{ Name, Error string }
	}
	if json.NewDecoder(res.Body).Decode(&said) != nil || said.Ready != (res.StatusCode == http.StatusOK) {
		return false, ""
	}
	for _, r := range said.Reasons {
		if r.Name == "log" {
			log += r.Error
		}
	}
	return said.Ready, log
}

// sick begins a world whose relay's engine is about to suffer. Over it all the
// connections to the services have to stay, and nothing but what the test says
// may be lost.
type sick struct {
	*world
	*follower
	p     *process
	dials [3]int64 // by service, once all are joined
	stop  context.CancelFunc
	over  sync.WaitGroup
}

func newSick(t *testing.T, talk bool, more string) *sick {
	t.Helper()
	s := &sick{world: newWorld(t, more)}
	s.follower = newFollower(t, s.world.addr, s.world.tell)
	s.p = begin(t, nil, "run", "-c", s.file)
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	t.Cleanup(func() { cancel(); s.over.Wait() })
	s.over.Go(func() { s.follow(ctx) })
	until(t, "all channels and sessions", s.joined)
	until(t, "a reader", func() bool { epoch, _ := s.at(); return epoch != "" })
	s.dials = s.dialled()
	if talk {
		s.talk(t)
		s.more(t, 300)
	}
	return s
}

func (s *sick) dialled() [3]int64 {
	// REST requests to Discord are connections too: sessions tell.
	return [3]int64{s.twitch.Stats().Dialled, s.irc.Stats().Dialled, s.discord.Stats().Bot("").Identifies + s.discord.Stats().Bot("").Resumes}
}

func (s *sick) said() int64 {
	return s.twitch.Stats().Messages + s.irc.Stats().Messages + s.discord.Stats().Events
}

// more waits until more was said by people.
func (s *sick) more(t *testing.T, n int64) {
	t.Helper()
	from := s.said()
	until(t, "people talk", func() bool { return s.said() >= from+n })
}

// notReady waits until the relay says that its log is sick, with a word of why, once.
func (s *sick) notReady(t *testing.T, why string) {
	t.Helper()
	until(t, "it is not ready: "+why, func() bool {
		ready, log := readyz(s.world.addr)
		return !ready && (why == "" || strings.Count(log, why) == 1)
	})
}

func (s *sick) ready(t *testing.T) {
	t.Helper()
	until(t, "it is ready again", func() bool { ready, _ := readyz(s.world.addr); return ready })
}

// end ends the relay and checks that nothing was lost.
func (s *sick) end(t *testing.T) {
	t.Helper()
	s.hush()
	defer func() {
		if t.Failed() {
			t.Logf("Twitch: %v; IRC: %v; Discord: %v", s.judges.twitch.Verdict(), s.judges.irc.Verdict(), s.judges.discord.Verdict())
			t.Logf("%.3000s", s.p.stderr.String())
		}
	}()
	until(t, "all that was said", s.fine)
	if d := s.dialled(); d != s.dials {
		t.Errorf("%v connections were made, and %v before: they did not stay", d, s.dials)
	}
	s.follower.mu.Lock()
	faults, gaps := s.faults, s.gaps
	s.follower.mu.Unlock()
	if len(faults) > 0 || gaps > 0 {
		t.Errorf("%d gaps; %s", gaps, strings.Join(faults, "\n"))
	}
	s.stop()
	s.p.stop()
	if code := s.p.end(t); code != exitOK {
		t.Errorf("exit %d: %s", code, &s.p.stderr)
	}
}

// outside is an engine of another process, as it were.
func outside(t *testing.T) (e *relay.Engine, g *gate, config string) {
	t.Helper()
	e, err := relay.StartEngine(t.Context(), &relay.EngineConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", User: "relay", Password: "hush", MaxStore: 8 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	g = newGate(t, e.Addr)
	return e, g, fmt.Sprintf("  nats: {url: \"nats://relay:hush@%v\"}\n", g.l.Addr())
}

// An engine elsewhere is cut off and back, and restarted: what people say
// meanwhile waits, and arrives once.
func TestRunEngineCutOff(t *testing.T) {
	e, g, config := outside(t)
	s := newSick(t, true, config)
	for range 2 {
		g.set(true)
		s.notReady(t, "")
		s.more(t, 300)
		g.set(false)
		s.ready(t)
		s.more(t, 300)
	}
	if err := e.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.more(t, 300)
	s.ready(t)
	s.end(t)
}

// What does not fit the buffer while the engine is away is gone, and each of its
// channels has a gap that says from when to when; the first says how many
// events it were. Discord's sessions go on behind it.
func TestRunEngineOverflow(t *testing.T) {
	_, g, config := outside(t)
	s := newSick(t, false, config+"  log: {buffer: 64KiB}\n")
	type said struct {
		channel string
		at      time.Time
	}
	sent := map[string]said{} // by platform and id
	guilds := s.discord.Guilds("")
	discord := 0
	say := func(n int) {
		for i := range n {
			m := s.twitch.Say(s.rooms[i%2], "ann", "hello")
			sent["twitch "+m.ID] = said{"twitch " + s.rooms[i%2], m.Time}
			m = s.world.irc.Say("#go", "ann", "hello")
			sent["irc "+m.ID] = said{"irc #go", m.Time}
			at, guild := time.Now(), guilds[i%len(guilds)]
			channel := discordtest.Channel(guild, 0)
			id := s.discord.Publish("", guild, discordtest.Message(channel, "ann", "hello"))
			sent["discord "+id.String()] = said{fmt.Sprint("discord ", channel), at}
			discord++
		}
	}
	got := func(n int) func() bool {
		return func() bool {
			s.follower.mu.Lock()
			defer s.follower.mu.Unlock()
			for _, id := range s.ids {
				if _, ok := sent[id]; ok {
					n--
				}
			}
			return n <= 0
		}
	}
	say(50)
	until(t, "what is said first", func() bool { return got(150)() })
	g.set(true)
	shut := time.Now()
	s.notReady(t, "")
	say(1000)
	until(t, "nothing waits for room any more, since the engine is away for good", func() bool { return time.Since(shut) > 6*time.Second })
	g.set(false)
	s.ready(t)
	last := s.twitch.Say("ann", "ann", "the end")
	until(t, "what is said last", func() bool {
		s.follower.mu.Lock()
		defer s.follower.mu.Unlock()
		return slices.Contains(slices.Collect(maps.Values(s.ids)), "twitch "+last.ID)
	})
	s.stop()
	s.over.Wait()
	missing := maps.Clone(sent)
	for _, id := range s.ids {
		delete(missing, id)
	}
	dropped := 0
	for id, m := range missing {
		if !slices.ContainsFunc(s.lost[m.channel], func(g lostSpan) bool { return !m.at.Before(g.from) && !m.at.After(g.to) }) {
			t.Errorf("%s of %s, said %v, is missing and in no gap of %+v", id, m.channel, m.at, s.lost[m.channel])
			break
		}
	}
	for _, gaps := range s.lost {
		for _, g := range gaps {
			dropped += g.dropped
		}
	}
	if len(missing) < 100 || dropped != len(missing) {
		t.Errorf("%d are missing of %d, and gaps say that %d are", len(missing), len(sent), dropped)
	}
	if d := s.dialled(); d != s.dials {
		t.Errorf("%v connections were made, and %v before: they did not stay", d, s.dials)
	}
	s.p.stop()
	if code := s.p.end(t); code != exitOK {
		t.Errorf("exit %d: %s", code, &s.p.stderr)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(s.file), "state", "sessions"))
	if err != nil {
		t.Fatal(err)
	}
	acked := 0
	for _, m := range regexp.MustCompile(`"seq":(\d+)`).FindAllSubmatch(text, -1) {
		n, _ := strconv.Atoi(string(m[1])) // it is digits
		acked += n
	}
	if acked < discord {
		t.Errorf("%d events are acknowledged to Discord's sessions, and %d messages were sent", acked, discord)
	}
}

// saying is what people say one after the other, and which of it was heard.
type saying struct {
	*sick
	ids []string
}

// say lets one say n things, and waits until the reader has them.
func (s *saying) say(t *testing.T, n int) {
	t.Helper()
	for range n {
		s.ids = append(s.ids, "twitch "+s.twitch.Say("ann", "ann", "hello").ID)
	}
	until(t, "what is said", func() bool { return s.has(s.ids[len(s.ids)-1]) })
}

func (s *saying) has(id string) bool {
	s.follower.mu.Lock()
	defer s.follower.mu.Unlock()
	for _, k := range s.follower.ids {
		if k == id {
			return true
		}
	}
	return false
}

// hole waits for a gap that the reader is told of, and checks its extent.
func (s *saying) hole(t *testing.T, reason string, from, to time.Time) {
	t.Helper()
	var e envelope
	until(t, "a gap", func() bool {
		s.follower.mu.Lock()
		defer s.follower.mu.Unlock()
		if len(s.holes) > 0 {
			e, s.holes = s.holes[0], s.holes[1:]
		}
		return e.Gap != nil
	})
	a, b := instant(e.Gap.From), instant(e.Gap.To)
	if e.Gap.Reason != reason || a.IsZero() || a.After(from) || a.Before(from.Add(-2*markEvery)) || b.Before(to.Truncate(time.Millisecond)) || b.After(time.Now()) {
		t.Errorf("gap %+v, want %s, from at most %v, to at least %v", e.Gap, reason, from, to)
	}
}

func (s *saying) noFaults(t *testing.T) {
	t.Helper()
	s.follower.mu.Lock()
	defer s.follower.mu.Unlock()
	if len(s.faults)+len(s.holes) > 0 {
		t.Errorf("%d gaps more; %s", len(s.holes), strings.Join(s.faults, "\n"))
	}
	seen := map[string]bool{}
	for _, id := range s.ids {
		seen[id] = true
	}
	if len(seen) < len(s.ids) {
		t.Errorf("%d different ids of %d", len(seen), len(s.ids))
	}
}

// An engine elsewhere loses the log while the relay runs. Who reads is told so,
// and goes on with what came since, under a cursor of another epoch; so does a
// consumer whose cursor the relay keeps.
func TestRunEngineWiped(t *testing.T) {
	e, _, config := outside(t)
	s := &saying{sick: newSick(t, false, config)}
	n := &named{t: t, addr: s.world.addr}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	s.over.Go(func() { n.follow(ctx, "bot") })
	begun := time.Now()
	s.say(t, 100)
	was, before := s.at()
	seen := func() uint64 { n.mu.Lock(); defer n.mu.Unlock(); return n.seen }
	until(t, "the named consumer", func() bool { return seen() >= before })
	wiped := time.Now()
	js, err := jetstream.New(e.Conn())
	if err == nil {
		err = js.DeleteStream(t.Context(), "EV")
	}
	if err != nil {
		t.Fatal(err)
	}
	s.say(t, 100)
	s.hole(t, "epoch", begun, wiped)
	s.ready(t)
	is, last := s.at()
	if is == was || last >= before {
		t.Errorf("it is at %s:%d, and was at %s:%d", is, last, was, before)
	}
	until(t, "the named consumer", func() bool { return seen() >= last && seen() < before })
	s.noFaults(t)
	res, err := http.Post(fmt.Sprintf("http://%s/v1/ack?consumer=bot&cursor=%s:%d", s.world.addr, was, before), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "epoch") {
		t.Errorf("an acknowledgement of before: %s: %s", res.Status, text)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.faults) > 0 {
		t.Error(n.faults)
	}
}

// The log's directory is removed while no relay runs.
func TestRunLogRemoved(t *testing.T) {
	s := &saying{sick: newSick(t, false, "")}
	s.say(t, 50)
	was, _ := s.at()
	s.p.stop()
	s.p.end(t)
	if err := os.RemoveAll(filepath.Join(filepath.Dir(s.file), "state", "log")); err != nil {
		t.Fatal(err)
	}
	begin(t, nil, "run", "-c", s.file)
	until(t, "all channels and sessions", s.joined)
	s.say(t, 50)
	s.follower.mu.Lock()
	defer s.follower.mu.Unlock()
	if len(s.holes) != 1 || s.holes[0].Gap.Reason != "epoch" || s.holes[0].Gap.To == "" || s.epoch == was || len(s.faults) > 0 {
		t.Errorf("gaps %+v, epoch %s after %s, %v", s.holes, s.epoch, was, s.faults)
	}
}

// Who comes back with a cursor that is older than the log is told from when to
// when entries are missing, and goes on with the oldest.
func TestRunRetention(t *testing.T) {
	s := &saying{sick: newSick(t, false, "  log: {max_bytes: 256KiB}\n")}
	begun := time.Now()
	s.say(t, 10)
	epoch, seq := s.at()
	for range 20 {
		s.say(t, 100)
	}
	_, last := s.at()
	s.p.stop() // what it has in memory would do
	s.p.end(t)
	begin(t, nil, "run", "-c", s.file)
	late := newFollower(t, s.world.addr, nil)
	late.epoch, late.seq = epoch, seq
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	s.over.Go(func() { late.follow(ctx) })
	until(t, "the end of the log", func() bool { _, at := late.at(); return at >= last })
	other := &saying{sick: &sick{follower: late}}
	late.mu.Lock()
	holes := slices.Clone(late.holes)
	late.mu.Unlock()
	if len(holes) == 0 {
		t.Fatal("no gap")
	}
	gap := holes[0]
	for range holes { // another one if the log loses more meanwhile
		other.hole(t, "retention", begun, begun)
	}
	other.noFaults(t)
	if n := uint64(gap.Gap.Dropped); n < 100 || gap.Cursor.Seq != seq+n {
		t.Errorf("%d dropped up to %d, after %d", n, gap.Cursor.Seq, seq)
	}
}
