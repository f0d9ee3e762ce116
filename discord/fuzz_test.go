package discord

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// FuzzPeek compares what scanning finds with what encoding/json does, for
// payloads that are JSON, and checks that nothing panics or goes beyond the
// payload for those that are not.
func FuzzPeek(f *testing.F) {
	for _, s := range []string{
		`{"t":"MESSAGE_CREATE","s":3,"op":0,"d":{"type":0,"id":"1","guild_id":"2","channel_id":"3"}}`,
		`{"op":0,"d":{"a":[{"guild_id":"9"}],"guild_id":"2"},"s":3,"t":"X"}`,
		`{ "op" : 10 , "d" : { "heartbeat_interval" : 41250 } , "s" : null , "t" : null }`,
		`{"op":9,"d":true}`, `{"op":7,"d":null}`, `{"op":11}`, `{}`, `{"op":0,"t":"a\"b","s":1,"d":{"id":12}}`,
		`{"op":0,"t":"\\","s":1,"d":"x"}`, `[`, `{"op":`, `{"op":1e3}`, `{"s":18446744073709551616,"op":0}`,
	} {
		f.Add([]byte(s))
	}
	if dir, err := filepath.Glob("../../shared/data/discord/*/*.json"); err == nil {
		for _, name := range dir {
			if b, err := os.ReadFile(name); err == nil && len(b) < 4<<10 {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := peek(b)
		if err != nil {
			return
		}
		if p.d > len(b) {
			t.Fatalf("d at %d of %d", p.d, len(b))
		}
		var data []byte
		if p.d > 0 {
			data = inner(b[p.d:])
		}
		w, ok := search(data, 0, fieldsAll)
		d := &Dispatch{Type: string(p.typ), Raw: b, Data: data}
		d.KeyID()
		d.Fingerprint()
		d.Clone()
		isTrue(data, "unavailable")
		var want struct {
			Op *float64         `json:"op"`
			T  *string          `json:"t"`
			D  *json.RawMessage `json:"d"`
		}
		if !json.Valid(b) || hasTwice(b) || json.Unmarshal(b, &want) != nil || want.Op == nil {
			return
		}
		if float64(p.op) != *want.Op {
			t.Errorf("op %d, want %v", p.op, *want.Op)
		}
		if want.T != nil && !bytes.ContainsRune(p.typ, '\\') && string(p.typ) != *want.T && json.Valid(b) && isASCII(p.typ) {
			t.Errorf("t %q, want %q", p.typ, *want.T)
		}
		var fields map[string]json.RawMessage
		if want.D == nil || json.Unmarshal(*want.D, &fields) != nil || fields == nil || !ok || hasTwice(*want.D) {
			return
		}
		for name, got := range map[string][]byte{"guild_id": w.guild, "channel_id": w.channel, "id": w.id} {
			var s string
			if raw, ok := fields[name]; ok && json.Unmarshal(raw, &s) == nil && isASCII([]byte(s)) && !bytes.ContainsRune(raw, '\\') && s != "" && string(raw) != "null" && string(got) != s {
				t.Errorf("%s %q, want %q", name, got, s)
			}
		}
	})
}

// hasTwice reports whether an object may have a key twice, or one that is
// written with escapes: encoding/json takes the last one, we the first.
func hasTwice(b []byte) bool {
	for _, k := range []string{"op", "t", "s", "d", "id", "guild_id", "channel_id"} {
		if bytes.Count(bytes.ToLower(b), []byte(strconv.Quote(k))) > 1 {
			return true
		}
	}
	return bytes.ContainsRune(b, '\\') || !isASCII(b) || caseless(b)
}

// caseless reports whether a key stands there in another case, which
// encoding/json takes as well.
func caseless(b []byte) bool {
	for _, k := range []string{"op", "t", "s", "d"} {
		if bytes.Contains(bytes.ToLower(b), []byte(strconv.Quote(k))) && !bytes.Contains(b, []byte(strconv.Quote(k))) {
			return true
		}
	}
	return false
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 || c < 0x20 {
			return false
		}
	}
	return true
}

// FuzzStream feeds both decompressors with what is no stream, cut anywhere.
func FuzzStream(f *testing.F) {
	f.Add([]byte("x\x9c\x00\x00\x00\xff\xff"), 3, false)
	f.Add([]byte("(\xb5/\xfd\x00X"), 2, true)
	f.Fuzz(func(t *testing.T, b []byte, cut int, zst bool) {
		c := ZlibStream
		if zst {
			c = ZstdStream
		}
		s, err := newStream(c)
		if err != nil {
			t.Fatal(err)
		}
		defer closeStream(s)
		cut = min(max(cut, 0), len(b))
		into := &sink{max: 1 << 20}
		for _, part := range [][]byte{b[:cut], b[cut:]} {
			into.n = 0
			if err := s.read(into, bytes.NewReader(part), noMore); err != nil {
				return
			}
			if into.n > 1<<20+minRead+chunkBytes {
				t.Fatalf("payload of %d bytes", into.n)
			}
		}
	})
}

// FuzzWalk follows frames cut anywhere: how a stream is cut changes nothing.
func FuzzWalk(f *testing.F) {
	f.Add([]byte("HTTP/1.1 101\r\n\r\n\x82\x03abc\x82\x7e\x00\x80"), 5)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		cut = min(max(cut, 0), len(b))
		var one, two walker
		n := one.take(b)
		m := two.take(b[:cut])
		if m += two.take(b[cut:]); m != n {
			t.Errorf("%d messages in one piece, %d in two", n, m)
		}
		clear(one.need[one.n:]) // of heads before
		clear(two.need[two.n:])
		if one != two {
			t.Errorf("%+v in one piece, %+v in two", one, two)
		}
	})
}
