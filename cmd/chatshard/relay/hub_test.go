package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// storedLog is a log that has what a test put into it.
type storedLog struct {
	mu     sync.Mutex
	epoch  string
	first  uint64
	bodies [][]byte // of first and on
	sick   error
	reads  int
}

func newStoredLog() *storedLog { return &storedLog{epoch: "e1", first: 1} }

func (l *storedLog) add(body []byte) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bodies = append(l.bodies, body)
	return l.first + uint64(len(l.bodies)) - 1
}

// prune takes all before first away.
func (l *storedLog) prune(first uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if first > l.first {
		n := min(first-l.first, uint64(len(l.bodies)))
		l.bodies, l.first = l.bodies[n:], l.first+n
	}
}

func (l *storedLog) Append(context.Context, *Entry, func(uint64, bool, error)) error {
	return errors.ErrUnsupported
}

func (l *storedLog) Read(ctx context.Context, after, to uint64, f func(uint64, []byte) bool) (uint64, error) {
	l.mu.Lock()
	first, bodies := l.first, l.bodies
	l.reads++
	l.mu.Unlock()
	for seq := after + 1; seq <= to; seq++ {
		if seq < first {
			return seq - 1, &PrunedError{After: after, First: first}
		}
		if seq-first >= uint64(len(bodies)) {
			return seq - 1, nil
		}
		if !f(seq, bodies[seq-first]) {
			return seq, nil
		}
	}
	return to, ctx.Err()
}

func (l *storedLog) Bounds(context.Context) (string, uint64, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch, l.first, l.first + uint64(len(l.bodies)) - 1, nil
}

func (l *storedLog) At(_ context.Context, t time.Time) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, b := range l.bodies {
		var m Meta
		m.Find(b)
		if !m.time(b).Before(t) {
			return l.first + uint64(i) - 1, nil
		}
	}
	return l.first + uint64(len(l.bodies)) - 1, nil
}

func (l *storedLog) Healthy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sick
}

func (l *storedLog) Close(context.Context) error { return nil }

var testStart = time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)

// testBody is entry n, of one of seven channels, as the encoder writes it.
func testBody(n int, text string) []byte {
	quoted, _ := json.Marshal(text)
	return fmt.Appendf(nil, `{"v":1,"id":"id-%d","time":"2026-01-02T15:04:05.678Z","received":"%s","platform":"twitch","account":"anonymous","shard":"3","channel":{"id":"%d","name":"chan%d"},"kind":"message","user":{"id":"u%d","login":"ann%d","name":"Ann","color":"#FF0000","badges":[{"name":"subscriber","version":"12"}]},"text":%s,"raw":"@x :ann!ann@ann.tmi.twitch.tv PRIVMSG #forsen :x"}`,
		n, testStart.Add(time.Duration(n)*time.Second).Format(timeFormat), 9000+n%7, n%7, n%5, n%5, quoted)
}

type testHub struct {
	*Hub
	log *storedLog
	n   int
}

