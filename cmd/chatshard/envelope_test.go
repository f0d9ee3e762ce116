package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/chatshard/chatshard/irc"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func testEncoder(platform, network string) *encoder {
	at := time.Date(2026, 1, 2, 15, 4, 7, 8_000_000, time.FixedZone("", 3600))
	return &encoder{platform: platform, network: network, account: "anonymous", cursor: &cursor{epoch: "00c0ffee00c0ffee"}, now: func() time.Time { return at }}
}

// golden compares with a file, or rewrites it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		g, w := "", ""
		if i < len(gotLines) {
			g = gotLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if g != w {
			t.Errorf("%s:%d:\n got %s\nwant %s", path, i+1, g, w)
		}
	}
}

// read decodes an envelope and refuses what does not follow the schema.
func read(t testing.TB, line []byte) envelope {
	t.Helper()
	var env envelope
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&env); err != nil || dec.More() {
		t.Fatalf("not one envelope: %v\n%.1000s", err, line)
	}
	if err := follows(t, line); err != nil {
		t.Fatalf("%v\n%.1000s", err, line)
	}
	return env
}

func rawOf(env envelope) string {
	if env.RawBase64 != nil {
		return string(env.RawBase64)
	}
	return env.Raw
}

func TestEnvelopeGolden(t *testing.T) {
	for _, c := range []struct{ name, platform, network string }{{"twitch", "twitch", ""}, {"irc", "irc", "oaknet"}} {
		text, err := os.ReadFile(filepath.Join("testdata", "envelope", c.name+".irc"))
		if err != nil {
			t.Fatal(err)
		}
		enc := testEncoder(c.platform, c.network)
		var out []byte
		seq := uint64(0)
		for line := range strings.Lines(string(text)) {
			m, err := irc.Parse(strings.TrimSuffix(line, "\n"))
			if err != nil {
				t.Fatal(err)
			}
			start := len(out)
			out = enc.append(out, balancer.Event{Shard: balancer.ShardID{Index: 3}, ID: m.EventID(), Data: m})
			env := read(t, out[start:])
			checkPlaces(t, enc, out[start:])
			if enc.noted != (m.Command() == "PRIVMSG") {
				t.Errorf("places are noted: %v, of %s", enc.noted, line)
			}
			if seq++; env.V != 1 || env.Cursor != (envelopeCursor{"00c0ffee00c0ffee", seq}) || env.Kind == "" || env.ID == "" {
				t.Errorf("bad head: %s", out[start:])
			}
			if rawOf(env) != strings.TrimSuffix(line, "\n") {
				t.Errorf("raw is %q, want %q", rawOf(env), line)
			}
			if joined := joinFragments(env); env.Fragments != nil && joined != env.Text {
				t.Errorf("fragments make %q, want %q", joined, env.Text)
			}
			out = append(out, '\n')
		}
		golden(t, filepath.Join("testdata", "envelope", c.name+".ndjson"), out)
	}
}

// checkPlaces compares what the encoder has noted of what it wrote with what is
// found there.
func checkPlaces(t *testing.T, enc *encoder, line []byte) {
	t.Helper()
	var found relay.Meta
	found.Find(line)
	if noted := enc.places(); noted != nil && *noted != found {
		t.Errorf("noted %v, found %v in %q", *noted, found, line)
	}
}

func joinFragments(env envelope) string {
	var b strings.Builder
	for _, f := range env.Fragments {
		b.WriteString(f.Text)
	}
	return b.String()
}

func TestEpochsDiffer(t *testing.T) {
	if a, b := newCursor(), newCursor(); a.epoch == b.epoch || len(a.epoch) != 16 {
		t.Errorf("epochs %q and %q", a.epoch, b.epoch)
	}
}

