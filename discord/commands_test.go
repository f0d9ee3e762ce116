package discord

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	const guild, user = "41771983423143937", "53908232506183680"
	show := func(p Presence) func() ([]byte, error) { return func() ([]byte, error) { return UpdatePresence(p) } }
	voice := func(g, c string) func() ([]byte, error) {
		return func() ([]byte, error) { return UpdateVoiceState(g, c, true, false) }
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprint(18446744073709551000 + uint64(i))
	}
	for _, c := range []struct {
		frame func() ([]byte, error)
		want  string // or, without '{' in front, the error
	}{
		{show(Presence{}), `{"op":3,"d":{"since":null,"activities":[],"status":"online","afk":false}}`},
		{show(Presence{Status: "DND", Text: "<3 & more", AFK: true}), `{"op":3,"d":{"since":null,"activities":[{"name":"Custom Status","type":4,"state":"<3 & more"}],"status":"dnd","afk":true}}`},
		{show(Presence{Status: "away"}), "online, idle, dnd"},
		{show(Presence{Text: strings.Repeat("x", 4096)}), "4096"},
		{voice(guild, "1"), `{"op":4,"d":{"guild_id":"41771983423143937","channel_id":"1","self_mute":true,"self_deaf":false}}`},
		{voice(guild, ""), `{"op":4,"d":{"guild_id":"41771983423143937","channel_id":null,"self_mute":true,"self_deaf":false}}`},
		{voice("lobby", "1"), `"lobby" is not an ID`},
		{voice(guild, "+1"), "is not an ID"},
		{RequestMembers{GuildID: guild}.Frame, `{"op":8,"d":{"guild_id":"41771983423143937","query":"","limit":0}}`},
		{RequestMembers{GuildID: guild, Query: "a", Nonce: "n", Presences: true}.Frame, `{"op":8,"d":{"guild_id":"41771983423143937","query":"a","limit":100,"presences":true,"nonce":"n"}}`},
		{RequestMembers{GuildID: guild, UserIDs: []string{user}}.Frame, `{"op":8,"d":{"guild_id":"41771983423143937","user_ids":["53908232506183680"]}}`},
		{RequestMembers{GuildID: guild, UserIDs: many[:100]}.Frame, `{"op":8,`},
		{RequestMembers{GuildID: guild, UserIDs: many}.Frame, "100 at most"},
		{RequestMembers{GuildID: guild, UserIDs: []string{user}, Query: "a"}.Frame, "one of the two"},
		{RequestMembers{GuildID: guild, UserIDs: []string{"@me"}}.Frame, "is not an ID"},
		{RequestMembers{GuildID: guild, Query: "a", Limit: 101}.Frame, "1 to 100"},
		{RequestMembers{GuildID: guild, Limit: -1}.Frame, "1 to 100"},
		{RequestMembers{GuildID: guild, Nonce: strings.Repeat("ä", 17)}.Frame, "32 at most"},
		{RequestMembers{GuildID: guild, Query: strings.Repeat("q", 4096)}.Frame, "4096"},
		{RequestMembers{}.Frame, "is not an ID"},
	} {
		got, err := c.frame()
		switch {
		case err != nil:
			if strings.HasPrefix(c.want, "{") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			if strings.Contains(c.want, "4096") != errors.Is(err, ErrTooLarge) {
				t.Errorf("%v: ErrTooLarge: %v", err, errors.Is(err, ErrTooLarge))
			}
		case c.want == `{"op":8,`:
		case string(got) != c.want || !json.Valid(got):
			t.Errorf("%s, want %s", got, c.want)
		}
		if len(got) > mostFrame {
			t.Errorf("%d bytes", len(got))
		}
	}
}

func TestRequestAll(t *testing.T) {
	for want, list := range map[bool][]RequestMembers{
		true:  {{GuildID: "1"}, {GuildID: "1", Presences: true}},
		false: {{GuildID: "1", Query: "a"}, {GuildID: "1", Limit: 1}, {GuildID: "1", UserIDs: []string{"1"}}},
	} {
		for _, r := range list {
			if r.all() != want {
				t.Errorf("%+v: all() = %v", r, !want)
			}
		}
	}
}
