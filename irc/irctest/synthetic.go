package irctest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Synthetic returns a Source of made-up Twitch messages as long and as tagged
// as real ones (300 to 470 bytes), one in forty of them a USERNOTICE or a
// CLEARCHAT. It is the same each time.
func Synthetic() Source {
	r := rand.New(rand.NewPCG(7, 11))
	ts := &templates{}
	for i := range 400 {
		line := madeUp(r)
		switch i % 80 {
		case 13:
			line = madeUpNotice(r)
		case 53:
			line = fmt.Sprintf("@ban-duration=%d;room-id=1;target-user-id=%d;tmi-sent-ts=1 :tmi.twitch.tv CLEARCHAT #c :%s",
				60*(1+r.IntN(10)), 10_000_000+r.IntN(90_000_000), madeUpName(r))
		}
		t, ok := parseTemplate(line)
		if !ok {
			panic("irctest: a synthetic line is broken: " + line)
		}
		ts.list = append(ts.list, t)
	}
	return ts
}

var (
	syllables = strings.Fields("ka zu mi ro ten shi bo lu ne va dra gon wolf cat pix el ni xo gg tv mo ri sa ke")
	words     = strings.Fields("Kappa LUL PogChamp that was so close what is this game lets go chat he did it again no way " +
		"music name please first time here hello from germany 🎉 ñandú übel great stream today 👀 clip it who asked naïve GG WP")
	badgeSets = strings.Fields("subscriber/0 subscriber/12,premium/1 subscriber/24,sub-gifter/5 moderator/1,subscriber/18 vip/1 premium/1 bits/1000 glhf-pledge/1 no_audio/1")
)

func madeUpName(r *rand.Rand) string {
	var b strings.Builder
	for range 2 + r.IntN(3) {
		b.WriteString(syllables[r.IntN(len(syllables))])
	}
	if r.IntN(2) == 0 {
		fmt.Fprint(&b, r.IntN(1000))
	}
	return b.String()
}

func madeUpText(r *rand.Rand) string {
	var b strings.Builder
	for i := range 1 + r.IntN(12) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(words[r.IntN(len(words))])
	}
	return b.String()
}

func madeUp(r *rand.Rand) string {
	name, text, badges := madeUpName(r), madeUpText(r), badgeSets[r.IntN(len(badgeSets))]
	mod, kind := "0", ""
	if strings.HasPrefix(badges, "moderator") {
		mod, kind = "1", "mod"
	}
	return fmt.Sprintf("@badge-info=subscriber/%d;badges=%s;client-nonce=%016x%016x;color=%s;display-name=%s;emotes=%s;first-msg=0;flags=;id=x;mod=%s;returning-chatter=0;room-id=1;subscriber=1;tmi-sent-ts=1;turbo=0;user-id=%d;user-type=%s %s PRIVMSG #c :%s",
		1+r.IntN(60), badges, r.Uint64(), r.Uint64(), color(name), strings.ToUpper(name[:1])+name[1:], emoteTag(text),
		mod, 10_000_000+r.IntN(900_000_000), kind, who(name), text)
}

func madeUpNotice(r *rand.Rand) string {
	name := madeUpName(r)
	months := 2 + r.IntN(60)
	return fmt.Sprintf(`@badge-info=subscriber/%d;badges=subscriber/3;color=;display-name=%s;emotes=;flags=;id=x;login=%s;mod=0;msg-id=resub;msg-param-cumulative-months=%d;msg-param-months=0;msg-param-should-share-streak=0;msg-param-sub-plan-name=Channel\sSubscription;msg-param-sub-plan=1000;room-id=1;subscriber=1;system-msg=%s\ssubscribed\sat\sTier\s1.\sThey've\ssubscribed\sfor\s%d\smonths!;tmi-sent-ts=1;user-id=%d;user-type= :tmi.twitch.tv USERNOTICE #c :%s`,
		months, name, name, months, name, months, 10_000_000+r.IntN(900_000_000), madeUpText(r))
}
