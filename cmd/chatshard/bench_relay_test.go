package main

import (
	"testing"

	"github.com/chatshard/chatshard/cmd/chatshard/relay"
)

// Each row runs, and nothing is missing at its consumers; how fast that is says
// nothing here.
func TestRelayRowsMeasureWhatArrives(t *testing.T) {
	if !benchSupported {
		t.Skip("measures on Linux only")
	}
	for row, figures := range map[string]int{
		"relay-log": 1, "relay-append": 2, "relay-fanout": 12, "relay-whole": 2, "relay-whole-log": 2, "relay-latency": 4, "relay-memory": 4,
	} {
		if testing.Short() && row != "relay-log" && row != "relay-fanout" {
			continue // each is several processes
		}
		t.Run(row, func(t *testing.T) {
			b := &bench{part: 0.01, seconds: 1}
			if err := b.run(t.Context(), relayRows, []string{row}, 1, func(string) {}); err != nil {
				t.Fatal(err)
			}
			if len(b.figures) != figures {
				t.Fatalf("%d figures, want %d", len(b.figures), figures)
			}
			for _, f := range b.figures {
				if f.Row != row || f.Rounds != 1 || f.Ours <= 0 && f.Unit != "KiB" && f.Unit != "MiB" || f.Of == "ratio" && f.Bare == nil {
					t.Errorf("a figure is %+v", f)
				}
			}
		})
	}
}

func TestConsumersCountEnvelopes(t *testing.T) {
	line := `{"v":1,"cursor":{"epoch":"e","seq":1},"id":"b34ccfc7"}`
	frame := append([]byte{0x81, byte(len(line))}, line...)
	long := append([]byte{0x81, 126, 0, 200}, make([]byte, 200)...)
	for _, c := range []struct {
		name  string
		in    []byte
		split func([]byte) ([]byte, int)
		msg   string
		n     int
	}{
		{"NDJSON", []byte(line + "\nx"), splitLines, line, len(line) + 1},
		{"SSE", []byte("data: " + line + "\n\n"), splitLines, line, len(line) + 7},
		{"half a line", []byte(line), splitLines, "", 0},
		{"a frame", frame, splitFrames, line, len(frame)},
		{"half a frame", frame[:20], splitFrames, "", 0},
		{"a long frame", long, splitFrames, string(long[4:]), len(long)},
		{"half a long frame", long[:100], splitFrames, "", 0},
		{"an empty frame", []byte{0x89, 0}, splitFrames, "", 2},
	} {
		if msg, n := c.split(c.in); string(msg) != c.msg || n != c.n {
			t.Errorf("%s: %q, %d bytes, want %q, %d", c.name, msg, n, c.msg, c.n)
		}
	}
	if id := string(envelopeID([]byte(line))); id != "b34ccfc7" {
		t.Errorf("id %q", id)
	}
}

func TestSizedEnvelopesHaveTheirSize(t *testing.T) {
	at := relay.Cursor{Epoch: newCursor().epoch, Seq: 123_456}
	line := relay.AppendEnvelope(nil, at, sizedEnvelope(fanOutBytes, at.Epoch))
	if n := len(line); n < fanOutBytes || n > fanOutBytes+1 {
		t.Errorf("%d bytes, want %d: %s", n, fanOutBytes, line)
	}
	if kind := bodyKind(line); kind != "message" {
		t.Errorf("kind %q, want message", kind)
	}
}
