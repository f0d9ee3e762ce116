package irctest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Source is where the lines of a [Load] come from. A Source is made by
// [Synthetic] or [Replay] and serves one Load at a time.
type Source interface {
	next(*rand.Rand) draft
}

// hole is what a template leaves open.
type hole uint8

const (
	noHole hole = iota
	idHole
	roomHole
	timeHole
	channelHole
)

// template is a line with holes, cut into pieces once.
type template struct {
	pieces []piece
	id     bool
}

type piece struct {
	text string // before the hole
	hole hole
}

func (t *template) judged() bool { return t.id }

func (t *template) render(b []byte, ch *channel, id []byte, ms int64) []byte {
	for i := range t.pieces {
		p := &t.pieces[i]
		b = append(b, p.text...)
		switch p.hole {
		case idHole:
			b = append(b, id...)
		case roomHole:
			b = append(b, ch.roomID...)
		case timeHole:
			b = strconv.AppendInt(b, ms, 10)
		case channelHole:
			b = append(b, ch.wire...)
		}
	}
	return b
}

func (t *template) add(text string, h hole) { t.pieces = append(t.pieces, piece{text, h}) }

// parseTemplate makes a template of a raw line from the service: its channel,
// and its id, room-id and tmi-sent-ts tags become holes. ok is false for lines
// that concern no channel.
func parseTemplate(line string) (t *template, ok bool) {
	t = &template{}
	rest, text := line, ""
	if strings.HasPrefix(rest, "@") {
		tags, after, found := strings.Cut(rest, " ")
		if !found {
			return nil, false
		}
		rest = after
		for i, kv := range strings.Split(tags[1:], ";") {
			if i == 0 {
				text += "@"
			} else {
				text += ";"
			}
			k, v, _ := strings.Cut(kv, "=")
			h := noHole
			switch {
			case k == "id" && v != "":
				h, t.id = idHole, true
			case k == "room-id" && v != "":
				h = roomHole
			case k == "tmi-sent-ts" && v != "":
				h = timeHole
			}
			if h == noHole {
				text += kv
				continue
			}
			t.add(text+k+"=", h)
			text = ""
		}
		text += " "
	}
	words := strings.SplitN(rest, " ", 4)
	if len(words) < 3 || !strings.HasPrefix(words[0], ":") || !strings.HasPrefix(words[2], "#") {
		return nil, false
	}
	t.add(text+words[0]+" "+words[1]+" ", channelHole)
	if len(words) == 4 {
		t.add(" "+words[3], noHole)
	}
	return t, true
}

// templates is a Source of templates, in order or at random.
type templates struct {
	list    []*template
	ordered bool
	at      int
}

func (ts *templates) next(r *rand.Rand) draft {
	if !ts.ordered {
		return ts.list[r.IntN(len(ts.list))]
	}
	t := ts.list[ts.at]
	ts.at = (ts.at + 1) % len(ts.list)
	return t
}

// Replay reads raw IRC lines as captured from Twitch and returns a Source that
// sends them in their order, over and over. Channel, room-id, id and
// tmi-sent-ts are rewritten on each copy; everything else stays as it is, of
// whatever command. Lines that concern no channel are left out.
func Replay(r io.Reader) (Source, error) {
	ts := &templates{ordered: true}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := strings.TrimRight(sc.Text(), "\r")
		if t, ok := parseTemplate(line); ok {
			ts.list = append(ts.list, t)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("irctest: replay: %w", err)
	}
	if len(ts.list) == 0 {
		return nil, errors.New("irctest: replay: no line with a channel in it")
	}
	return ts, nil
}
