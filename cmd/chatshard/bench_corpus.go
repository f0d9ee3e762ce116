package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// corpus is chat as Twitch sends it, made up: 94 % PRIVMSG, a tenth of
// them replies, 3 % USERNOTICE, 2.5 % CLEARCHAT, 0.5 % CLEARMSG, 468 bytes a
// line on average, over channels of very different traffic. It is sent over
// and over; what tells a message from the same one of the turn before (ids,
// time) is written over in place, which costs the sender next to nothing.
type corpus struct {
	text  []byte
	lines []corpusLine
}

// corpusLine is where one line stands in the text, with what changes in it.
type corpusLine struct {
	start, end int
	serial     int // 12 digits
	sent       int // 13 digits, milliseconds
	channel    int // the name's last five digits, if channels are numbered
	chat       bool
	textBytes  int // of a PRIVMSG
}

const (
	corpusChannels = 50
	corpusSize     = 8192
	corpusMean     = 468 // bytes, without CR LF
)

// channelName returns the login of a channel of the corpus. Numbered ones are
// those of a corpus whose lines are spread over connections.
func channelName(i int, numbered bool) string {
	if numbered {
		return fmt.Sprintf("channel%05d", i)
	}
	names := [...]string{"gamer", "streams_daily", "xo", "speedrunlounge", "the_kitchen", "chess24h", "lofi", "music_and_talk"}
	return fmt.Sprintf("%s%d", names[i%len(names)], i)
}

// newCorpus returns the same corpus at each call.
func newCorpus(numbered bool) *corpus {
	r := rand.New(rand.NewPCG(20, 26))
	zipf := rand.NewZipf(r, 1.2, 1, corpusChannels-1)
	c := new(corpus)
	for range corpusSize {
		ch := int(zipf.Uint64())
		var l corpusLine
		line := make([]byte, 0, 1024)
		mark := func(at *int, width int) {
			*at = len(c.text) + len(line)
			line = append(line, strings.Repeat("0", width)...)
		}
		add := func(format string, args ...any) { line = fmt.Appendf(line, format, args...) }
		hex := func(n int) string {
			b := make([]byte, n)
			for i := range b {
				b[i] = "0123456789abcdef"[r.IntN(16)]
			}
			return string(b)
		}
		login := someWord(r, 4, 16)
		room, user := 20_000_000+ch*7_919, 10_000_000+r.IntN(900_000_000)
		id := func(name string) {
			add("%s=%s-%s-4%s-8%s-", name, hex(8), hex(4), hex(3), hex(3))
			mark(&l.serial, 12)
		}
		channel := func() {
			name := channelName(ch, numbered)
			if numbered {
				l.channel = len(c.text) + len(line) + len(name) - 5 + 1
			}
			add("#%s", name)
		}
		user1 := func() { // tags that PRIVMSG and USERNOTICE begin with
			badges := [...]string{"", "", "subscriber/12,premium/1", "subscriber/3042,sub-gifter/50", "moderator/1,subscriber/24,bits/1000", "vip/1,glhf-pledge/1"}
			add("@badge-info=%s;badges=%s;", [...]string{"", "subscriber/14"}[r.IntN(2)], badges[r.IntN(len(badges))])
		}
		switch kind := r.IntN(1000); {
		case kind < 940:
			l.chat = true
			text, emotes := someText(r)
			user1()
			if r.IntN(3) > 0 {
				add("client-nonce=%s;", hex(32))
			}
			add("color=#%s;display-name=%s;emotes=%s;first-msg=0;flags=;", strings.ToUpper(hex(6)), login, emotes)
			id("id")
			add(";mod=0;")
			if r.IntN(10) == 0 {
				to := someWord(r, 4, 16)
				body, _ := someText(r)
				add("reply-parent-display-name=%s;reply-parent-msg-body=%s;reply-parent-msg-id=%s-%s-4%s-8%s-%s;reply-parent-user-id=%d;reply-parent-user-login=%s;",
					to, strings.ReplaceAll(body, " ", `\s`), hex(8), hex(4), hex(3), hex(3), hex(12), 10_000_000+r.IntN(900_000_000), to)
				text = "@" + to + " " + text
			}
			add("returning-chatter=0;room-id=%d;subscriber=%d;tmi-sent-ts=", room, r.IntN(2))
			mark(&l.sent, 13)
			add(";turbo=0;user-id=%d;user-type= :%s!%s@%s.tmi.twitch.tv PRIVMSG ", user, login, login, login)
			channel()
			add(" :%s", text)
			l.textBytes = len(text)
		case kind < 970:
			months := 1 + r.IntN(60)
			user1()
			add("color=;display-name=%s;emotes=;flags=;", login)
			id("id")
			add(";login=%s;mod=0;msg-id=resub;msg-param-cumulative-months=%d;msg-param-months=0;msg-param-multimonth-duration=0;"+
				`msg-param-should-share-streak=0;msg-param-sub-plan-name=Channel\sSubscription;msg-param-sub-plan=1000;room-id=%d;subscriber=1;`+
				`system-msg=%s\ssubscribed\sat\sTier\s1.\sThey've\ssubscribed\sfor\s%d\smonths!;tmi-sent-ts=`, login, months, room, login, months)
			mark(&l.sent, 13)
			add(";user-id=%d;user-type= :tmi.twitch.tv USERNOTICE ", user)
			channel()
			add(" :still here")
		case kind < 995:
			add("@ban-duration=%d;room-id=%d;target-user-id=", 1+r.IntN(600), room)
			mark(&l.serial, 12)
			add(";tmi-sent-ts=")
			mark(&l.sent, 13)
			add(" :tmi.twitch.tv CLEARCHAT ")
			channel()
			add(" :%s", login)
		default:
			add("@login=%s;room-id=;", login)
			id("target-msg-id")
			add(";tmi-sent-ts=")
			mark(&l.sent, 13)
			add(" :tmi.twitch.tv CLEARMSG ")
			channel()
			add(" :what was said")
		}
		l.start = len(c.text)
		c.text = append(append(c.text, line...), "\r\n"...)
		l.end = len(c.text)
		c.lines = append(c.lines, l)
	}
	return c
}