func TestEnvelopeOfBalancerEvents(t *testing.T) {
	enc := testEncoder("twitch", "")
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	why := errors.New("connection reset\nby \"peer\"")
	var out []byte
	for _, ev := range []balancer.Event{
		{Data: balancer.Up{Session: &balancer.Session{State: []byte("hunter2")}}},
		{Shard: balancer.ShardID{Gen: 2, Index: 1, Count: 16}, Data: balancer.Up{Resumed: true}},
		{Data: balancer.Down{Err: why}},
		{Data: balancer.CutOver{}},
		{Key: "willow", Data: balancer.Joined{}},
		{Key: "willow", Data: balancer.Parted{}},
		{Key: "willow", Data: balancer.Parted{Err: why}},
		{Key: "willow", Data: balancer.Refused{Err: balancer.ErrFull, Until: at}},
		{Key: "willow", Data: balancer.Refused{Err: balancer.ErrFull}},
		{Key: "willow", Data: balancer.Gap{From: at, To: at.Add(time.Second), Dropped: 7, Err: balancer.ErrOverflow}},
		{Data: balancer.Gap{}},
		{Data: balancer.Gap{To: at}},
		{ID: "x", Data: struct{}{}},
		{},
	} {
		start := len(out)
		out = enc.append(out, ev)
		read(t, out[start:])
		out = append(out, '\n')
	}
	if bytes.Contains(out, []byte("hunter2")) {
		t.Error("a session is printed")
	}
	golden(t, filepath.Join("testdata", "envelope", "balancer.ndjson"), out)
}

