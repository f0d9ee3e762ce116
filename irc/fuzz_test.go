package irc

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/chatshard/chatshard/balancer"
)

var seeds = []string{
	benchLine, replyLine,
	"PING :tmi.twitch.tv", "@", "@a", ":", ":x", "@a=b;c;=;;d=\\", "@id=1;id=2;id X", "@id X y :z", "@time=;tmi-sent-ts=x A",
	"@ban-duration=1;room-id=2;target-user-id=3;tmi-sent-ts=4 :tmi.twitch.tv CLEARCHAT #a :b",
	"@login=a;target-msg-id=b;tmi-sent-ts=4 :tmi.twitch.tv CLEARMSG #a :b",
	":s 353 me = #a :@a +b", ":s 005 me CHANLIMIT=#:1 PREFIX=(ov)@+ :are", ":s CAP * LS * :a=b c", "BATCH +a b c",
	":t HOSTTARGET #a :b 1", "@emotes=25:0-4,9-8/x:/ :a PRIVMSG #a :\x01ACTION ü\xff\x01", ":u MODE #a +ov b :c d", "FOO  a  b  :c  d  ",
	"@x=" + strings.Repeat(";id=", 40) + " X", strings.Repeat("a ", 100),
}

func FuzzTokenize(f *testing.F) {
	for _, s := range append(seeds, panicking...) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		m, err := Parse(line)
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Fatalf("%v is no ErrSyntax", err)
			}
			return
		}
		again := mustParse(t, m.Raw())
		if *again != *m {
			t.Fatalf("%q and its Raw() %q differ", line, m.Raw())
		}
		if m.Command() == "" {
			t.Fatalf("%q has no command", line)
		}
		size := len(m.Command()) + len(m.Source()) + len(m.Param(m.NumParams()))
		for i := range m.NumParams() {
			size += len(m.Param(i))
		}
		if size > len(line) {
			t.Fatalf("%q: the parts have %d bytes", line, size)
		}
		last := map[string]string{}
		for name, value := range m.Tags() {
			last[name] = value
		}
		var ix TagIndex
		indexed := ix.Of(m)
		for name, value := range last {
			if got, ok := m.Tag(name); got != value || !ok {
				t.Fatalf("%q: Tag(%q) = %q, %v, want %q", line, name, got, ok, value)
			}
			if got, ok := indexed.Tag(name); got != value || !ok {
				t.Fatalf("%q: with an index Tag(%q) = %q, %v, want %q", line, name, got, ok, value)
			}
		}
		for _, name := range []string{"id", "msgid", "i", "vip"} {
			want, wantOK := slowTag(m.Raw(), name)
			if got, ok := m.Tag(name); got != want || ok != wantOK {
				t.Fatalf("%q: Tag(%q) = %q, %v, want %q, %v", line, name, got, ok, want, wantOK)
			}
			if got, ok := indexed.Tag(name); got != want || ok != wantOK {
				t.Fatalf("%q: with an index Tag(%q) = %q, %v, want %q, %v", line, name, got, ok, want, wantOK)
			}
		}
		if m.Clone().Fingerprint() != m.Fingerprint() {
			t.Fatalf("%q: a clone has another fingerprint", line)
		}
		if name := m.Channel(); name != "" && !looksLikeChannel(name) {
			t.Fatalf("%q: Channel() = %q", line, name)
		}
		_, _, _ = m.EventID(), m.Sent(), m.IsAction()
		readAll(m)
		reprint(t, m)
	})
}

// readAll calls the methods of all views.
func readAll(m *Message) {
	two := func(f func(func(string, string) bool)) {
		for a, b := range f {
			sink += len(a) + len(b)
		}
	}
	c := Chatter{m}
	sink += len(c.RoomID()) + len(c.UserID()) + len(c.DisplayName()) + len(c.Color())
	two(c.Badges())
	two(c.BadgeInfo())
	_, _ = c.Shared()
	_ = c.IsBroadcaster() || c.IsMod() || c.IsVIP() || c.IsSubscriber()
	p := PrivMsg{c}
	_, _ = p.Reply()
	for e := range p.Emotes() {
		sink += len(e.Name) + len(p.Text()[e.Start:e.End])
	}
	u := UserNotice{c}
	two(u.MsgParams())
	sink += len(u.Kind()) + len(u.SystemMsg())
	sink += int(ClearChat{m}.Duration())
	_ = RoomState{m}.IsFull()
	_, _ = RoomState{m}.FollowersOnly()
	for s := range (UserState{c}).EmoteSets() {
		sink += len(s)
	}
	sink += HostTarget{m}.Viewers() + len(HostTarget{m}.Target())
	two(NamesMsg{m}.Members())
	two(CapMsg{m}.Caps())
	for s := range (ModeMsg{m}).Args() {
		sink += len(s)
	}
	sink += len(BatchMsg{m}.Ref()) + len(CapMsg{m}.Sub()) + Numeric{m}.Code()
	(&Handlers{Other: func(_ context.Context, m *Message) { sink += len(m.Raw()) }}).Handle(context.Background(), balancer.Event{Data: m})
}