func newTestHub(t testing.TB, cfg *HubConfig) *testHub {
	t.Helper()
	log := newStoredLog()
	h, err := NewHub(t.Context(), log, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return &testHub{Hub: h, log: log}
}

// say appends n entries to the log and then to the hub.
func (h *testHub) say(t testing.TB, n int, text string) {
	t.Helper()
	for range n {
		h.n++
		body := testBody(h.n, text)
		if err := h.Append(h.log.add(body), body, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func subscribe(t testing.TB, h *testHub, o SubscribeOptions) *Reader {
	t.Helper()
	r, err := h.Subscribe(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// take reads n items of one batch, or fewer if it ends before.
func take(t testing.TB, r *Reader, n int) (seqs []uint64, gaps []string) {
	t.Helper()
	err := r.Next(t.Context(), func(it *Item) bool {
		if it.Gap || n%50 == 0 { // reading JSON takes most of the tests' time
			checkLine(t, it.Line, r.hub.epoch, it.Seq)
		} else if want := AppendEnvelope(nil, Cursor{r.hub.epoch, it.Seq}, []byte(envelopeStart)); !bytes.HasPrefix(it.Line, want) {
			t.Fatalf("entry %d: %s", it.Seq, it.Line)
		}
		if it.Gap {
			gaps = append(gaps, string(it.Line))
		} else {
			seqs = append(seqs, it.Seq)
		}
		n--
		return n > 0
	})
	if err != nil {
		t.Fatal(err)
	}
	return seqs, gaps
}

type testLine struct {
	V      int
	ID     string
	Cursor struct {
		Epoch string
		Seq   uint64
	}
	Received time.Time
	Channel  struct{ ID, Name string }
	Kind     string
	Text     string
	Flags    []string
	Gap      struct {
		From, To time.Time
		Dropped  uint64
		Reason   string
	}
}

func checkLine(t testing.TB, line []byte, epoch string, seq uint64) testLine {
	t.Helper()
	var l testLine
	if err := json.Unmarshal(line, &l); err != nil || l.V != 1 || l.Cursor.Epoch != epoch || l.Cursor.Seq != seq {
		t.Fatalf("entry %d: %v: %s", seq, err, line)
	}
	return l
}

func TestSeam(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newTestHub(t, &HubConfig{RingBytes: 1, RingEntries: rapid.SampledFrom([]int{10, 600, 5000}).Draw(rt, "entries")})
		long := strings.Repeat("x", rapid.SampledFrom([]int{0, 300, 3000}).Draw(rt, "length"))
		h.say(t, rapid.IntRange(0, 1500).Draw(rt, "before"), long)
		type client struct {
			r    *Reader
			want uint64
			only int // a channel, or -1
		}
		var clients []*client
		begin := func(after uint64, only int) {
			o := SubscribeOptions{From: Cursor{"e1", after}}
			if only >= 0 {
				o.Filter.Channels = []string{fmt.Sprint("chan", only)}
			}
			clients = append(clients, &client{subscribe(t, h, o), after + 1, only})
		}
		next := func(c *client, n int) {
			for int(c.want)%7 != c.only && c.only >= 0 && c.want <= uint64(h.n) {
				c.want++
			}
			if c.want > uint64(h.n) {
				return // it would wait
			}
			c.r.returned = time.Time{} // not to wait for more
			seqs, gaps := take(t, c.r, n)
			if len(gaps) > 0 {
				rt.Fatalf("a gap: %s", gaps)
			}
			for _, s := range seqs {
				for int(c.want)%7 != c.only && c.only >= 0 {
					c.want++
				}
				if s != c.want {
					rt.Fatalf("got %d, want %d", s, c.want)
				}
				c.want++
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) { h.say(t, rapid.IntRange(1, 900).Draw(rt, "n"), long) },
			"subscribe": func(rt *rapid.T) {
				begin(uint64(rapid.IntRange(0, h.n).Draw(rt, "after")), rapid.IntRange(-1, 6).Draw(rt, "only"))
			},
			"next": func(rt *rapid.T) {
				if len(clients) > 0 {
					next(rapid.SampledFrom(clients).Draw(rt, "client"), rapid.IntRange(1, 1000).Draw(rt, "n"))
				}
			},
			"drop": func(rt *rapid.T) {
				if len(clients) == 0 {
					return
				}
				c := rapid.SampledFrom(clients).Draw(rt, "client")
				c.r.Close()
				r, err := h.Subscribe(t.Context(), SubscribeOptions{From: Cursor{"e1", c.want - 1}, Filter: c.r.opts.Filter})
				if err != nil {
					rt.Fatal(err)
				}
				c.r = r
			},
			"hole": func(rt *rapid.T) { // another node wrote: this hub does not see it
				h.n++
				h.log.add(testBody(h.n, "other"))
				h.say(t, 1, long)
			},
		})
		for _, c := range clients {
			for i := 0; c.want <= uint64(h.n) && i < 10_000; i++ {
				next(c, 1<<30)
			}
			c.r.Close()
		}
	})
}

func TestLiveBatchesWaitForATick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, nil)
		r := subscribe(t, h, SubscribeOptions{})
		got := make(chan []uint64)
		go func() {
			defer close(got)
			for {
				var seqs []uint64
				if r.Next(t.Context(), func(it *Item) bool { seqs = append(seqs, it.Seq); return true }) != nil {
					return
				}
				got <- seqs
			}
		}()
		synctest.Wait()
		start := time.Now()
		h.say(t, 1, "a")
		if seqs := <-got; len(seqs) != 1 || time.Since(start) != 0 {
			t.Errorf("the first came as %v after %v, want at once", seqs, time.Since(start))
		}
		h.say(t, 1, "b")
		time.Sleep(tick / 2)
		h.say(t, 1, "c")
		if seqs := <-got; len(seqs) != 2 || time.Since(start) != tick {
			t.Errorf("the next came as %v after %v, want 2 after %v", seqs, time.Since(start), tick)
		}
		h.say(t, 1, "d")
		start = time.Now()
		h.say(t, 1, strings.Repeat("x", batchBytes))
		if seqs := <-got; len(seqs) != 2 || time.Since(start) != 0 {
			t.Errorf("64 KiB came as %v after %v, want at once", seqs, time.Since(start))
		}
		h.Close()
		for range got {
		}
	})
}