// A reader that is too slow is told so by an envelope that is in no log.
func TestEnvelopeOfReaderGap(t *testing.T) {
	enc := testEncoder("twitch", "")
	hub, err := relay.NewHub(t.Context(), nil, &relay.HubConfig{Epoch: enc.cursor.epoch, RingEntries: 1, Now: enc.now})
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	r, err := hub.Subscribe(t.Context(), relay.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range 5000 { // more than a ring of one has room for
		if err := hub.Append(uint64(i+1), enc.appendBody(nil, testEvent(i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	var out []byte
	if err := r.Next(t.Context(), func(it *relay.Item) bool {
		out = append(append(out, it.Line...), '\n')
		return false
	}); err != nil {
		t.Fatal(err)
	}
	read(t, out)
	golden(t, filepath.Join("testdata", "envelope", "reader.ndjson"), out)
}

func TestAppendString(t *testing.T) {
	texts := []string{"", "plain", "\x00\x01\x1f\x7f", "\"\\/", "\n\r\t\b\f", "\u2028 \u2029 \u202a", "é 小 🐱", "\xff", "a\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\ufffd", "</script>"}
	for _, special := range []string{"\x00", "\x1f", "\"", "\\", "\x7f", "\xff", "é", "\u2028", "!", "]"} {
		for at := range 18 { // eight bytes are looked at together
			texts = append(texts, strings.Repeat(" ", at)+special+strings.Repeat("~", 17-at), strings.Repeat("~", at)+special+special+strings.Repeat("#", 17-at))
		}
	}
	for _, s := range texts {
		got := appendString(nil, s)
		var back string
		if err := json.Unmarshal(got, &back); err != nil || back != strings.ToValidUTF8(perByte(s), "\ufffd") {
			t.Errorf("appendString(%q) = %s, which reads %q, %v", s, got, back, err)
		}
		if bytes.ContainsAny(got, "\n\r\u2028\u2029") || !utf8.Valid(got) {
			t.Errorf("appendString(%q) = %q", s, got)
		}
	}
}

func TestAppendTime(t *testing.T) {
	zone := time.FixedZone("", -5*3600)
	for _, sec := range []int64{minTime, minTime + 1, -1, 0, 1, 951782399, 951782400, 1767366246, maxTime - 1, maxTime} {
		for _, nano := range []int64{0, 999_999, 1_000_000, 999_999_999} {
			at := time.Unix(sec, nano).In(zone)
			want := at.UTC().Format(`,"time":"2006-01-02T15:04:05.000Z"`)
			if at.IsZero() {
				want = ""
			}
			if got := string(appendTime(nil, `,"time":`, at)); got != want {
				t.Errorf("%d.%09d: %s, want %s", sec, nano, got, want)
			}
		}
	}
}

// perByte replaces each wrong byte; ToValidUTF8 replaces runs of them.
func perByte(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

func FuzzEnvelope(f *testing.F) {
	for _, name := range []string{"twitch.irc", "irc.irc"} {
		text, err := os.ReadFile(filepath.Join("testdata", "envelope", name))
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f.Add(strings.TrimSuffix(line, "\n"), "")
		}
	}
	f.Add("@emotes=25:4-0,9-2,0-0/a:0-1/:1-1;badges=a,/,b/;reply-parent-msg-id;source-room-id :x PRIVMSG # :\xff\xfe", "k\xff")
	f.Add("@msg-param-a=1;msg-param-a=2;msg-param-\xff=3;msg-param-b\xfe=;msg-param-recipient-id=\xff USERNOTICE", "")
	f.Add(":\x00!\x01@\x02 PRIVMSG #\x03 :\x04\u2028\u2029 \x7f\xc2", "#\x00 \xff*")
	f.Add(":a PRIVMSG #b :"+strings.Repeat("\x00\xff\"\\", irc.MaxLine/4-10), "")
	f.Fuzz(func(t *testing.T, line, key string) {
		m, err := irc.Parse(line)
		if err != nil {
			t.Skip("not a line: nothing to encode")
		}
		for _, enc := range []*encoder{testEncoder("twitch", ""), testEncoder("irc", "net")} {
			out := enc.append(nil, balancer.Event{Key: balancer.Key(key), Data: m})
			env := read(t, out)
			checkPlaces(t, enc, out)
			if rawOf(env) != m.Raw() {
				t.Fatalf("raw is %q, want %q", rawOf(env), m.Raw())
			}
			if bytes.ContainsAny(out, "\r\n\u2028\u2029") || !utf8.Valid(out) {
				t.Fatalf("not a line of UTF-8: %q", out)
			}
			if env.Fragments != nil && joinFragments(env) != env.Text {
				t.Fatalf("fragments make %q, want %q", joinFragments(env), env.Text)
			}
		}
	})
}

const benchLine = "@badge-info=subscriber/14;badges=moderator/1,subscriber/12;color=#1E90FF;display-name=Bert_;emotes=25:9-13/1902:0-4,15-19;first-msg=0;flags=;id=11111111-0000-4000-8000-000000000002;mod=1;returning-chatter=0;room-id=9001;subscriber=1;tmi-sent-ts=1767366246001;turbo=0;user-id=502;user-type=mod :bert_!bert_@bert_.tmi.twitch.tv PRIVMSG #willow :Keepo hi Kappa Keepo"

func TestEnvelopeAllocatesNothing(t *testing.T) {
	m, err := irc.Parse(strings.Replace(benchLine, "emotes=25:9-13/1902:0-4,15-19", "emotes=", 1))
	if err != nil {
		t.Fatal(err)
	}
	enc := testEncoder("twitch", "")
	ev := balancer.Event{Key: "willow", ID: m.EventID(), Data: m}
	buf := enc.append(nil, ev)
	if n := testing.AllocsPerRun(100, func() { buf = enc.append(buf[:0], ev) }); n > 0 {
		t.Errorf("%v allocations for an envelope, want 0", n)
	}
}

func BenchmarkEnvelope(b *testing.B) {
	for _, c := range []struct{ name, line string }{
		{"plain", strings.Replace(benchLine, "emotes=25:9-13/1902:0-4,15-19", "emotes=", 1)},
		{"emotes", benchLine},
	} {
		b.Run(c.name, func(b *testing.B) {
			m, err := irc.Parse(c.line)
			if err != nil {
				b.Fatal(err)
			}
			enc := testEncoder("twitch", "")
			ev := balancer.Event{Key: "willow", ID: m.EventID(), Data: m}
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = enc.append(buf[:0], ev)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}
