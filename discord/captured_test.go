package discord

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bwmarrin/discordgo"
	disgo "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/gateway"
	"github.com/goccy/go-json"
)

// guildCreateJSON is a guild as it is backfilled, made up.
const guildCreateJSON = `{"id":"197038439483310086","unavailable":false,"name":"Test","icon":null,"owner_id":"80351110224678912","features":["COMMUNITY"],"large":false,"member_count":3,` +
	`"joined_at":"2020-11-04T20:46:04.571000+00:00","preferred_locale":"en-US","roles":[{"id":"197038439483310086","name":"@everyone","permissions":"104324161","position":0},{"id":"41771983423143936","name":"mods","permissions":"8","position":1}],` +
	`"channels":[{"id":"197038439483310099","type":0,"name":"general","position":0,"permission_overwrites":[{"id":"197038439483310086","type":0,"allow":"0","deny":"2048"}],"last_message_id":null,"topic":null}],` +
	`"threads":[{"id":"197038439483310100","type":11,"parent_id":"197038439483310099","name":"thread","thread_metadata":{"archived":false,"auto_archive_duration":1440,"archive_timestamp":"2021-04-12T23:40:39.855793+00:00","locked":false}}],` +
	`"members":[{"user":{"id":"80351110224678912","username":"grace","global_name":"Grace"},"nick":null,"roles":["41771983423143936"],"joined_at":"2020-11-04T20:46:04.571000+00:00","premium_since":null}],` +
	`"voice_states":[{"user_id":"80351110224678912","channel_id":"197038439483310099","session_id":"x","deaf":false}],"presences":[],"emojis":[],"stickers":[]}`

// capturedFiles returns the captured payloads, which lie beside the repository and
// not in it.
func capturedFiles(tb testing.TB) map[string][]byte {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	dir = filepath.Join(filepath.Dir(filepath.Dir(dir)), "shared", "data", "discord")
	if _, err := os.Stat(dir); err != nil {
		tb.Skip("captured traffic is not on this machine: ", dir)
	}
	files := map[string][]byte{}
	err = filepath.WalkDir(dir+"/", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return files
}

// Every dispatch that was recorded and whose type is known decodes.
func TestDecodeCaptured(t *testing.T) {
	n := 0
	for name, data := range capturedFiles(t) {
		var p struct {
			Op int
			T  string
			D  json.RawMessage
		}
		if json.Unmarshal(data, &p) != nil || decodeTypes[p.T] == nil {
			continue
		}
		n++
		d := &Dispatch{Type: p.T, Raw: data, Data: p.D}
		v := decodeTypes[p.T]()
		if err := d.Decode(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		switch v := v.(type) {
		case *Guild:
			if v.ID == "" || len(v.Roles) == 0 || len(v.Channels) == 0 || len(v.Members) == 0 || v.MemberCount == 0 {
				t.Errorf("%s: guild %q of %d roles, %d channels, %d members", name, v.ID, len(v.Roles), len(v.Channels), len(v.Members))
			}
		case *Message:
			if v.ID == "" || v.ChannelID == "" || v.Author.ID == "" || v.Timestamp.IsZero() {
				t.Errorf("%s: %+v", name, v)
			}
		case *Typing:
			if v.UserID == "" || v.Time().Year() < 2018 {
				t.Errorf("%s: %+v", name, v)
			}
		case *PresenceUpdate:
			if v.User.ID == "" || v.Status == "" {
				t.Errorf("%s: %+v", name, v)
			}
		case *Member:
			if v.UserID() == "" || v.GuildID == "" {
				t.Errorf("%s: %+v", name, v)
			}
		case *Channel:
			if v.ID == "" || v.GuildID == "" {
				t.Errorf("%s: %+v", name, v)
			}
		case *Ready:
			if v.User.ID == "" || len(v.Guilds) == 0 {
				t.Errorf("%s: %+v", name, v)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d dispatches found, want some 28", n)
	}
}

// The examples of Discord's documents decode as what they are examples of.
func TestDecodeDocumented(t *testing.T) {
	n := 0
	for name, data := range capturedFiles(t) {
		name, ok := strings.CutPrefix(filepath.ToSlash(name), "discord-api-docs-examples/")
		if !ok {
			continue
		}
		for part, event := range map[string]string{
			"resources_message__Example-Message_": "MESSAGE_CREATE", "Example-Crossposted": "MESSAGE_CREATE", "resources_guild__Example-Guild_": "GUILD_CREATE", "Example-Guild-Member": "GUILD_MEMBER_UPDATE",
			"Unavailable-Guild": "GUILD_DELETE", "resources_channel__": "CHANNEL_CREATE", "Direct-Message-Create": "MESSAGE_CREATE",
		} {
			if !strings.Contains(name, part) || !json.Valid(data) {
				continue
			}
			n++
			if err := (&Dispatch{Type: event, Data: data}).Decode(decodeTypes[event]()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n < 8 {
		t.Errorf("%d examples found, want some 10", n)
	}
}

// The structs of discordgo and disgo decode too, and keep nothing of the event.
func TestDecodePeers(t *testing.T) {
	events := map[string][]byte{"MESSAGE_CREATE": []byte(messageCreateJSON), "GUILD_CREATE": []byte(guildCreateJSON)}
	for kind, into := range map[string][]func() any{
		"MESSAGE_CREATE": {
			func() any { return new(discordgo.MessageCreate) }, func() any { return new(discordgo.Message) },
			func() any { return new(gateway.EventMessageCreate) }, func() any { return new(disgo.Message) },
		},
		"GUILD_CREATE": {func() any { return new(discordgo.GuildCreate) }, func() any { return new(gateway.EventGuildCreate) }},
	} {
		for _, into := range into {
			data := slices.Clone(events[kind])
			v := into()
			if err := (&Dispatch{Type: kind, Data: data}).Decode(v); err != nil {
				t.Error(err)
				continue
			}
			before := printed(t, v)
			for i := range data {
				data[i] = '#'
			}
			if after := printed(t, v); after != before || !strings.Contains(after, "197038439483310086") {
				t.Errorf("%T is %s\nwas %s", v, after, before)
			}
		}
	}
}

// Structs of discordgo and disgo take a guild of today as it was recorded.
func TestDecodeCapturedPeers(t *testing.T) {
	data, ok := capturedFiles(t)[filepath.Join("discordbm-zlib-stream", "msg_2.json")]
	if !ok {
		t.Skip("msg_2.json is not on this machine")
	}
	var p struct{ D json.RawMessage }
	if err := json.Unmarshal(data, &p); err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{new(discordgo.GuildCreate), new(gateway.EventGuildCreate)} {
		if err := (&Dispatch{Type: "GUILD_CREATE", Data: p.D}).Decode(v); err != nil {
			t.Error(err)
		}
	}
}
