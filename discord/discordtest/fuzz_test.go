package discordtest

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"
)

func unmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }

// FuzzClientFrame reads payloads as clients send them: no panic, and what is
// read and written again is read the same.
func FuzzClientFrame(f *testing.F) {
	for _, s := range []string{
		`{"op":1,"d":null}`, `{"op":1,"d":251}`, `{"op":2,"d":{"token":"x","properties":{"$os":"linux"},"shard":[0,1],"intents":513,"presence":null}}`,
		`{"op":3,"d":{"activities":null,"since":null,"afk":false}}`, `{"op":4,"d":{"guild_id":"1","channel_id":null}}`,
		`{"op":6,"d":{"token":"Bot x","session_id":"y","seq":1337}}`, `{"op":8,"d":{"guild_id":["1"],"query":"","limit":0}}`,
		`{"op":8,"d":{"guild_id":1,"user_ids":"2"}}`, `{"op":31,"d":{"guild_ids":["1"]}}`, `{"op":43,"d":{"guild_id":"1","fields":["status"]}}`,
		`{"d":{}}`, `[]`, `{"op":1e9}`, `{"op":"1"}`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		op, d, err := parseClient(b)
		if err != nil {
			return
		}
		for _, v := range []any{&identifyFrame{}, &resumeFrame{}, &voiceFrame{}, &membersFrame{}, &soundsFrame{}, &channelInfoFrame{}} {
			json.Unmarshal(d, v)
		}
		again, err := json.Marshal(clientFrame{&op, d})
		if err != nil {
			t.Fatalf("%q cannot be written: %v", b, err)
		}
		if len(again) > maxPayload {
			return
		}
		op2, d2, err := parseClient(again)
		if err != nil || op2 != op || !bytes.Equal(compact(d), compact(d2)) {
			t.Fatalf("%q became %q", b, again)
		}
	})
}

func compact(d []byte) []byte {
	var b bytes.Buffer
	if len(d) == 0 {
		return []byte("null")
	}
	if json.Compact(&b, d) != nil {
		return nil
	}
	b2, _ := json.Marshal(json.RawMessage(b.Bytes()))
	return b2
}

// TestStreams sends messages of many sizes through the compressors, those that
// end exactly where windows wrap among them.
func TestStreams(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var msgs [][]byte
	for i := range 300 {
		n := 1 + rnd.IntN(3000)
		switch i % 50 {
		case 7:
			n = 32 << 10
		case 8:
			n = 300 << 10
		case 9:
			n = dictSize
		}
		m := make([]byte, n)
		for k := range m {
			m[k] = "abcdefgh ijk"[rnd.IntN(12)]
		}
		msgs = append(msgs, m)
	}
	for _, name := range []string{"zlib-stream", "zstd-stream"} {
		for _, level := range []int{0, 1, 6} {
			z, err := newCompressor(name, level)
			if err != nil {
				t.Fatal(err)
			}
			var wire, plain []byte
			for _, m := range msgs {
				before := len(wire)
				wire = z.add(wire, m)
				plain = append(plain, m...)
				if name == "zlib-stream" && !bytes.HasSuffix(wire, flushed) {
					t.Fatalf("%s %d: message ends in % x", name, level, wire[max(before, len(wire)-4):])
				}
			}
			if got := inflateAll(t, name, wire, len(plain)); !bytes.Equal(got, plain) {
				t.Errorf("%s %d: %d bytes in, %d out", name, level, len(plain), len(got))
			}
		}
	}
}