func FuzzDecode(f *testing.F) {
	for _, s := range append(seeds, panicking...) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		m, err := Parse(line)
		if err != nil {
			return
		}
		msg, err := Decode(m)
		if (msg == nil) == (err == nil) {
			t.Fatalf("Decode(%q) = %v, %v", line, msg, err)
		}
		if err != nil && strings.Contains(err.Error(), "panicked") {
			t.Fatalf("Decode(%q): %v: should have been seen before", line, err)
		}
	})
}

func FuzzISupport(f *testing.F) {
	for _, s := range []string{
		"CHANLIMIT=#:120,&:10", "CHANLIMIT=:,#", "PREFIX=(qaohv)~&@%+", "PREFIX=)", "NETWORK=a\\x20b\\x", "-CASEMAPPING", "CASEMAPPING=ascii",
		"TARGMAX=JOIN:,PRIVMSG:4", "MAXCHANNELS=99999999999999999999", "=", "-", "", "CHANTYPES=", "LINELEN=-1",
	} {
		f.Add(s, "#Chan[]")
	}
	f.Fuzz(func(t *testing.T, tokens, name string) {
		var s ISupport
		for token := range strings.FieldsSeq(tokens) {
			s.AddToken(token)
		}
		for _, prefix := range []byte("#&+!") {
			if n := s.ChanLimit(prefix); n < 0 {
				t.Fatalf("%q: ChanLimit = %d", tokens, n)
			}
		}
		if modes, signs := s.Prefix(); len(modes) != len(signs) {
			t.Fatalf("%q: Prefix() = %q, %q", tokens, modes, signs)
		}
		if n, _ := s.TargMax("JOIN"); n < 0 || s.LineLen() <= 0 || s.NickLen() < 0 || s.ChannelLen() < 0 {
			t.Fatalf("%q: a length below 0", tokens)
		}
		folded := s.Fold(name)
		if s.Fold(folded) != folded || len(folded) != len(name) {
			t.Fatalf("Fold(%q) = %q is not stable", name, folded)
		}
		if s.ValidChannel(name) == nil && !s.IsChannel(name) {
			t.Fatalf("%q is valid and no channel", name)
		}
	})
}

func FuzzEncode(f *testing.F) {
	f.Add("#a", "hello", "reply-parent-msg-id", "b34c")
	f.Add("#a b", "x\r\nQUIT", "a;b", "\\;: \r\n")
	f.Add("", "", "", "")
	f.Add("&a", "\x01ACTION ü\xff\x01", "+x/y.z", strings.Repeat(";", 3000))
	f.Fuzz(func(t *testing.T, target, text, name, value string) {
		before := []byte("before")
		for _, e := range []Encoder{{}, TwitchEncoder()} {
			out, err := e.AppendPrivMsg(before, target, text, Tag{name, value})
			if err != nil {
				var le *LineError
				if !errors.As(err, &le) || string(out) != "before" {
					t.Fatalf("%v, %q", err, out)
				}
				continue
			}
			line, ok := strings.CutSuffix(strings.TrimPrefix(string(out), "before"), "\r\n")
			if !ok || strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("%q is not one line", out)
			}
			m := mustParse(t, line)
			got, has := m.Tag(name)
			if m.Command() != "PRIVMSG" || m.NumParams() != 2 || m.Param(0) != target || m.Text() != text || got != value || !has {
				t.Fatalf("%q says %q to %q with %q, want %q to %q with %q", line, m.Text(), m.Param(0), got, text, target, value)
			}
		}
		if out, err := AppendJoin(nil, target, text); err == nil {
			for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\r\n"), "\r\n") {
				if m := mustParse(t, line); m.Command() != "JOIN" || m.NumParams() != 1 {
					t.Fatalf("%q is no JOIN of one parameter", line)
				}
			}
		}
		for _, piece := range SplitText(text, 20) {
			if len(piece) > 20 || piece == "" || strings.ContainsAny(piece, "\r\n\x00") {
				t.Fatalf("SplitText(%q) has %q", text, piece)
			}
		}
	})
}
