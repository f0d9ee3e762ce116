package discord

import (
	"bytes"
	"encoding/json"
	"testing"
)

// What is found does not depend on the end from which it is looked for.
func FuzzSearchBack(f *testing.F) {
	for _, s := range []string{
		`{}`, `{ }`, `{"guild_id":"1"}`, `{"id":1,"x":[{"guild_id":"2","s":"\"}{\\"}], "guild_id" : "3" ,"channel_id":null}`,
		`{"a":"\\\\\"","id":"7"}`, `{"a":tru,"id":"7"`, `{},"x":{}`, messageCreateJSON, guildCreateJSON,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.TrimSpace(b)
		back, ok := searchBack(b, fieldsAll)
		if !json.Valid(b) || len(b) == 0 || b[0] != '{' || twice(b) {
			return
		}
		forth, fine := search(b, 0, fieldsAll)
		if !ok || !fine || !bytes.Equal(back.id, forth.id) || !bytes.Equal(back.guild, forth.guild) || !bytes.Equal(back.channel, forth.channel) {
			t.Errorf("searchBack(%s) = %q %v, search %q %v", b, back, ok, forth, fine)
		}
	})
}

// twice reports whether a key that is looked for stands in the object more than once.
func twice(b []byte) bool {
	for _, k := range []string{`"id"`, `"guild_id"`, `"channel_id"`} {
		if bytes.Count(b, []byte(k)) > 1 {
			return true
		}
	}
	return false
}

func BenchmarkSearch(b *testing.B) {
	for name, search := range map[string]func(b []byte) (within, bool){
		"forth": func(b []byte) (within, bool) { return search(b, 0, fieldsAll) },
		"back":  func(b []byte) (within, bool) { return searchBack(b, fieldsAll) },
	} {
		b.Run(name, func(b *testing.B) {
			data := []byte(messageCreateJSON)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if w, ok := search(data); !ok || w.id == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}