func someWord(r *rand.Rand, least, most int) string {
	b := make([]byte, least+r.IntN(most-least+1))
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyz_0123456789"[r.IntN(37)]
	}
	return string(b)
}

// someText returns what somebody says, and its emotes tag.
func someText(r *rand.Rand) (text, emotes string) {
	words := 1 + r.IntN(20)
	if r.IntN(12) == 0 {
		words += r.IntN(50)
	}
	var at int
	for i := range words {
		if i > 0 {
			text, at = text+" ", at+1
		}
		word, n := someWord(r, 1, 9), 0
		switch r.IntN(24) {
		case 0:
			word, n = "Kappa", 5
			if emotes != "" {
				emotes += "/"
			}
			emotes += fmt.Sprintf("%d:%d-%d", 25+i, at, at+4)
		case 1:
			word, n = "naïve", 5
		case 2:
			word, n = "😂", 1
		default:
			n = len(word)
		}
		text, at = text+word, at+n
	}
	return text, emotes
}

// lineStamp writes ids and times that no line had before.
type lineStamp struct {
	serial [12]byte
	sent   [13]byte
}

func newLineStamp() *lineStamp {
	s := new(lineStamp)
	copy(s.serial[:], "100000000000")
	return s
}

// now sets the time that lines get from here on.
func (s *lineStamp) now(ms int64) {
	for i := len(s.sent) - 1; i >= 0; i-- {
		s.sent[i] = byte('0' + ms%10)
		ms /= 10
	}
}

const (
	stampDigits = 12
	stampTurn   = 1e12 // µs, after which stamps begin anew
)

// clock makes the serial of the next line say when it is sent.
func (s *lineStamp) clock(t time.Time) {
	us := t.UnixMicro() - 1 // line adds one
	for i := len(s.serial) - 1; i >= 0; i-- {
		s.serial[i] = byte('0' + us%10)
		us /= 10
	}
}

// line stamps one line of the corpus.
func (s *lineStamp) line(c *corpus, l *corpusLine) {
	for i := len(s.serial) - 1; ; i-- {
		if s.serial[i]++; s.serial[i] <= '9' {
			break
		}
		s.serial[i] = '0'
	}
	copy(c.text[l.serial:], s.serial[:])
	copy(c.text[l.sent:], s.sent[:])
}

// number writes the number of a channel into a line.
func (l *corpusLine) number(c *corpus, n int) {
	for i := l.channel + 4; i >= l.channel; i-- {
		c.text[i] = byte('0' + n%10)
		n /= 10
	}
}
