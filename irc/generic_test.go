package irc

import (
	"fmt"
	"slices"
	"testing"
)

func TestGenericViews(t *testing.T) {
	parse := func(line string) *Message { return mustParse(t, line) }
	join := JoinMsg{parse(":n!u@h JOIN #a acc :Real Name")}
	logout := AccountMsg{parse(":n!u@h ACCOUNT *")}
	mode := ModeMsg{parse(":n!u@h MODE #a +o-v x :y")}
	batch := BatchMsg{parse("BATCH +r1 netsplit a b")}
	caps := CapMsg{parse(":s CAP * LS * :sasl=PLAIN,EXTERNAL multi-prefix")}
	last := CapMsg{parse(":s CAP me ack :sasl ")}
	names := NamesMsg{parse(":s 353 me = #a :@+op +voice plain ~&x!u@h ")}
	end := NamesMsg{parse(":s 366 me #a :End of /NAMES list")}
	pairs := func(f func(func(string, string) bool)) (s string) {
		for a, b := range f {
			s += fmt.Sprintf("%s|%s ", a, b)
		}
		return s
	}
	for i, test := range []struct{ got, want any }{
		{join.Account(), "acc"}, {join.RealName(), "Real Name"}, {join.Nick(), "n"}, {join.Channel(), "#a"},
		{JoinMsg{parse(":n JOIN #a * :x")}.Account(), ""},
		{PartMsg{parse(":n PART #a :bye bye")}.Reason(), "bye bye"}, {PartMsg{parse(":n PART #a")}.Reason(), ""},
		{QuitMsg{parse(":n QUIT :Ping timeout")}.Reason(), "Ping timeout"},
		{NickMsg{parse(":n NICK :new")}.NewNick(), "new"},
		{KickMsg{parse(":n KICK #a bad :go")}.Target(), "bad"}, {KickMsg{parse(":n KICK #a bad :go")}.Reason(), "go"},
		{mode.Target(), "#a"}, {mode.Modes(), "+o-v"}, {fmt.Sprint(slices.Collect(mode.Args())), "[x y]"},
		{TopicMsg{parse(":n TOPIC #a :new topic")}.Topic(), "new topic"},
		{InviteMsg{parse(":n INVITE me #a")}.Target(), "me"}, {InviteMsg{parse(":n INVITE me #a")}.Channel(), "#a"},
		{NoticeMsg{parse("@msg-id=msg_banned :t NOTICE #a :no")}.MsgID(), "msg_banned"},
		{NoticeMsg{parse(":t NOTICE * :no")}.Target(), "*"}, {NoticeMsg{parse(":t NOTICE *")}.Text(), ""},
		{TagMsg{parse("@+typing=active :n TAGMSG #a")}.Target(), "#a"},
		{AwayMsg{parse(":n AWAY :gone")}.IsAway(), true}, {AwayMsg{parse(":n AWAY")}.IsAway(), false},
		{AwayMsg{parse(":n AWAY :gone")}.Reason(), "gone"},
		{AccountMsg{parse(":n ACCOUNT acc")}.Account(), "acc"}, {logout.Account(), ""},
		{ChgHostMsg{parse(":n CHGHOST u h")}.NewUser(), "u"}, {ChgHostMsg{parse(":n CHGHOST u h")}.NewHost(), "h"},
		{batch.Ref(), "r1"}, {batch.IsStart(), true}, {batch.Type(), "netsplit"},
		{BatchMsg{parse("BATCH -r1")}.IsStart(), false},
		{caps.Sub(), "LS"}, {caps.More(), true}, {pairs(caps.Caps()), "sasl|PLAIN,EXTERNAL multi-prefix| "},
		{last.Sub(), "ACK"}, {last.More(), false}, {pairs(last.Caps()), "sasl| "},
		{pairs(CapMsg{parse("CAP")}.Caps()), ""},
		{PingMsg{parse("PING :tmi.twitch.tv")}.Token(), "tmi.twitch.tv"},
		{PongMsg{parse(":s PONG s :tok en")}.Token(), "tok en"},
		{pairs(names.Members()), "@+|op +|voice |plain ~&|x!u@h "}, {names.Channel(), "#a"}, {names.IsEnd(), false},
		{end.IsEnd(), true}, {pairs(end.Members()), ""},
		{Numeric{parse(":s 433 * me :in use")}.Code(), 433}, {Numeric{parse(":s 433 * me :in use")}.IsError(), true},
		{Numeric{parse(":s 001 me :hi")}.Code(), 1}, {Numeric{parse(":s 903 me :ok")}.IsError(), false},
		{Numeric{parse(":s 904 me :no")}.IsError(), true}, {Numeric{parse("PING")}.Code(), -1},
	} {
		if test.got != test.want {
			t.Errorf("%d: got %v, want %v", i, test.got, test.want)
		}
	}
}
