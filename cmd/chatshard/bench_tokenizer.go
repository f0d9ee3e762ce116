package main

import (
	"runtime"
	"strings"
	"time"

	"github.com/chatshard/chatshard/irc"
)

// bareTokens is the least that anyone must do to learn id, room, channel and
// text of a line: no checks, no message, nothing kept.
func bareTokens(line string) (id, room, channel, text string) {
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
				id = tag[3:]
			} else if strings.HasPrefix(tag, "room-id=") {
				room = tag[8:]
				break
			}
		}
	}
	if line[0] == ':' {
		line = line[strings.IndexByte(line, ' ')+1:]
	}
	line = line[strings.IndexByte(line, ' ')+1:] // the command
	n := strings.IndexByte(line, ' ')
	return id, room, line[:n], line[n+2:]
}

// tokenizerLines returns PRIVMSGs of the corpus, as many as stay in a cache.
func tokenizerLines() []string {
	c := newCorpus(false)
	var lines []string
	for i := range c.lines {
		if l := &c.lines[i]; l.chat && len(lines) < 256 {
			lines = append(lines, string(c.text[l.start:l.end-2]))
		}
	}
	return lines
}

// tokenizerGot is what a line costs in nanoseconds, and allocations of ours.
type tokenizerGot struct{ ours, bare, allocs float64 }

// measureTokenizer measures both in turns, so briefly that neither meets a
// quieter machine than the other. Both must find the same.
func measureTokenizer(lines []string) (got tokenizerGot, same bool) {
	const turns, reps = 40, 40
	var m irc.Message
	var oursSum, bareSum int
	var ours, bare time.Duration
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range turns {
		begin := cpuTime()
		for range reps {
			for _, line := range lines {
				id, _, channel, text := bareTokens(line)
				bareSum += len(id) + len(channel) + len(text)
			}
		}
		middle := cpuTime()
		for range reps {
			for _, line := range lines {
				if m.Tokenize(line) == nil {
					oursSum += len(m.ID()) + len(m.Channel()) + len(m.Text())
				}
			}
		}
		bare += middle - begin
		ours += cpuTime() - middle
	}
	runtime.ReadMemStats(&after)
	n := float64(turns * reps * len(lines))
	return tokenizerGot{float64(ours) / n, float64(bare) / n, float64(after.Mallocs-before.Mallocs) / n}, oursSum == bareSum
}
