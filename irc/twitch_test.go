package irc

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

const replyLine = `@badge-info=subscriber/22;badges=moderator/1,subscriber/18;bits=100;color=#FF69B4;custom-reward-id=rw-1;` +
	`display-name=Some\sOne;emotes=25:0-4,6-10/1902:14-18;first-msg=1;id=m-1;mod=1;` +
	`reply-parent-display-name=Other;reply-parent-msg-body=hi\sthere\:\s\\o/;reply-parent-msg-id=m-0;` +
	`reply-parent-user-id=2;reply-parent-user-login=other;reply-thread-parent-msg-id=m-t;` +
	`room-id=10;source-id=m-s;source-only=1;source-room-id=11;subscriber=1;tmi-sent-ts=1;user-id=3;vip=1 ` +
	`:someone!someone@someone.tmi.twitch.tv PRIVMSG #room :Kappa Kappa ü Keepo`

func chat(t *testing.T, line string) PrivMsg { return PrivMsg{Chatter{mustParse(t, line)}} }

func TestPrivMsg(t *testing.T) {
	m := chat(t, replyLine)
	got := []any{
		m.Channel(), m.Target(), m.RoomID(), m.UserID(), m.Login(), m.DisplayName(), m.Color(), m.Text(), m.Bits(),
		m.IsFirst(), m.IsMod(), m.IsVIP(), m.IsSubscriber(), m.IsBroadcaster(), m.RewardID(), m.HasBadge("moderator"),
		m.HasBadge("mod"), m.IsAction(),
	}
	want := []any{
		"#room", "#room", "10", "3", "someone", "Some One", "#FF69B4", "Kappa Kappa ü Keepo", 100,
		true, true, true, true, false, "rw-1", true, false, false,
	}
	if !slices.Equal(got, want) {
		t.Errorf("read\n%v, want\n%v", got, want)
	}
	if badges := maps.Collect(m.Badges()); !maps.Equal(badges, map[string]string{"moderator": "1", "subscriber": "18"}) {
		t.Errorf("badges %v", badges)
	}
	if info := maps.Collect(m.BadgeInfo()); !maps.Equal(info, map[string]string{"subscriber": "22"}) {
		t.Errorf("badge info %v", info)
	}
	reply, ok := m.Reply()
	if want := (Reply{"m-0", "2", "other", "Other", `hi there; \o/`, "m-t"}); reply != want || !ok {
		t.Errorf("Reply() = %+v, %v, want %+v", reply, ok, want)
	}
	shared, ok := m.Shared()
	if want := (Shared{"11", "m-s", true, true}); shared != want || !ok || !shared.IsCopy() {
		t.Errorf("Shared() = %+v, %v, want %+v", shared, ok, want)
	}
}

func TestPrivMsgPlain(t *testing.T) {
	m := chat(t, ":nick!user@host PRIVMSG #room :\x01ACTION waves\x01")
	if m.Text() != "waves" || m.DisplayName() != "nick" || !m.IsAction() {
		t.Errorf("%q by %q, action %v", m.Text(), m.DisplayName(), m.IsAction())
	}
	if _, ok := m.Reply(); ok {
		t.Error("a reply to nothing")
	}
	if _, ok := m.Shared(); ok {
		t.Error("part of no shared chat")
	}
	if m.IsBroadcaster() || m.IsMod() || m.IsVIP() || m.IsSubscriber() || m.Bits() != 0 {
		t.Error("a plain message has a rank or bits")
	}
	if text := chat(t, ":nick PRIVMSG #room").Text(); text != "" {
		t.Errorf("no text reads as %q", text)
	}
	if own := chat(t, "@room-id=1;source-room-id=1;user-id=1 :a PRIVMSG #a :x"); !own.IsBroadcaster() {
		t.Error("who has the room's id is the broadcaster")
	} else if shared, ok := own.Shared(); !ok || shared.IsCopy() {
		t.Error("the original of a shared chat is a copy")
	}
	if chat(t, "@vip=0 :a PRIVMSG #a :x").IsVIP() {
		t.Error("vip=0 is a VIP")
	}
}

