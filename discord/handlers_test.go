package discord

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/chatshard/chatshard/balancer"
)

// handlerEvents says which event each func of Handlers is for.
var handlerEvents = map[string]any{
	"Ready": &Dispatch{Type: "READY"}, "Resumed": &Dispatch{Type: "RESUMED", Data: []byte("null")},
	"Message": &Dispatch{Type: "MESSAGE_CREATE"}, "MessageUpdate": &Dispatch{Type: "MESSAGE_UPDATE"},
	"MessageDelete": &Dispatch{Type: "MESSAGE_DELETE"}, "MessageDeleteBulk": &Dispatch{Type: "MESSAGE_DELETE_BULK"},
	"ReactionAdd": &Dispatch{Type: "MESSAGE_REACTION_ADD"}, "ReactionRemove": &Dispatch{Type: "MESSAGE_REACTION_REMOVE"},
	"Typing": &Dispatch{Type: "TYPING_START"}, "Interaction": &Dispatch{Type: "INTERACTION_CREATE"},
	"GuildAvailable": &Dispatch{Type: "GUILD_CREATE", Backfill: true}, "GuildJoin": &Dispatch{Type: "GUILD_CREATE"}, "GuildUpdate": &Dispatch{Type: "GUILD_UPDATE"},
	"GuildUnavailable": &Dispatch{Type: "GUILD_DELETE", Data: []byte(`{"id":"1","unavailable":true}`)}, "GuildLeave": &Dispatch{Type: "GUILD_DELETE"},
	"RoleCreate": &Dispatch{Type: "GUILD_ROLE_CREATE"}, "RoleUpdate": &Dispatch{Type: "GUILD_ROLE_UPDATE"}, "RoleDelete": &Dispatch{Type: "GUILD_ROLE_DELETE"},
	"ChannelCreate": &Dispatch{Type: "CHANNEL_CREATE"}, "ChannelUpdate": &Dispatch{Type: "CHANNEL_UPDATE"}, "ChannelDelete": &Dispatch{Type: "CHANNEL_DELETE"},
	"ThreadCreate": &Dispatch{Type: "THREAD_CREATE"}, "ThreadUpdate": &Dispatch{Type: "THREAD_UPDATE"}, "ThreadDelete": &Dispatch{Type: "THREAD_DELETE"},
	"MemberAdd": &Dispatch{Type: "GUILD_MEMBER_ADD"}, "MemberUpdate": &Dispatch{Type: "GUILD_MEMBER_UPDATE"}, "MemberRemove": &Dispatch{Type: "GUILD_MEMBER_REMOVE"},
	"MembersChunk": &Dispatch{Type: "GUILD_MEMBERS_CHUNK"}, "Presence": &Dispatch{Type: "PRESENCE_UPDATE"}, "VoiceState": &Dispatch{Type: "VOICE_STATE_UPDATE"},
	"RateLimited": &Dispatch{Type: "RATE_LIMITED"}, "Other": &Dispatch{Type: "WEBHOOKS_UPDATE"},
	"Up": balancer.Up{}, "Settled": balancer.Settled{}, "Down": balancer.Down{}, "Gap": balancer.Gap{},
}

func handlerEvent(data any) balancer.Event {
	if d, ok := data.(*Dispatch); ok && d.Data == nil {
		d.Data = []byte(`{"id":"1"}`)
	}
	return balancer.Event{Data: data}
}