func TestBlockReadsWhatTheRingLost(t *testing.T) {
	h := newTestHub(t, &HubConfig{RingEntries: 1})
	r := subscribe(t, h, SubscribeOptions{})
	h.say(t, 5000, "x")
	var got []uint64
	for len(got) < 5000 {
		seqs, gaps := take(t, r, 700)
		if got = append(got, seqs...); gaps != nil {
			t.Fatal(gaps)
		}
	}
	for i, s := range got {
		if s != uint64(i+1) {
			t.Fatalf("entry %d is %d", i, s)
		}
	}
}

func TestDropOldest(t *testing.T) {
	h := newTestHub(t, &HubConfig{RingBytes: 1 << 20})
	r := subscribe(t, h, SubscribeOptions{Policy: DropOldest, Queue: 128 << 10, Filter: Filter{Channels: []string{"chan1"}}})
	h.say(t, 7, "x")
	if seqs, _ := take(t, r, 10); len(seqs) != 1 || seqs[0] != 1 {
		t.Fatalf("got %v, want 1", seqs)
	}
	h.say(t, 700, "x") // some 350 KiB: all in the ring
	seqs, gaps := take(t, r, 1<<20)
	if len(gaps) != 1 || len(seqs) == 0 {
		t.Fatalf("%d entries, gaps %v", len(seqs), gaps)
	}
	var l testLine
	if err := json.Unmarshal([]byte(gaps[0]), &l); err != nil {
		t.Fatal(err)
	}
	if l.Kind != "gap" || l.Gap.Reason != "slow_consumer" || int(l.Gap.Dropped)+len(seqs) != 100 ||
		l.Gap.From != testStart.Add(7*time.Second) || l.Gap.To != testStart.Add(time.Duration(l.Cursor.Seq)*time.Second) || seqs[0] <= l.Cursor.Seq {
		t.Errorf("%d entries after %s", len(seqs), gaps[0])
	}
	// Far behind, out of the ring: what is gone counts without the filter.
	h.say(t, 7000, "x")
	if _, gaps = take(t, r, 1); len(gaps) != 1 {
		t.Error("no gap")
	}
	if n := h.gaps["slow_consumer"]; n.n != 2 {
		t.Errorf("%d gaps counted, want 2", n.n)
	}
	// Who begins in the past is not slow.
	r = subscribe(t, h, SubscribeOptions{Policy: DropOldest, Queue: 128 << 10, From: Cursor{"e1", 0}})
	if seqs, gaps := take(t, r, 1<<20); len(gaps) > 0 || len(seqs) != h.n {
		t.Errorf("%d entries, gaps %v; want %d and none", len(seqs), gaps, h.n)
	}
}

func TestDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, nil)
		r := subscribe(t, h, SubscribeOptions{Policy: Disconnect, Queue: 64 << 10, Grace: 5 * time.Second, Name: "x"})
		h.say(t, 1, "x")
		take(t, r, 1)
		for range 3 { // behind, but not for long
			h.say(t, 500, "x")
			take(t, r, 1)
			time.Sleep(4 * time.Second)
			take(t, r, 1<<20)
		}
		h.say(t, 500, "x")
		take(t, r, 1)
		time.Sleep(6 * time.Second)
		err := r.Next(t.Context(), func(*Item) bool { return true })
		if slow := (*SlowError)(nil); !errors.As(err, &slow) || slow.For != 6*time.Second || !strings.Contains(err.Error(), "block") {
			t.Errorf("got %v, want a *SlowError after 6s", err)
		}
	})
}

