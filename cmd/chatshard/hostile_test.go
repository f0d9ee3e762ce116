package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
	"github.com/chatshard/chatshard/irc"
	"github.com/chatshard/chatshard/irc/irctest"
	"github.com/rs/zerolog"
)

// served is a pipeline that listens.
type served struct {
	*pipeline
	addr   string
	stdout *spool
	close  func()
}

// serving opens a pipeline whose log is in dir, and serves it.
func serving(t *testing.T, dir string) *served {
	t.Helper()
	out := new(spool)
	also := newOutput(out)
	var c relayConfig
	c.defaults()
	c.Log.Dir = dir
	c.NATS.Listen, c.NATS.Token = "127.0.0.1:0", "nats-token"
	p, err := newPipeline(t.Context(), &c, newCursor(), also, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() { ended <- p.server.Serve(ctx, l) }()
	closed := sync.OnceFunc(func() {
		within, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		err := p.log.Close(within)
		stop()
		if served := <-ended; served != nil {
			t.Error(served)
		}
		if err != nil {
			t.Error(err)
		}
		_ = p.close(within) // what is left; the log has been closed
		if err := also.close(within); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(closed)
	return &served{p, l.Addr().String(), out, closed}
}

// sent is an event on its way in, and what must come out.
type sent struct {
	enc *encoder
	ev  balancer.Event
	raw string
}

func lineEvent(t testing.TB, enc *encoder, key, line string) sent {
	t.Helper()
	m, err := irc.Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	return sent{enc, balancer.Event{Key: balancer.Key(key), ID: m.EventID(), Data: m}, m.Raw()}
}

func payloadEvent(t testing.TB, enc *encoder, kind, data string) sent {
	t.Helper()
	d := dispatchOf(t, []byte(`{"t":"`+kind+`","s":1,"op":0,"d":`+data+`}`))
	return sent{enc, balancer.Event{Shard: balancer.ShardID{Count: 1}, Data: d}, string(d.Raw)}
}

// hostile is what somebody says who wants to break something.
func hostile(t testing.TB) (all []sent) {
	twitch, plain, bot := testEncoder("twitch", ""), testEncoder("irc", "net.*.>"), testEncoder("discord", "")
	plain.account = "bot \x00*\xff"
	texts := []string{
		"\x00\x01\x1b[2J\x7f", "data: x\r\revent: end\rid: 7", "\u2028\u2029\u0085", "\xff\xfe\xc3(\xed\xa0\x80\xf4\x90\x80\x80", "\ufeff\ufffd\u202e",
		`"}],"kind":"gap","raw":"\`, `\u0000\ud800`, "{\"v\":1,\"id\":\"x\"}", "</script><!--", strings.Repeat("\\\"\x00\xff", 15_000), "\t ",
	}
	for i, text := range texts {
		id := fmt.Sprintf("id-%d", i)
		all = append(all,
			lineEvent(t, twitch, "willow", "@id="+id+";room-id=9001;user-id=5;display-name=\\s\\r\\n\\:;emotes=25:0-0,9-4/:1-1/x;badges=,/,a/b/c;tmi-sent-ts=1767366247001 :ann!ann@ann PRIVMSG #willow :"+text),
			lineEvent(t, plain, "#a*b>c.?", "@msgid="+id+";account=\\s*\\s :"+strings.NewReplacer(" ", "", "\x00", "").Replace("n*>."+text[:1])+"!u@h PRIVMSG #a*b>c.? :"+text),
			lineEvent(t, plain, "", ":a\xff\x00!b@c KICK #\x07\xff, \x01\r :"+text),
		)
		said, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, payloadEvent(t, bot, "MESSAGE_CREATE",
			`{"id":"`+fmt.Sprint(1100000000000000000+int64(i))+`","type":0,"content":`+string(said)+`,"channel_id":"7","guild_id":"8","author":{"id":"5 *","username":`+string(said)+`},"x":"`+"\\ud800\u2028\xff\x7f"+`"}`))
	}
	all = append(all,
		lineEvent(t, plain, "", "\x00"),
		lineEvent(t, plain, "", "@ :  : :"),
		lineEvent(t, plain, strings.Repeat("#*.>", 5000), ":x PRIVMSG "+strings.Repeat("#*.>", 5000)+" :long name"),
		lineEvent(t, plain, "#x", "@msgid="+strings.Repeat("i", 8000)+" :x PRIVMSG #x :long id"),
		lineEvent(t, plain, "#x", "@msgid=\xff :x PRIVMSG #x :one"),
		lineEvent(t, plain, "#x", "@msgid=\xfe :x PRIVMSG #x :not the same"),
		lineEvent(t, plain, "#x", "@msgid=\\\\ :x PRIVMSG #x :slash"),
		payloadEvent(t, bot, `\u0000\ud800 *`, `{}`),
		payloadEvent(t, bot, "MESSAGE_CREATE", `{"id":"1200000000000000000","content":"`+strings.Repeat(`\u0000\ud83d\"`, 60_000)+`","channel_id":"7"}`), // a MiB
		payloadEvent(t, bot, "GUILD_CREATE", `{"id":"8","x":"`+strings.Repeat("\xff", 1<<18)+`"}`),
	)
	return all
}

// TestHostileInput sends what is hostile into the log and reads it from every
// output, live and from the log: what comes out is what went in, in its order,
// each in one frame, and follows the schema.
func TestHostileInput(t *testing.T) {
	p := serving(t, t.TempDir())
	all := hostile(t)
	start := p.hub.Cursor()
	hooks := map[string]*hookSink{"webhook": newHookSink(t), "webhook array": newHookSink(t)}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	consumers := relay.NewConsumers(p.hub, cursors{must(p.engine.Store(ctx, "consumers"))})
	var hooking sync.WaitGroup
	for name, sink := range hooks {
		w := &relay.Webhook{Name: strings.ReplaceAll(name, " ", "-"), URL: sink.url, Array: name != "webhook"}
		hooking.Go(func() {
			if err := w.Run(ctx, consumers); err != nil {
				t.Error(err)
			}
		})
	}
	defer hooking.Wait()
	defer stop()
	live := map[string]func() []byte{}
	for _, name := range []string{"stream", "sse", "ws"} {
		live[name] = frames(t, p.addr, name, url.Values{})
	}
	var wg sync.WaitGroup
	var mu sync.Mutex // the order in which they go in
	order := make([]sent, 0, len(all))
	for part := range 4 { // as four shards
		wg.Go(func() {
			for i := part; i < len(all); i += 4 {
				mu.Lock()
				order = append(order, all[i])
				p.write(all[i].enc, all[i].ev, nil)
				mu.Unlock()
			}
		})
	}
	wg.Wait()

	// check looks at each envelope.
	check := func(name string, next func() []byte) (lines [][]byte) {
		t.Helper()
		for i, want := range order {
			line := next()
			if line == nil {
				t.Fatalf("%s ends after %d of %d", name, i, len(order))
			}
			got, expected := read(t, line), read(t, want.enc.append(nil, want.ev))
			if rawOf(got) != want.raw {
				t.Fatalf("%s: %d: raw is %.100q, want %.100q", name, i, rawOf(got), want.raw)
			}
			if id := want.enc.id; id != "" && got.ID != id {
				t.Errorf("%s: %d has the id %q, want %q", name, i, got.ID, id)
			}
			got.ID, got.Cursor, expected.ID, expected.Cursor = "", envelopeCursor{}, "", envelopeCursor{}
			if !reflect.DeepEqual(got, expected) {
				t.Errorf("%s: %d is %.300s", name, i, line)
			}
			lines = append(lines, line)
		}
		return lines
	}
	lines := check("stream", live["stream"])
	same := func(name string, next func() []byte) {
		t.Helper()
		for i, want := range lines {
			if line := next(); !bytes.Equal(line, want) {
				t.Fatalf("%s: %d is %.300q, want %.300q", name, i, line, want)
			}
		}
	}
	same("sse", live["sse"])
	same("ws", live["ws"])
	from := url.Values{"from": {start.String()}}
	for _, name := range []string{"stream", "sse", "ws", "poll"} {
		same(name+" from the log", frames(t, p.addr, name, from))
	}
	for name, sink := range hooks {
		same(name, sink.next)
	}
	same("NATS", stored(t, p.engine.Addr(), start.Epoch))
	printed := bufio.NewReader(strings.NewReader(waitFor(t, p.stdout, len(order))))
	check("stdout", func() []byte {
		line, err := printed.ReadBytes('\n')
		if err != nil {
			return nil
		}
		return line[:len(line)-1]
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestHostileServers: what servers send over the wire comes out of a relay that
// runs as users run it; a line of a MiB is a gap, and a WebSocket that asks for
// a channel with wildcards in its name gets it.
func TestHostileServers(t *testing.T) {
	ircd := irctest.NewIRC(&irctest.Config{SendQueue: 4 << 20})
	t.Cleanup(ircd.Close)
	at, err := ircd.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	chats, api := discordtest.New(&discordtest.Config{Bots: []discordtest.Bot{{GuildCount: 1}}}), ""
	t.Cleanup(chats.Close)
	if l, err := chats.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	} else {
		api = fmt.Sprintf("http://%v/api/v10", l)
	}
	addr := freeAddr(t)
	p := begin(t, nil, "run", "-c", written(t, "c.yaml", fmt.Sprintf(`version: 1
irc:
  net: {address: %q, tls: false, nick: "bot{shard}", channels: ["#a*b>c.?", "#other"]}
discord: {account: {token: bot-token, name: mybot}, api: %q}
relay: {listen: %q, stdout: true}
`, at, api, addr)))
	until(t, "both", func() bool {
		out := p.stdout.String()
		return strings.Count(out, `"kind":"join","flags":["self"]`) == 2 && strings.Contains(out, `"kind":"ready"`)
	})
	all := frames(t, addr, "stream", url.Values{})
	one := frames(t, addr, "ws", url.Values{"channel": {"#a*b>c.?"}, "kind": {"message"}})

	lines := []string{
		":a!b@c PRIVMSG #a*b>c.? :\x01\x02 \x1b[31m\x7f \u2028 \xff\xfe data: x", "@msgid=\xff;+x=\\s\\: :a!b@c PRIVMSG #a*b>c.? :\rid: 1\revent: end",
		":a!b@c PRIVMSG #a*b>c.? :" + strings.Repeat("\"\\\xc3", 5000), ":\xff!\xfe@\xfd PRIVMSG #a*b>c.? :}],",
	}
	for _, l := range lines {
		ircd.Raw("#a*b>c.?", l)
	}
	ircd.Raw("#other", ":a!b@c PRIVMSG #other :"+strings.Repeat("x", 1<<20))
	ircd.Raw("#other", ":a!b@c PRIVMSG #other :after")
	for _, want := range lines {
		for name, next := range map[string]func() []byte{"stream": all, "ws": one} {
			e := read(t, next())
			for e.Kind != "message" {
				e = read(t, next())
			}
			if rawOf(e) != want || e.Channel.Name != "#a*b>c.?" || e.Platform != "irc" {
				t.Errorf("%s: got %+.300v, want %.200q", name, e, want)
			}
		}
	}
	gap, after := read(t, all()), read(t, all())
	if gap.Kind != "gap" {
		gap, after = after, gap
	}
	if gap.Kind != "gap" || gap.Gap.Dropped != 1 || !strings.Contains(gap.Error, "too long") || after.Text != "after" {
		t.Errorf("got %+v and %+v, want a gap and a message", gap, after)
	}

	guild := chats.Guilds("")[0]
	text := "\x00\x1b\u2028\"}],\n\r\n\n<:x:1> \ufffd" + strings.Repeat("\U0001f408", 1000)
	id := chats.Publish("", guild, discordtest.Message(discordtest.Channel(guild, 0), "*\x01.>", text)).String()
	e := read(t, all())
	if e.ID != id || e.Text != text || e.User.Login != "*\x01.>" && e.User.Name != "*\x01.>" {
		t.Errorf("got %+v", e)
	}
	p.stop()
	if code := p.end(t); code != exitOK {
		t.Errorf("exit %d: %s", code, &p.stderr)
	}
	for line := range strings.Lines(p.stdout.String()) {
		read(t, []byte(line))
	}
}

// The shards of an account share an encoder: what they say at once comes out
// whole, in the log as on standard output.
func TestShardsAtOnce(t *testing.T) {
	p := serving(t, t.TempDir())
	enc := testEncoder("twitch", "")
	const shards, each = 8, 100
	next := frames(t, p.addr, "stream", url.Values{})
	var wg sync.WaitGroup
	for shard := range shards {
		var all []sent
		for i := range each {
			all = append(all, lineEvent(t, enc, "willow", fmt.Sprintf("@emotes=25:0-4;id=%d-%d :a!a@a PRIVMSG #willow :Kappa %[1]d-%d", shard, i)))
		}
		wg.Go(func() {
			for _, e := range all {
				p.write(e.enc, e.ev, nil)
			}
		})
	}
	wg.Wait()
	printed := strings.Split(waitFor(t, p.stdout, shards*each), "\n")
	for name, next := range map[string]func() []byte{"stream": next, "stdout": func() []byte {
		line := printed[0]
		printed = printed[1:]
		return []byte(line)
	}} {
		seen := map[string]bool{}
		for i := range shards * each {
			e := read(t, next())
			if e.Cursor.Seq != uint64(i+1) || e.Text != "Kappa "+e.ID || seen[e.ID] || len(e.Fragments) != 2 {
				t.Fatalf("%s: %d is %+v", name, i, e)
			}
			seen[e.ID] = true
		}
	}
}

// What the log does not take is there without what was received, and what is
// even then too large is a gap that says so.
func TestTooLargeForTheLog(t *testing.T) {
	if testing.Short() {
		t.Skip("tens of megabytes: not with -short")
	}
	p := serving(t, t.TempDir())
	bot := testEncoder("discord", "")
	large := strings.Repeat("x", 33<<20)
	next := frames(t, p.addr, "stream", url.Values{})
	safe := make(chan struct{}, 3)
	acked := func() { safe <- struct{}{} }
	padded := payloadEvent(t, bot, "MESSAGE_CREATE", `{"id":"1100000000000000001","content":"hi","channel_id":"7","guild_id":"8","embeds":["`+large+`"]}`)
	p.write(bot, padded.ev, acked)
	p.write(bot, payloadEvent(t, bot, "MESSAGE_CREATE", `{"id":"1100000000000000002","content":"`+large+`","channel_id":"7","guild_id":"8"}`).ev, acked)
	p.write(bot, payloadEvent(t, bot, "MESSAGE_CREATE", `{"id":"1100000000000000003","content":"after","channel_id":"7","guild_id":"8"}`).ev, acked)

	first, second, third := next(), next(), next()
	if e := read(t, first); e.ID != "1100000000000000001" || e.Text != "hi" || e.Raw != "" || e.RawOmitted != len(padded.raw) {
		t.Errorf("got %.500s", first)
	}
	if e := read(t, second); e.Kind != "gap" || e.Gap.Dropped != 1 || e.Guild == nil || e.Guild.ID != "8" || !strings.Contains(e.Error, "too large") {
		t.Errorf("got %.500s", second)
	}
	if e := read(t, third); e.Text != "after" {
		t.Errorf("got %.500s", third)
	}
	for range 3 {
		<-safe
	}
}

// A service that repeats itself after a restart of the relay is heard once.
func TestCopiesAfterRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	enc, bot := testEncoder("irc", "net"), testEncoder("discord", "")
	events := []sent{
		lineEvent(t, enc, "#x", `@msgid=back\\ :x PRIVMSG #x :one`), lineEvent(t, enc, "#x", `@msgid=b" :x PRIVMSG #x :two`), lineEvent(t, enc, "#x", ":x PRIVMSG #x :said twice"),
		payloadEvent(t, bot, "MESSAGE_CREATE", `{"id":"1100000000000000001","content":"hi","channel_id":"7"}`),
		payloadEvent(t, bot, "MESSAGE_UPDATE", `{"id":"1100000000000000001","content":"hi!","channel_id":"7","edited_timestamp":"2023-04-24T12:00:06+00:00"}`),
		payloadEvent(t, bot, "MESSAGE_UPDATE", `{"id":"1100000000000000001","content":"hi!","channel_id":"7","edited_timestamp":"2023-04-24T12:00:06+00:00","embeds":[]}`),
	}
	for range 2 {
		p := serving(t, dir)
		for _, e := range events {
			p.write(e.enc, e.ev, nil)
		}
		p.close()
	}
	p := serving(t, dir)
	p.write(enc, lineEvent(t, enc, "#x", ":x PRIVMSG #x :end").ev, nil)
	texts := map[string]int{}
	next := frames(t, p.addr, "stream", url.Values{"last": {"100"}})
	for {
		e := read(t, next())
		if texts[e.Text]++; e.Text == "end" {
			break
		}
	}
	for text, want := range map[string]int{"one": 1, "two": 1, "said twice": 2, "hi": 1, "hi!": 2} {
		if texts[text] != want {
			t.Errorf("%q came %d times, want %d", text, texts[text], want)
		}
	}
}

// What the log could not take is said with the channel's name too, which is
// what filters ask for.
func TestGapNamesItsChannel(t *testing.T) {
	p := serving(t, t.TempDir())
	twitch := testEncoder("twitch", "")
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	var subjects []relay.Subject
	for _, s := range []sent{
		lineEvent(t, twitch, "", "@room-id=9001 :a!a@a PRIVMSG #willow :x"), lineEvent(t, testEncoder("irc", "net"), "", ":a!a@a PRIVMSG #x :x"),
		payloadEvent(t, testEncoder("discord", ""), "MESSAGE_CREATE", `{"id":"1","content":"x","channel_id":"7"}`), {testEncoder("discord", ""), balancer.Event{Data: discord.Available{}}, ""},
	} {
		if s.enc.platform == "irc" {
			s.ev.Key = "#x"
		}
		entry := p.entry(s.enc, s.ev, false)
		p.lost.drop(entry, lostConn{}, nil)
		subjects = append(subjects, entry.Subject)
	}
	var got []string
	for _, gap := range p.dropped(relay.Lost{From: at, To: at, N: 7, Subjects: subjects}) {
		line := relay.AppendEnvelope(nil, relay.Cursor{Epoch: "e"}, gap.Entry.Body)
		env := read(t, line)
		if env.Channel == nil {
			env.Channel = new(envelopeChannel)
		}
		got = append(got, env.Platform+" "+env.Channel.ID+" "+env.Channel.Name)
	}
	if want := []string{"twitch 9001 willow", "irc  #x", "discord 7 ", "discord  "}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("gaps of %q, want %q", got, want)
	}
}
