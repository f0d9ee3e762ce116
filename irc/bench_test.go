package irc

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// benchLine has the length and the tags of a mean line of a busy channel.
const benchLine = "@badge-info=subscriber/14;badges=subscriber/12,premium/1;client-nonce=4f1c7a83d2b04e6f9a5b1c2d3e4f5061;" +
	"color=#1E90FF;display-name=SampleChatter;emotes=25:0-4/1902:12-16;first-msg=0;flags=;" +
	"id=b34ccfc7-4977-403a-8a94-33c6bac34fb8;mod=0;returning-chatter=0;room-id=22484632;subscriber=1;" +
	"tmi-sent-ts=1766304000123;turbo=0;user-id=123456789;user-type= " +
	":samplechatter!samplechatter@samplechatter.tmi.twitch.tv PRIVMSG #samplestreamer :Kappa hello Keepo this is only chat yes"

func TestBenchLine(t *testing.T) {
	if len(benchLine) != 468 {
		t.Fatalf("the line of the benchmarks has %d bytes, want 468", len(benchLine))
	}
}

// bareScan is the least that anyone must do to learn id, room, channel and
// text: no checks, no message, nothing kept.
func bareScan(line string) (id, room, channel, text string) {
	if line[0] == '@' {
		n := strings.IndexByte(line, ' ')
		tags := line[1:n]
		line = line[n+1:]
		for tags != "" {
			tag := tags
			if n := strings.IndexByte(tags, ';'); n >= 0 {
				tag, tags = tags[:n], tags[n+1:]
			} else {
				tags = ""
			}
			if strings.HasPrefix(tag, "id=") {
				id = tag[len("id="):]
			} else if strings.HasPrefix(tag, "room-id=") {
				room = tag[len("room-id="):]
				break
			}
		}
	}
	if line[0] == ':' {
		line = line[strings.IndexByte(line, ' ')+1:]
	}
	line = line[strings.IndexByte(line, ' ')+1:] // the command
	n := strings.IndexByte(line, ' ')
	channel, text = line[:n], line[n+2:]
	return id, room, channel, text
}

var sink int

func bare(line string) {
	id, room, channel, text := bareScan(line)
	sink += len(id) + len(room) + len(channel) + len(text)
}

func ours(m *Message, line string) {
	if m.Tokenize(line) == nil {
		sink += len(m.Channel()) + len(m.ID()) + len(m.Text())
	}
}

func BenchmarkBareScan(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(benchLine)))
	for b.Loop() {
		bare(benchLine)
	}
}

// BenchmarkTokenizer reports as "x-bare" how it compares with the bare scan,
// both measured in turns so that neither meets a quieter machine.
func BenchmarkTokenizer(b *testing.B) {
	var m Message
	b.Run("split", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if m.Tokenize(benchLine) == nil {
				sink += len(m.Channel())
			}
		}
	})
	b.Run("id-channel-text", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(benchLine)))
		for b.Loop() {
			ours(&m, benchLine)
		}
		b.ReportMetric(inTurns([]string{benchLine}), "x-bare")
	})
	b.Run("recorded", func(b *testing.B) {
		lines := recorded(b, "twitch/xqcow-2019-09-15.irc.txt")
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			ours(&m, lines[i])
			if i++; i == len(lines) {
				i = 0
			}
		}
		b.ReportMetric(inTurns(lines), "x-bare")
	})
	b.Run("all-tags", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if m.Tokenize(benchLine) == nil {
				for name, value := range m.Tags() {
					sink += len(name) + len(value)
				}
			}
		}
	})
}

func BenchmarkHandle(b *testing.B) {
	h := &Handlers{PrivMsg: func(_ context.Context, m PrivMsg) { sink += len(m.Channel()) + len(m.Text()) }}
	ctx, e := context.Background(), balancer.Event{Data: mustParse(b, benchLine)}
	b.ReportAllocs()
	for b.Loop() {
		h.Handle(ctx, e)
	}
}

// inTurns returns the median ratio of our time over the bare scan's.
func inTurns(lines []string) float64 {
	var m Message
	var ratios []float64
	plain := lines[:0:0]
	for _, l := range lines {
		if strings.Contains(l, " PRIVMSG ") {
			plain = append(plain, l)
		}
	}
	n := 1 + 20_000/len(plain)
	for range 15 {
		start := time.Now()
		for range n {
			for _, l := range plain {
				bare(l)
			}
		}
		base := time.Since(start)
		start = time.Now()
		for range n {
			for _, l := range plain {
				ours(&m, l)
			}
		}
		ratios = append(ratios, float64(time.Since(start))/float64(base))
	}
	return median(ratios)
}