func TestRetentionAndEpoch(t *testing.T) {
	h := newTestHub(t, &HubConfig{RingEntries: 1})
	h.say(t, 3000, "x")
	r := subscribe(t, h, SubscribeOptions{From: Cursor{"e1", 10}})
	take(t, r, 10)
	h.log.prune(1001)
	seqs, gaps := take(t, r, 100)
	if len(gaps) != 1 || len(seqs) != 99 || seqs[0] != 1001 {
		t.Fatalf("%v, gaps %v", seqs, gaps)
	}
	l := checkLine(t, []byte(gaps[0]), "e1", 1000)
	if l.Gap.Reason != "retention" || l.Gap.Dropped != 980 || l.Gap.From != testStart.Add(20*time.Second) || l.Gap.To != testStart.Add(1001*time.Second) {
		t.Errorf("gap %+v", l.Gap)
	}
	for _, c := range []Cursor{{"other", 7}, {"e1", 3001}} {
		r = subscribe(t, h, SubscribeOptions{From: c, Filter: Filter{Kinds: []string{"message"}}})
		seqs, gaps = take(t, r, 3)
		if len(gaps) != 1 || len(seqs) != 2 || seqs[0] != 1001 || !strings.Contains(gaps[0], `"reason":"epoch"`) {
			t.Errorf("from %v: %v, gaps %v", c, seqs, gaps)
		}
	}
}

func TestBackfill(t *testing.T) {
	h := newTestHub(t, nil)
	h.say(t, 100, "x")
	body := bytes.Replace(testBody(101, "y"), []byte(`"raw"`), []byte(`"flags":["first"],"raw"`), 1)
	h.n++
	if err := h.Append(h.log.add(body), body, nil); err != nil {
		t.Fatal(err)
	}
	now := testStart.Add(101 * time.Second)
	h.now = func() time.Time { return now }
	for _, c := range []struct {
		o    SubscribeOptions
		want []uint64
		mark bool
	}{
		{SubscribeOptions{Last: 2}, []uint64{100, 101}, true},
		{SubscribeOptions{Last: 3, Filter: Filter{Channels: []string{"CHAN1"}}}, []uint64{85, 92, 99}, true},
		{SubscribeOptions{Last: 1, Filter: Filter{Users: []string{"nobody"}}}, nil, true},
		{SubscribeOptions{LastFor: time.Second}, []uint64{100, 101}, true},
		{SubscribeOptions{Since: now}, []uint64{101}, false},
	} {
		r := subscribe(t, h, c.o)
		h.say(t, 1, "live")
		last := uint64(h.n)
		var got []uint64
		if c.want != nil {
			_ = r.Next(t.Context(), func(it *Item) bool {
				l := checkLine(t, it.Line, "e1", it.Seq)
				if it.Seq > 101 {
					if l.Flags != nil {
						t.Errorf("%+v: a live entry has %v", c.o, l.Flags)
					}
					return true
				}
				got = append(got, it.Seq)
				if c.mark != (len(l.Flags) > 0 && l.Flags[0] == "backfill") || it.Seq == 101 && l.Flags[len(l.Flags)-1] != "first" {
					t.Errorf("%+v: entry %d has flags %v", c.o, it.Seq, l.Flags)
				}
				return true
			})
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%+v: got %v, want %v", c.o, got, c.want)
		}
		// The next begins as this one did.
		h.mu.Lock()
		h.last, h.n = 101, 101
		h.ring.reset()
		h.mu.Unlock()
		h.log.mu.Lock()
		h.log.bodies = h.log.bodies[:101]
		h.log.mu.Unlock()
		_ = last
	}
}

