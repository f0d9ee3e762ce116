package discord

import (
	stdjson "encoding/json"
	"testing"

	"github.com/goccy/go-json"
)

// messageCreateJSON is a message as guilds have them, made up.
const messageCreateJSON = `{"type":19,"tts":false,"timestamp":"2026-03-01T12:00:00.123000+00:00","pinned":false,"nonce":"1212345678901234567",` +
	`"mentions":[{"username":"ada","public_flags":0,"id":"81384788765712384","global_name":"Ada","discriminator":"0","clan":null,"avatar_decoration_data":null,"avatar":"a0123456789abcdef0123456789abcde"}],` +
	`"mention_roles":["41771983423143936"],"mention_everyone":false,` +
	`"message_reference":{"type":0,"message_id":"1212345678901234000","guild_id":"197038439483310086","channel_id":"197038439483310099"},` +
	`"referenced_message":{"type":0,"tts":false,"timestamp":"2026-03-01T11:59:00.000000+00:00","pinned":false,"mentions":[],"mention_roles":[],"mention_everyone":false,"id":"1212345678901234000","flags":0,"embeds":[],"edited_timestamp":null,"content":"who is there?","components":[],"channel_id":"197038439483310099","author":{"username":"ada","public_flags":0,"id":"81384788765712384","global_name":"Ada","discriminator":"0","avatar":null},"attachments":[]},` +
	`"member":{"roles":["41771983423143936","41771983423143937"],"premium_since":null,"pending":false,"nick":"The \"first\"","mute":false,"joined_at":"2020-11-04T20:46:04.571000+00:00","flags":0,"deaf":false,"communication_disabled_until":null,"banner":null,"avatar":null},` +
	`"id":"1212345678901234567","flags":0,"embeds":[],"edited_timestamp":null,"content":"it is I, with a text of some length and an emoji \ud83d\ude00 <:name:41771983429993937>","components":[],` +
	`"channel_type":0,"channel_id":"197038439483310099","author":{"username":"grace","public_flags":64,"id":"80351110224678912","global_name":"Grace","discriminator":"0","clan":null,"avatar":"b0123456789abcdef0123456789abcde"},"attachments":[],"guild_id":"197038439483310086"}`

func BenchmarkDecodeMessageCreate(b *testing.B) {
	d := Dispatch{Type: "MESSAGE_CREATE", Data: []byte(messageCreateJSON)}
	for name, decode := range map[string]func(*Message) error{
		"Decode":        func(m *Message) error { return d.Decode(m) },
		"goccy":         func(m *Message) error { return json.Unmarshal(d.Data, m) },
		"encoding/json": func(m *Message) error { return stdjson.Unmarshal(d.Data, m) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(d.Data)))
			for b.Loop() {
				if err := decode(new(Message)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
