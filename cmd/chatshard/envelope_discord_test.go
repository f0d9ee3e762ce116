package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
)

// dispatchOf returns a payload as an event has it.
func dispatchOf(t testing.TB, raw []byte) *discord.Dispatch {
	t.Helper()
	var p struct {
		T string          `json:"t"`
		S uint64          `json:"s"`
		D json.RawMessage `json:"d"`
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return &discord.Dispatch{Type: p.T, Seq: p.S, Raw: raw, Data: p.D}
}

func TestEnvelopeDiscordGolden(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "envelope", "discord.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	enc := testEncoder("discord", "")
	var out []byte
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		d := dispatchOf(t, []byte(line))
		start := len(out)
		out = enc.append(out, balancer.Event{Shard: balancer.ShardID{Gen: 1, Index: 3, Count: 16}, Data: d})
		env := read(t, out[start:])
		if want := line; d.Type != "READY" && rawOf(env) != want {
			t.Errorf("raw is %q, want %q", rawOf(env), want)
		}
		if joined := joinFragments(env); env.Fragments != nil && joined != env.Text {
			t.Errorf("fragments make %q, want %q", joined, env.Text)
		}
		out = append(out, '\n')
	}
	create := &discord.Dispatch{Type: "GUILD_CREATE", Data: []byte(`{"id":"81384788765712384","name":"` + strings.Repeat("Harbour ", 200) + `"}`), Backfill: true}
	create.Raw = []byte(`{"t":"GUILD_CREATE","s":2,"op":0,"d":` + string(create.Data) + `}`)
	for _, e := range []balancer.Event{
		{Key: "81384788765712384", Data: balancer.Gap{Dropped: 1}},
		{Data: balancer.Settled{}},
		{Data: discord.Available{Guilds: 1250, Missing: 2}},
		{Data: create},
	} {
		enc.bare = e.Data == create
		start := len(out)
		out = enc.append(out, e)
		read(t, out[start:])
		out = append(out, '\n')
	}
	if bytes.Contains(out, []byte("hunter2")) {
		t.Error("a session is printed")
	}
	golden(t, filepath.Join("testdata", "envelope", "discord.ndjson"), out)
}

func TestCustomEmoji(t *testing.T) {
	for s, want := range map[string]string{
		"<:ab:1>": "1", "<a:ab:12>x": "12", "<:a:1>": "", "<:ab:>": "", "<:ab:1": "", "<:ab1>": "", "<:": "", "<a": "", "<:a-b:1>": "",
		"<:" + strings.Repeat("a", 33) + ":1>": "", "<:ab:" + strings.Repeat("1", 21) + ">": "", "<@1>": "",
	} {
		n, id := customEmoji(s)
		if id != want || (n == 0) != (want == "") || want != "" && s[n-1] != '>' {
			t.Errorf("customEmoji(%q) = %d, %q, want %q", s, n, id, want)
		}
	}
}

func BenchmarkEnvelopeDiscord(b *testing.B) {
	text, err := os.ReadFile(filepath.Join("testdata", "envelope", "discord.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	ev := balancer.Event{Data: dispatchOf(b, bytes.Split(text, []byte("\n"))[2])}
	enc := testEncoder("discord", "")
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = enc.append(buf[:0], ev)
	}
	b.SetBytes(int64(len(buf)))
}

func FuzzEnvelopeDiscord(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("testdata", "envelope", "discord.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		d := dispatchOf(f, bytes.TrimSuffix(line, []byte("\n")))
		f.Add(d.Type, []byte(d.Data))
	}
	f.Add("MESSAGE_CREATE", []byte(`{"content":"<:ab:1><a:cd:2>\ud800","author":{},"edited_timestamp":"x"}`))
	f.Add("MESSAGE_REACTION_ADD", []byte(`{"type":19,"message_reference":{"message_id":"1"},"content":"x","emoji":{}}`))
	f.Add("MESSAGE_UPDATE", []byte(`{"id":"1","edited_timestamp":"9999-12-31T23:59:59-23:59"}`))
	f.Add("\x00\xff\n", []byte("{\"content\":\"\x00\xff\u2028\\udc00\\ud83d\\ud83d\"}"))
	f.Add("MESSAGE_CREATE", []byte(`{"id":"1","content":"`+strings.Repeat(`\u0000\"`, 1<<17)+`"}`)) // a MiB
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		raw := append(append([]byte(`{"t":"X","d":`), data...), '}')
		enc := testEncoder("discord", "")
		out := enc.append(nil, balancer.Event{Data: &discord.Dispatch{Type: kind, Raw: raw, Data: data}})
		env := read(t, out)
		if kind != "READY" && rawOf(env) != string(raw) {
			t.Fatalf("raw is %q, want %q", rawOf(env), raw)
		}
		if bytes.ContainsAny(out, "\r\n\u2028\u2029") || !utf8.Valid(out) {
			t.Fatalf("not a line of UTF-8: %q", out)
		}
		if env.Fragments != nil && joinFragments(env) != env.Text {
			t.Fatalf("fragments make %q, want %q", joinFragments(env), env.Text)
		}
	})
}
