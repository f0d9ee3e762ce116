package discord

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// decodeTypes are the structs that events are decoded into.
var decodeTypes = map[string]func() any{
	"READY":                func() any { return new(Ready) },
	"MESSAGE_CREATE":       func() any { return new(Message) },
	"MESSAGE_DELETE":       func() any { return new(MessageDelete) },
	"MESSAGE_DELETE_BULK":  func() any { return new(MessageDeleteBulk) },
	"MESSAGE_REACTION_ADD": func() any { return new(Reaction) },
	"TYPING_START":         func() any { return new(Typing) },
	"PRESENCE_UPDATE":      func() any { return new(PresenceUpdate) },
	"VOICE_STATE_UPDATE":   func() any { return new(VoiceState) },
	"GUILD_CREATE":         func() any { return new(Guild) },
	"GUILD_DELETE":         func() any { return new(UnavailableGuild) },
	"GUILD_ROLE_UPDATE":    func() any { return new(GuildRole) },
	"GUILD_ROLE_DELETE":    func() any { return new(RoleDelete) },
	"CHANNEL_CREATE":       func() any { return new(Channel) },
	"CHANNEL_DELETE":       func() any { return new(Channel) },
	"GUILD_MEMBER_UPDATE":  func() any { return new(Member) },
	"GUILD_MEMBER_REMOVE":  func() any { return new(MemberRemove) },
	"GUILD_MEMBERS_CHUNK":  func() any { return new(MembersChunk) },
	"INTERACTION_CREATE":   func() any { return new(Interaction) },
	"RATE_LIMITED":         func() any { return new(RateLimited) },
}

func TestDecodeMessage(t *testing.T) {
	d := &Dispatch{Type: "MESSAGE_CREATE", Data: []byte(messageCreateJSON)}
	var m Message
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"ID", m.ID, ID("1212345678901234567")},
		{"Author.Name()", m.Author.Name(), "Grace"},
		{"Member.Nick", m.Member.Nick, `The "first"`},
		{"Member.Roles", m.Member.Roles, []ID{"41771983423143936", "41771983423143937"}},
		{"Content", m.Content, "it is I, with a text of some length and an emoji \U0001F600 <:name:41771983429993937>"},
		{"Timestamp", m.Timestamp.UTC(), time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC)},
		{"EditedTimestamp", m.EditedTimestamp.IsZero(), true},
		{"Referenced.Content", m.Referenced.Content, "who is there?"},
		{"Type", m.Type, MessageReply},
		{"Mentions", len(m.Mentions), 1},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s = %v, want %v", c.what, c.got, c.want)
		}
	}
}

// The gateway reuses the memory of an event once its handler has returned.
func TestDecodeKeepsNothing(t *testing.T) {
	var strs struct {
		Content json.RawMessage `json:"content"`
		Author  map[string]any  `json:"author"`
		Mention []string        `json:"mention_roles"`
	}
	into := []any{&Message{}, &strs, new(any), new(json.RawMessage)}
	raw := []byte(`{"op":0,"d":` + messageCreateJSON + `}`)
	d := &Dispatch{Type: "MESSAGE_CREATE", Raw: raw, Data: raw[len(`{"op":0,"d":`) : len(raw)-1]}
	var before []string
	for _, v := range into {
		if err := d.Decode(v); err != nil {
			t.Fatal(err)
		}
		before = append(before, printed(t, v))
	}
	for i := range raw {
		raw[i] = '#'
	}
	// Other decodings use the decoder's own memory again.
	for range 100 {
		other := &Dispatch{Data: []byte(strings.NewReplacer("ada", "zzz", "grace", "zzzzz", "2123", "7777").Replace(messageCreateJSON))}
		if err := other.Decode(new(Message)); err != nil {
			t.Fatal(err)
		}
	}
	for i, v := range into {
		if after := printed(t, v); after != before[i] {
			t.Errorf("%T changed with the event's memory:\n%s\nwas\n%s", v, after, before[i])
		}
	}
}