func TestEmotes(t *testing.T) {
	tests := []struct {
		list, text string
		want       string
	}{
		{"25:0-4", "Kappa", "25 Kappa 0-5 @0"},
		{"25:0-4,6-10/1902:14-18", "Kappa Kappa ü Keepo", "25 Kappa 0-5 @0; 25 Kappa 6-11 @6; 1902 Keepo 15-20 @14"},
		{"2:4-5/1:0-1", "ab😀 cd", "2 cd 7-9 @4; 1 ab 0-2 @0"},
		{"emotesv2_x:1-1", "ü😀", "emotesv2_x 😀 2-6 @1"},
		{"25:9-2", "long enough to hold it", ""},
		{"25:0-4", "", ""},
		{"25:4-0", "Kappa", ""},
		{"25:0-5", "Kappa", ""},
		{"25:3-6", "üüüü", ""},
		{"25:-1-3", "Kappa", ""},
		{"25:0", "Kappa", ""},
		{"25", "Kappa", ""},
		{":::///,,,", "Kappa", ""},
		{"25:x-y,0-4", "Kappa", "25 Kappa 0-5 @0"},
		{"25:0-99999999999999999999", "Kappa", ""},
		{"25:2147483647-2147483647", "Kappa", ""},
		{"25:0-0", "\xff\xfe", "25 \xff 0-1 @0"},
	}
	for _, test := range tests {
		got := ""
		for e := range emotes(test.list, test.text) {
			if got != "" {
				got += "; "
			}
			got += fmt.Sprintf("%s %s %d-%d @%d", e.ID, e.Name, e.Start, e.End, e.Rune)
			if test.text[e.Start:e.End] != e.Name {
				t.Errorf("%q in %q: %q is not at %d", test.list, test.text, e.Name, e.Start)
			}
		}
		if got != test.want {
			t.Errorf("%q in %q: %q, want %q", test.list, test.text, got, test.want)
		}
	}
	m := chat(t, "@emotes=25:0-4 :a PRIVMSG #a :\x01ACTION Kappa\x01")
	for e := range m.Emotes() {
		if e.Name != "Kappa" {
			t.Errorf("an action's emote is %q, want Kappa", e.Name)
		}
	}
}

func TestUserNotice(t *testing.T) {
	u := UserNotice{Chatter{mustParse(t, `@login=ronni;msg-id=resub;msg-param-months=6;msg-param-sub-plan=Prime;`+
		`system-msg=ronni\shas\ssubscribed!\s;user-id=1 :tmi.twitch.tv USERNOTICE #a :Great`)}}
	if u.Kind() != "resub" || u.SystemMsg() != "ronni has subscribed! " || u.Login() != "ronni" || u.Text() != "Great" ||
		u.MsgParam("months") != "6" || u.Channel() != "#a" {
		t.Errorf("read %q %q %q %q %q", u.Kind(), u.SystemMsg(), u.Login(), u.Text(), u.MsgParam("months"))
	}
	if got := maps.Collect(u.MsgParams()); !maps.Equal(got, map[string]string{"months": "6", "sub-plan": "Prime"}) {
		t.Errorf("MsgParams() = %v", got)
	}
	u = UserNotice{Chatter{mustParse(t, "@msg-id=sharedchatnotice;source-msg-id=raid :tmi.twitch.tv USERNOTICE #a")}}
	if u.Kind() != "raid" || u.Text() != "" {
		t.Errorf("a copy is %q %q, want raid and no text", u.Kind(), u.Text())
	}
}