// Each func gets the events of its type and no others, and Other what is left.
func TestHandlers(t *testing.T) {
	var called []string
	record := func(h *Handlers, name string) {
		f := reflect.ValueOf(h).Elem().FieldByName(name)
		f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value {
			called = append(called, name)
			return nil
		}))
	}
	all := &Handlers{}
	for name := range handlerEvents {
		record(all, name)
	}
	for name, data := range handlerEvents {
		other := &Handlers{}
		record(other, "Other")
		for h, want := range map[*Handlers][]string{all: {name}, other: {"Other"}, {}: nil} {
			called = nil
			h.Handle(context.Background(), handlerEvent(data))
			if !slices.Equal(called, want) {
				t.Errorf("event for %s: called %v, want %v", name, called, want)
			}
		}
		one := &Handlers{}
		record(one, name)
		for other, data := range handlerEvents {
			called = nil
			one.Handle(context.Background(), handlerEvent(data))
			if other != name && name != "Other" && len(called) > 0 {
				t.Errorf("event for %s: called %v", other, called)
			}
		}
	}
	v := reflect.TypeFor[Handlers]()
	for i := range v.NumField() {
		if name := v.Field(i).Name; handlerEvents[name] == nil && !strings.Contains("Any Cache Invalid", name) {
			t.Errorf("%s is not tested", name)
		}
	}
	for _, data := range []any{nil, (*Dispatch)(nil), 5, balancer.CutOver{}} {
		called = nil
		all.Handle(context.Background(), handlerEvent(&Dispatch{}))
		all.Handle(context.Background(), balancer.Event{Data: data})
		if !slices.Equal(called, []string{"Other", "Other"}) {
			t.Errorf("%T: called %v, want Other", data, called)
		}
	}
}

// What cannot be decoded goes to Invalid, if its func is set, and nowhere else.
func TestHandlersInvalid(t *testing.T) {
	var got error
	h := &Handlers{
		Message:    func(_ context.Context, _ balancer.Event, m *Message) { t.Errorf("Message called with %+v", m) },
		GuildLeave: func(context.Context, balancer.Event, *UnavailableGuild) { t.Error("GuildLeave called") },
		Other:      func(_ context.Context, e balancer.Event) {},
		Invalid:    func(_ context.Context, _ balancer.Event, err error) { got = err },
	}
	for _, kind := range []string{"MESSAGE_CREATE", "GUILD_DELETE"} {
		for _, data := range []string{"", "null", "{", `{"id":[]}`, "[]"} {
			got = nil
			h.Handle(context.Background(), balancer.Event{Data: &Dispatch{Type: kind, Data: []byte(data)}})
			var de *DecodeError
			if !errors.As(got, &de) || de.Type != kind {
				t.Errorf("%s of %q: Invalid got %v", kind, data, got)
			}
		}
	}
	got = nil
	h.Handle(context.Background(), balancer.Event{Data: &Dispatch{Type: "TYPING_START", Data: []byte("{")}})
	if got != nil {
		t.Errorf("an event without a func was decoded: %v", got)
	}
	h.Invalid = nil
	h.Handle(context.Background(), balancer.Event{Data: &Dispatch{Type: "MESSAGE_CREATE", Data: []byte("{")}})
}

// Handing on what nobody wants decoded allocates nothing.
func TestHandlersAllocate(t *testing.T) {
	n := 0
	h := &Handlers{
		Message: func(context.Context, balancer.Event, *Message) {},
		Other:   func(context.Context, balancer.Event) { n++ },
	}
	e := handlerEvent(&Dispatch{Type: "PRESENCE_UPDATE"})
	if a := testing.AllocsPerRun(100, func() { h.Handle(context.Background(), e) }); a > 0 || n == 0 {
		t.Errorf("%v allocations, Other called %d times", a, n)
	}
}

// The cache knows of an event before its func is called.
func TestHandlersCache(t *testing.T) {
	c := NewMemoryCache(nil)
	found := false
	h := &Handlers{Cache: c, GuildJoin: func(_ context.Context, _ balancer.Event, g *Guild) { _, found = c.Guild(g.ID) }}
	h.Handle(context.Background(), balancer.Event{Data: &Dispatch{Type: "GUILD_CREATE", Data: []byte(guildCreateJSON)}})
	if !found {
		t.Error("the guild is not in the cache")
	}
	var got error
	h.Invalid = func(_ context.Context, _ balancer.Event, err error) { got = err }
	h.Handle(context.Background(), balancer.Event{Data: &Dispatch{Type: "CHANNEL_UPDATE", Data: []byte("{")}})
	if got == nil {
		t.Error("Invalid was not told of the cache's error")
	}
}
