package irc

import (
	"errors"
	"strings"
	"testing"

	twitch "github.com/gempir/go-twitch-irc/v4"
)

func TestDecode(t *testing.T) {
	msg, err := Decode(mustParse(t, replyLine))
	p, ok := msg.(*twitch.PrivateMessage)
	if err != nil || !ok {
		t.Fatalf("Decode = %T, %v", msg, err)
	}
	if p.Raw != replyLine || p.Channel != "room" || p.Message != "Kappa Kappa ü Keepo" || p.ID != "m-1" || p.Bits != 100 ||
		p.User.Name != "someone" || p.User.DisplayName != "Some One" || p.User.Badges["subscriber"] != 18 || len(p.Emotes) != 2 {
		t.Errorf("got %+v", p)
	}
	if p.Reply == nil || p.Reply.ParentMsgBody != `hi there; \o/` || p.Tags["reply-parent-msg-body"] != `hi there; \o/` {
		t.Errorf("reply %+v", p.Reply)
	}
	if p.Source == nil || p.Source.ID != "m-s" || !p.Source.SourceOnly {
		t.Errorf("source %+v", p.Source)
	}
}

// What the struct's own parser gets wrong.
func TestDecodeMends(t *testing.T) {
	msg, err := Decode(mustParse(t, `@;x=\\s;y=\q\;msg-param-a=b\s;system-msg=gifted!\s;user-id=1 :tmi.twitch.tv  USERNOTICE   #a  :hi`))
	u, ok := msg.(*twitch.UserNoticeMessage)
	if err != nil || !ok {
		t.Fatalf("Decode = %T, %v", msg, err)
	}
	if u.SystemMsg != "gifted! " || u.Tags["x"] != `\s` || u.Tags["y"] != "q" || u.MsgParams["msg-param-a"] != "b " ||
		u.Channel != "a" || u.Message != "hi" {
		t.Errorf("got %+v", u)
	}
	if _, ok := u.Tags[""]; ok {
		t.Error("a tag without a name")
	}
	msg, err = Decode(mustParse(t, ":a!a@a WHISPER b :hello"))
	if w, ok := msg.(*twitch.WhisperMessage); !ok || err != nil || w.User.IsBroadcaster {
		t.Errorf("a whisper comes from the broadcaster: %T %v", msg, err)
	}
	msg, err = Decode(mustParse(t, ":s 001 me :Welcome"))
	if r, ok := msg.(*twitch.RawMessage); !ok || err != nil || r.RawType != "001" || r.Raw != ":s 001 me :Welcome" {
		t.Errorf("a numeric is %T, %v", msg, err)
	}
}

// Lines that make the struct's own parser panic.
var panicking = []string{
	":tmi.twitch.tv CLEARCHAT", ":tmi.twitch.tv NOTICE", ":tmi.twitch.tv ROOMSTATE", ":tmi.twitch.tv USERSTATE",
	":a!a@a WHISPER", ":tmi.twitch.tv CLEARMSG", ":tmi.twitch.tv USERNOTICE", ":a!a@a PRIVMSG",
	"@badges=foo :a!a@a PRIVMSG #a :x", "@badges=a/1,,b/2 :a!a@a PRIVMSG #a :x", "@badges=foo :tmi.twitch.tv USERSTATE #a",
	"@badges=foo :tmi.twitch.tv GLOBALUSERSTATE", "@source-id=1;source-badges=foo :a!a@a PRIVMSG #a :x",
	"@source-id=1;source-badges=a/1,, :a!a@a PRIVMSG #a :x",
	"@emotes=25:0-4 :a!a@a PRIVMSG #a :", "@emotes=25:0-4 :a!a@a PRIVMSG #a", "@emotes=25:9-2 :a!a@a PRIVMSG #a :long enough for it",
	"@emotes=25:4-0 :a!a@a PRIVMSG #a :Kappa", "@emotes=25:-1-3 :a!a@a PRIVMSG #a :Kappa",
	"@emotes=25:0-9223372036854775807 :a!a@a PRIVMSG #a :Kappa", "@emotes=25:0-4 :a!a@a WHISPER b :/me",
	"@emotes=25:0-4 :a!a@a PRIVMSG #a :\x01ACTION\x01", "@emotes=25:0-4 :a!a@a PRIVMSG #a :\x01ACTION \x01",
	"@emotes=25:0-4 :t USERNOTICE #a", "@emotes=25:0-4 :t USERNOTICE #a b c",
	"@emotes=25:2-4,1-0/1:0-0 :a!a@a PRIVMSG #a :Kappa",
}

func TestDecodeNeverPanics(t *testing.T) {
	for _, line := range panicking {
		m := mustParse(t, line)
		msg, err := Decode(m)
		var de *DecodeError
		switch {
		case m.NumParams() == 0 && m.Command() != "GLOBALUSERSTATE":
			if msg != nil || !errors.As(err, &de) || de.Command != m.Command() || !errors.Is(err, ErrSyntax) {
				t.Errorf("Decode(%q) = %T, %v, want a DecodeError that names the command", line, msg, err)
			}
		case msg == nil || err != nil:
			t.Errorf("Decode(%q) = %T, %v, want a message", line, msg, err)
		}
	}
	if _, err := Decode(new(Message)); err == nil {
		t.Error("a zero message was decoded")
	}
}

func TestDecodeKeepsWhatIsGood(t *testing.T) {
	msg, err := Decode(mustParse(t, "@badges=foo,vip/1;emotes=1:9-2/25:0-4 :a!a@a PRIVMSG #a :Kappa"))
	p, ok := msg.(*twitch.PrivateMessage)
	if err != nil || !ok || p.User.Badges["vip"] != 1 || len(p.Emotes) != 1 || p.Emotes[0].Name != "Kappa" {
		t.Fatalf("Decode = %+v, %v", msg, err)
	}
	if p.Tags["badges"] != "foo,vip/1" {
		t.Errorf("the tag badges is %q, want it as sent", p.Tags["badges"])
	}
}

func TestDecodeRecorded(t *testing.T) {
	lines := allRecorded(t)
	failed := 0
	for _, line := range lines {
		m, err := Parse(line)
		if err != nil {
			continue
		}
		if _, err := Decode(m); err != nil {
			failed++
			t.Logf("%v: %.80q", err, line)
			if !strings.Contains(err.Error(), "no parameter") {
				t.Errorf("%v: %.80q", err, line)
			}
		}
	}
	if failed > 10 {
		t.Errorf("%d of %d lines failed", failed, len(lines))
	}
}