func printed(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// oddData is what a broken peer might send as d.
var oddData = []string{
	``, ` `, `null`, ` null`, `nul`, `n`, `t`, `tru`, `-`, `0`, `1e999`, `""`, `"`, `"\`, `"\u`, `"\ud8`, `[`, `[]`, `[[`, `{`, `{"`, `{"\`, `{"\u`, `{"id`, `{"id"`,
	`{"id":`, `{"id":"`, `{"id":"\`, `{"id":1`, `{"id":1}`, `{"id":-}`, `{"id":1.5}`, `{"id":{}}`, `{"id":[]}`, `{"id":true}`, `{"id":null}`, `{"id":"\ud800"}`, `{"id":"1",}`, `{,}`, `{"a":1}}`,
	`{"author":null}`, `{"author":[]}`, `{"author":"x"}`, `{"roles":null}`, `{"roles":{}}`, `{"roles":[null]}`, `{"mentions":[{"id":1},{"id":"2"},null]}`, `{"timestamp":""}`, `{"timestamp":0}`,
	`{"timestamp":"yesterday"}`, `{"flags":-1}`, `{"flags":1e400}`, `{"type":99999999999999999999}`, `{"shard":[1,2,3,4]}`, `{"shard":[1]}`, `{"shard":"x"}`, `{"data":`, `{"data":{]}`, `{"token":5}`, `{"token":null}`,
	`{"permissions":"x"}`, `{"permissions":"99999999999999999999999999"}`, "{\"id\":\"\x00\"}", "{\"\x00\":1}", "\x00", "{\"content\":\"\xff\xfe\"}", `{"content":"` + "\n" + `"}`,
	strings.Repeat(`{"referenced_message":`, 20000), strings.Repeat(`[`, 100000), `{"x":` + strings.Repeat(`[`, 100000), `{"poll":` + strings.Repeat(`{"a":`, 100000),
}

// Whatever is sent, there is an error or none, and no panic; one bad event does
// not spoil those after it.
func TestDecodeOdd(t *testing.T) {
	for _, data := range oddData {
		for name, into := range decodeTypes {
			d := &Dispatch{Type: name, Data: []byte(data)}
			err := d.Decode(into())
			if err == nil && !json.Valid(d.Data) {
				t.Errorf("Decode(%.40q) into %s: no error", data, name)
			}
			var de *DecodeError
			if err != nil && (!errors.As(err, &de) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "panicked")) {
				t.Errorf("Decode(%.40q) into %s: %v", data, name, err)
			}
		}
		var m Message
		if err := (&Dispatch{Data: []byte(messageCreateJSON)}).Decode(&m); err != nil || m.Author.Name() != "Grace" {
			t.Fatalf("after %.40q: %v", data, err)
		}
	}
	for _, into := range []any{nil, Message{}, (*Message)(nil), 5, make(chan int), func() {}, new(func())} {
		if err := (&Dispatch{Type: "MESSAGE_CREATE", Data: []byte(messageCreateJSON)}).Decode(into); err == nil {
			t.Errorf("Decode into %T: no error", into)
		}
	}
	if err := (&Dispatch{Type: "MESSAGE_CREATE", Data: []byte("null")}).Decode(new(Message)); !errors.Is(err, errNoData) {
		t.Errorf("Decode of null = %v, want %v", err, errNoData)
	}
}

type panicking struct{}

func (*panicking) UnmarshalJSON([]byte) error { panic("on purpose") }

func TestDecodePanic(t *testing.T) {
	err := (&Dispatch{Type: "TYPING_START", Data: []byte("{}")}).Decode(new(panicking))
	want := "discord: decode TYPING_START into *discord.panicking: decoder panicked: on purpose"
	if err == nil || err.Error() != want {
		t.Errorf("Decode = %v, want %s", err, want)
	}
}

func TestID(t *testing.T) {
	for _, c := range []struct {
		in   string
		want ID
		ok   bool
	}{
		{`"175928847299117063"`, "175928847299117063", true}, {`175928847299117063`, "175928847299117063", true},
		{`null`, "", true}, {`""`, "", true}, {`"a\"b\u00e9"`, "a\"bé", true}, {`-5`, "-5", true},
		{`1.5`, "", false}, {`1e5`, "", false}, {`true`, "", false}, {`{}`, "", false}, {`[1]`, "", false},
	} {
		var v struct{ ID ID }
		err := (&Dispatch{Data: []byte(`{"ID":` + c.in + `}`)}).Decode(&v)
		if v.ID != c.want || (err == nil) != c.ok {
			t.Errorf("ID of %s = %q, %v, want %q", c.in, v.ID, err, c.want)
		}
	}
	// The example of Discord's reference.
	if got, want := ID("175928847299117063").Time().UTC(), time.Date(2016, 4, 30, 11, 18, 25, 796e6, time.UTC); !got.Equal(want) {
		t.Errorf("Time() = %v, want %v", got, want)
	}
	for _, id := range []ID{"", "x", "-1", "99999999999999999999999"} {
		if got := id.Time(); !got.IsZero() {
			t.Errorf("Time() of %q = %v, want zero", id, got)
		}
	}
}

func TestPermissions(t *testing.T) {
	for in, want := range map[string]Permissions{
		`"2147483647"`: 2147483647, `104324161`: 104324161, `null`: 0, `""`: 0, `"18446744073709551615"`: 1<<64 - 1,
		`"18446744073709551621"`: 5, // a 65th bit
	} {
		var r Role
		if err := (&Dispatch{Data: []byte(`{"permissions":` + in + `}`)}).Decode(&r); err != nil || r.Permissions != want {
			t.Errorf("permissions of %s = %d, %v, want %d", in, r.Permissions, err, want)
		}
	}
}

// An interaction's token prints nowhere.
func TestInteractionToken(t *testing.T) {
	var i Interaction
	d := &Dispatch{Type: "INTERACTION_CREATE", Data: []byte(`{"id":"1","token":"hush-hush","type":2,"data":{"name":"ping"},"user":{"id":"2","username":"ada"}}`)}
	if err := d.Decode(&i); err != nil {
		t.Fatal(err)
	}
	if i.Token.Reveal() != "hush-hush" || i.Sender().Name() != "ada" || string(i.Data) != `{"name":"ping"}` {
		t.Errorf("decoded %+v", i)
	}
	for _, s := range []string{fmt.Sprintf("%v %+v %#v", i, i, i), printed(t, i)} {
		if strings.Contains(s, "hush") {
			t.Errorf("the token is in %s", s)
		}
	}
	d.Data = []byte(`{"id":"1","token":12345678}`)
	if err := d.Decode(&i); err == nil || strings.Contains(err.Error(), "12345678") {
		t.Errorf("Decode = %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range oddData {
		if len(s) < 1000 {
			f.Add([]byte(s))
		}
	}
	f.Add([]byte(messageCreateJSON))
	f.Add([]byte(guildCreateJSON))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, into := range decodeTypes {
			d := &Dispatch{Type: name, Data: data}
			err := d.Decode(into())
			if err == nil && !json.Valid(data) {
				t.Errorf("%s: no error for what is no JSON", name)
			}
			if err != nil && strings.Contains(err.Error(), "panicked") {
				t.Error(err)
			}
		}
	})
}