func TestClearChat(t *testing.T) {
	whole := ClearChat{mustParse(t, "@room-id=1;tmi-sent-ts=5 :tmi.twitch.tv CLEARCHAT #a")}
	ban := ClearChat{mustParse(t, "@room-id=1;target-user-id=2;tmi-sent-ts=5 :tmi.twitch.tv CLEARCHAT #a :bad")}
	timeout := ClearChat{mustParse(t, "@ban-duration=350;target-user-id=2 :tmi.twitch.tv CLEARCHAT #a :bad")}
	if !whole.IsWhole() || whole.IsPermanent() || whole.Target() != "" || whole.RoomID() != "1" {
		t.Error("the clearing of a channel is read wrongly")
	}
	if ban.IsWhole() || !ban.IsPermanent() || ban.Target() != "bad" || ban.TargetID() != "2" || ban.Duration() != 0 {
		t.Error("a ban is read wrongly")
	}
	if timeout.IsWhole() || timeout.IsPermanent() || timeout.Duration() != 350*time.Second {
		t.Error("a timeout is read wrongly")
	}
	huge := ClearChat{mustParse(t, "@ban-duration=99999999999999999999 :t CLEARCHAT #a :bad")}
	if huge.Duration() != 0 || huge.IsPermanent() {
		t.Error("a huge duration is read wrongly")
	}
	del := ClearMsg{mustParse(t, "@login=bad;room-id=;target-msg-id=m-1;tmi-sent-ts=5 :tmi.twitch.tv CLEARMSG #a :text")}
	if del.Login() != "bad" || del.TargetID() != "m-1" || del.Text() != "text" || del.RoomID() != "" {
		t.Error("a deletion is read wrongly")
	}
}

func TestRoomState(t *testing.T) {
	full := RoomState{mustParse(t, "@emote-only=0;followers-only=-1;r9k=1;rituals=0;room-id=1;slow=10;subs-only=0 :t ROOMSTATE #a")}
	if !full.IsFull() {
		t.Error("all restrictions are named")
	}
	if on, set := full.EmoteOnly(); on || !set {
		t.Error("emote-only=0 is read wrongly")
	}
	if on, set := full.Unique(); !on || !set {
		t.Error("r9k=1 is read wrongly")
	}
	if wait, set := full.Slow(); wait != 10*time.Second || !set {
		t.Error("slow=10 is read wrongly")
	}
	if age, set := full.FollowersOnly(); age != -1 || !set {
		t.Error("followers-only=-1 is read wrongly")
	}
	delta := RoomState{mustParse(t, "@followers-only=30;room-id=1 :t ROOMSTATE #a")}
	if delta.IsFull() {
		t.Error("a change is not all restrictions")
	}
	if age, set := delta.FollowersOnly(); age != 30*time.Minute || !set {
		t.Error("followers-only=30 is read wrongly")
	}
	if _, set := delta.SubsOnly(); set {
		t.Error("subs-only is not named")
	}
	if _, set := delta.Slow(); set {
		t.Error("slow is not named")
	}
}

func TestOtherTwitchViews(t *testing.T) {
	state := UserState{Chatter{mustParse(t, "@display-name=Bot;emote-sets=0,33;mod=1 :tmi.twitch.tv USERSTATE #a")}}
	if sets := slices.Collect(state.EmoteSets()); !slices.Equal(sets, []string{"0", "33"}) || !state.IsMod() {
		t.Errorf("EmoteSets() = %q", sets)
	}
	whisper := Whisper{Chatter{mustParse(t, "@message-id=306;thread-id=1_2 :a!a@a WHISPER b :hello")}}
	if whisper.Target() != "b" || whisper.Text() != "hello" || whisper.ThreadID() != "1_2" || whisper.MessageID() != "306" {
		t.Error("a whisper is read wrongly")
	}
	for line, want := range map[string]string{
		":t HOSTTARGET #a :b 10": "b 10",
		":t HOSTTARGET #a b 10":  "b 10",
		":t HOSTTARGET #a :b -":  "b 0",
		":t HOSTTARGET #a :- 5":  " 5",
		":t HOSTTARGET #a :b":    "b 0",
		":t HOSTTARGET":          " 0",
	} {
		h := HostTarget{mustParse(t, line)}
		if got := fmt.Sprint(h.Target(), " ", h.Viewers()); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