func TestSubscribeRefuses(t *testing.T) {
	h := newTestHub(t, nil)
	for _, o := range []SubscribeOptions{
		{Last: 1, LastFor: 1}, {Last: -1}, {Last: maxLast + 1}, {Policy: 9}, {Grace: -1}, {Filter: Filter{Sample: 2}},
	} {
		if _, err := h.Subscribe(t.Context(), o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	for _, body := range []string{"", "{", `{"v":2,"id":"x"}`, "{\"v\":1,\n}", `{"v":1,"id":"x"`} {
		if err := h.Append(1, []byte(body), nil); !errors.Is(err, ErrEntry) {
			t.Errorf("%q: %v, want ErrEntry", body, err)
		}
	}
}

// What is noted is believed, unless it is not in the entry.
func TestAppendNoted(t *testing.T) {
	body := []byte(`{"v":1,"platform":"twitch","kind":"message","text":"a \"quoted\" word","raw":"kind"}`)
	place := func(text string) (at, end int) {
		at = bytes.LastIndex(body, []byte(text))
		return at, at + len(text)
	}
	for _, c := range []struct {
		name   string
		note   func(m *Meta) // nil: nothing is noted
		passes Filter
		does   bool
	}{
		{"not noted", nil, Filter{Kinds: []string{"message"}}, true},
		{"noted elsewhere", func(m *Meta) { at, end := place("kind"); m.Note(FieldKind, at, end, false) }, Filter{Kinds: []string{"kind"}}, true},
		{"with an escape", func(m *Meta) { at, end := place(`a \"quoted\" word`); m.Note(FieldText, at, end, true) }, Filter{Text: []string{`"quoted"`}}, true},
		{"behind the end", func(m *Meta) { m.Note(FieldKind, len(body)-2, len(body), true) }, Filter{Kinds: []string{"message"}}, true},
		{"before the start", func(m *Meta) { m.Note(FieldKind, -3, 2, false) }, Filter{Kinds: []string{"message"}}, true},
		{"the wrong way round", func(m *Meta) { m.Note(FieldKind, 9, 8, false) }, Filter{Kinds: []string{"message"}}, true},
		{"another field", func(m *Meta) { at, end := place("kind"); m.Note(FieldKind, at, end, false) }, Filter{Platforms: []string{"twitch"}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTestHub(t, nil)
			r := subscribe(t, h, SubscribeOptions{Filter: c.passes, Idle: 50 * time.Millisecond})
			var m *Meta
			if c.note != nil {
				m = new(Meta)
				c.note(m)
			}
			if err := h.Append(h.log.add(body), body, m); err != nil {
				t.Fatal(err)
			}
			if err := r.Next(t.Context(), func(*Item) bool { return true }); (err == nil) != c.does {
				t.Errorf("Next: %v; want that it passes: %v", err, c.does)
			}
		})
	}
}

func TestWithoutLog(t *testing.T) {
	h, err := NewHub(t.Context(), nil, &HubConfig{RingEntries: 1, Epoch: "e9"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	r := subscribe(t, &testHub{Hub: h}, SubscribeOptions{})
	for i := range 2000 {
		if err := h.Append(uint64(i+1), testBody(i+1, "x"), nil); err != nil {
			t.Fatal(err)
		}
	}
	seqs, gaps := take(t, r, 1<<20)
	if len(gaps) != 1 || !strings.Contains(gaps[0], "retention") || len(seqs) == 0 || seqs[len(seqs)-1] != 2000 {
		t.Errorf("%d entries, gaps %v", len(seqs), gaps)
	}
}

// A clock may have been set back between what a gap begins and ends with: the gap
// still goes from the earlier to the later.
func TestGapsGoForward(t *testing.T) {
	late := testStart.Add(24 * time.Hour)
	h, err := NewHub(t.Context(), nil, &HubConfig{RingEntries: 1, Epoch: "e9", Since: func(Cursor) time.Time { return late }})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for i := range 2000 {
		if err := h.Append(uint64(i+1), testBody(i+1, "x"), nil); err != nil {
			t.Fatal(err)
		}
	}
	r := subscribe(t, &testHub{Hub: h}, SubscribeOptions{From: Cursor{"e9", 1}})
	seqs, gaps := take(t, r, 1<<20)
	if len(gaps) != 1 || len(seqs) == 0 {
		t.Fatalf("%d entries, gaps %v", len(seqs), gaps)
	}
	var l testLine
	if err := json.Unmarshal([]byte(gaps[0]), &l); err != nil {
		t.Fatal(err)
	}
	if first := testStart.Add(time.Duration(seqs[0]) * time.Second).Truncate(time.Millisecond); !l.Gap.From.Equal(first) || !l.Gap.To.Equal(late.Truncate(time.Millisecond)) {
		t.Errorf("the gap is from %v to %v, want %v to %v", l.Gap.From, l.Gap.To, first, late)
	}
}

func TestSinceWithoutLog(t *testing.T) {
	h, err := NewHub(t.Context(), nil, &HubConfig{Epoch: "e9"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for i := range 2000 { // some blocks of them
		if err := h.Append(uint64(i+1), testBody(i+1, "x"), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []uint64{1, 512, 513, 514, 1500, 2000, 2001} {
		r := subscribe(t, &testHub{Hub: h}, SubscribeOptions{Since: testStart.Add(time.Duration(n) * time.Second)})
		if at := r.Cursor().Seq; at != n-1 {
			t.Errorf("since the time of %d: behind %d, want %d", n, at, n-1)
		}
	}
}
