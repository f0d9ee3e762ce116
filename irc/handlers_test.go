package irc

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/chatshard/chatshard/balancer"
)

// Each func gets the lines of its kind and no others.
func TestHandlers(t *testing.T) {
	kinds := map[string]string{
		"PrivMsg": ":u PRIVMSG #a :x", "UserNotice": ":t USERNOTICE #a", "ClearChat": ":t CLEARCHAT #a", "ClearMsg": ":t CLEARMSG #a :x",
		"RoomState": ":t ROOMSTATE #a", "UserState": ":t USERSTATE #a", "GlobalUserState": ":t GLOBALUSERSTATE",
		"Whisper": ":u WHISPER me :x", "HostTarget": ":t HOSTTARGET #a :b 1", "Reconnect": ":t RECONNECT", "Notice": ":t NOTICE #a :x",
		"Join": ":u JOIN #a", "Part": ":u PART #a", "Quit": ":u QUIT", "Nick": ":u NICK v", "Kick": ":u KICK #a v", "Mode": ":u MODE #a +o",
		"Topic": ":u TOPIC #a :x", "Invite": ":u INVITE me #a", "TagMsg": ":u TAGMSG #a", "Away": ":u AWAY", "Account": ":u ACCOUNT a",
		"ChgHost": ":u CHGHOST a b", "Batch": "BATCH +a b", "Cap": ":s CAP * ACK :x", "Ping": "ping x", "Pong": ":s PONG s x",
		"Error": "ERROR :bye", "Names": ":s 353 me = #a :b", "Numeric": ":s 001 me :hi", "Other": ":s WALLOPS :x",
	}
	var called []string
	h := &Handlers{}
	v := reflect.ValueOf(h).Elem()
	for name := range kinds {
		f := v.FieldByName(name)
		f.Set(reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
			called = append(called, name)
			return nil
		}))
	}
	for name, line := range kinds {
		called = nil
		h.Handle(context.Background(), balancer.Event{Data: mustParse(t, line)})
		if !slices.Equal(called, []string{name}) {
			t.Errorf("%q: called %v, want %v", line, called, name)
		}
	}
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if _, ok := kinds[name]; !ok && !strings.Contains("Any Up Down CutOver Joined Parted Refused Gap", name) {
			t.Errorf("%s is not tested", name)
		}
	}
	// A kind without a func goes to Other.
	h = &Handlers{Other: func(context.Context, *Message) { called = append(called, "Other") }}
	for name, line := range kinds {
		called = nil
		h.Handle(context.Background(), balancer.Event{Data: mustParse(t, line)})
		if !slices.Equal(called, []string{"Other"}) {
			t.Errorf("%s: called %v, want Other", name, called)
		}
	}
	h = &Handlers{}
	for _, line := range kinds {
		h.Handle(context.Background(), balancer.Event{Data: mustParse(t, line)})
	}
}

func TestHandlersControl(t *testing.T) {
	why := errors.New("why")
	id := balancer.ShardID{Index: 3}
	var called []string
	all := 0
	h := &Handlers{
		Any: func(context.Context, balancer.Event) { all++ },
		Up: func(_ context.Context, s balancer.ShardID, up balancer.Up) {
			if s == id && up.Cap == 5 {
				called = append(called, "up")
			}
		},
		Down: func(_ context.Context, s balancer.ShardID, down balancer.Down) {
			if s == id && down.Err == why {
				called = append(called, "down")
			}
		},
		CutOver: func(_ context.Context, s balancer.ShardID) { called = append(called, "cutover") },
		Joined:  func(_ context.Context, k balancer.Key) { called = append(called, "joined "+string(k)) },
		Parted: func(_ context.Context, k balancer.Key, p balancer.Parted) {
			if p.Err == why {
				called = append(called, "parted "+string(k))
			}
		},
		Refused: func(_ context.Context, k balancer.Key, r balancer.Refused) {
			if r.Err == why {
				called = append(called, "refused "+string(k))
			}
		},
		Gap: func(_ context.Context, k balancer.Key, g balancer.Gap) {
			if g.Dropped == 7 {
				called = append(called, "gap "+string(k))
			}
		},
	}
	events := []any{
		balancer.Up{Cap: 5}, balancer.Down{Err: why}, balancer.CutOver{}, balancer.Joined{}, balancer.Parted{Err: why},
		balancer.Refused{Err: why}, balancer.Gap{Dropped: 7}, "something else", nil,
	}
	for _, d := range events {
		h.Handle(context.Background(), balancer.Event{Shard: id, Key: "k", Data: d})
		(&Handlers{}).Handle(context.Background(), balancer.Event{Shard: id, Key: "k", Data: d})
	}
	want := []string{"up", "down", "cutover", "joined k", "parted k", "refused k", "gap k"}
	if !slices.Equal(called, want) || all != len(events) {
		t.Errorf("called %v and Any %d times, want %v and %d", called, all, want, len(events))
	}
}

func TestHandleAllocatesNothing(t *testing.T) {
	h := &Handlers{
		Any:     func(context.Context, balancer.Event) {},
		PrivMsg: func(_ context.Context, m PrivMsg) { sink += len(m.Channel()) + len(m.Text()) + len(m.ID()) },
		Join:    func(_ context.Context, m JoinMsg) { sink += len(m.Channel()) },
	}
	ctx := context.Background()
	for _, line := range []string{benchLine, ":u!u@h JOIN #a", ":s 001 me :x"} {
		e := balancer.Event{Data: mustParse(t, line)}
		if n := testing.AllocsPerRun(100, func() { h.Handle(ctx, e) }); n != 0 {
			t.Errorf("%.20q: %v allocations, want 0", line, n)
		}
	}
}
