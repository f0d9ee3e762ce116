package relay

import (
	"context"
	"errors"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
)

// IRCSender sends over an [irc.Client], whose account keeps to its budgets per
// account and channel. On Twitch a channel need not be joined for that.
type IRCSender struct {
	client   *irc.Client
	generic  bool
	distinct bool

	mu   sync.Mutex // guards last
	last map[string]said
}

// said is the text that was sent last to a channel.
type said struct {
	text string
	at   time.Time
}

// What Twitch allows, and how long it refuses a text that was just said.
const (
	twitchChars = 500
	repeatTime  = 30 * time.Second
)

// NewIRCSender returns a Sender over a client that was made with cfg, and that
// somebody runs.
func NewIRCSender(client *irc.Client, cfg *irc.ClientConfig) *IRCSender {
	return &IRCSender{
		client: client, generic: cfg.Transport.Profile == irc.Generic, distinct: cfg.Distinct,
		last: make(map[string]said),
	}
}

// Split implements [Sender]: 500 characters on Twitch, elsewhere what a line of
// 512 bytes holds when the server has put a source of ordinary length before it.
func (s *IRCSender) Split(channel, text string) []string {
	if !s.generic {
		return splitText(text, 0, twitchChars)
	}
	const line, source = 512, 100 // as irc.Encoder.Split
	return splitText(text, line-source-len("PRIVMSG  :\r\n")-len(channel), 0)
}

// Send implements [Sender].
func (s *IRCSender) Send(ctx context.Context, m Message) SendResult {
	var r irc.Receipt
	var err error
	if m.ReplyTo != "" {
		r, err = s.client.Reply(ctx, m.Channel.Channel, m.ReplyTo, m.Text)
	} else {
		r, err = s.client.Say(ctx, m.Channel.Channel, m.Text)
	}
	if err != nil {
		return s.refusal(ctx, m.Channel.Channel, err)
	}
	res := ircResult(r)
	res.Altered = s.altered(m.Channel.Channel, m.Text)
	return res
}

// ircResult is what a receipt means.
func ircResult(r irc.Receipt) SendResult {
	reason := r.Text
	if reason == "" {
		reason = r.Reason
	}
	switch r.State {
	case irc.Sent:
		return SendResult{Status: StatusSent, IDs: []string{r.MessageID}}
	case irc.SendRefused:
		switch r.Reason {
		case "msg_ratelimit":
			return later(r.Reason, reason, repeatTime)
		case "msg_duplicate":
			reason += " (Twitch refuses the same text to a channel for 30 s)"
		}
		return refused(r.Reason, reason)
	}
	switch r.Reason {
	case "connection lost":
		return unknown(CodeLost, "the connection was lost before the server said whether it took the message")
	case "not waited for":
		return unknown(CodeSilence, "no time was left to wait for the server's answer")
	}
	return unknown(CodeSilence, "the server did not say within 5 s whether it took the message; it may not know the channel")
}

// Pace implements [Pacer].
func (s *IRCSender) Pace(channel string) time.Duration { return s.client.SendWait(channel) }

// refusal is what an error of Say means: nothing was sent.
func (s *IRCSender) refusal(ctx context.Context, channel string, err error) SendResult {
	var line *irc.LineError
	var budget *irc.BudgetError
	switch {
	case errors.As(err, &budget) && !errors.Is(err, context.Canceled):
		return later(CodeRateLimited, "the account's budget for messages leaves no room in time", budget.After)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return interrupted(ctx, "the channel's turn had not come", s.Pace(channel))
	case errors.As(err, &line):
		switch line.Field {
		case "target", "channel":
			return refused(CodeBadChannel, err.Error())
		case "parent", "tag reply-parent-msg-id", "tag +draft/reply", "tags":
			return refused(CodeBadReply, err.Error())
		}
		return refused(CodeBadText, err.Error())
	case errors.Is(err, irc.ErrName):
		return refused(CodeBadChannel, err.Error())
	case errors.Is(err, irc.ErrReadOnly):
		return refused(CodeReadOnly, "the account is anonymous and cannot send")
	case errors.Is(err, irc.ErrQueueFull):
		return later(CodeBusy, err.Error(), 5*time.Second)
	case errors.Is(err, balancer.ErrNotReady), errors.Is(err, balancer.ErrClosed), errors.Is(err, irc.ErrClosed):
		return later(CodeNotReady, "not connected at the moment", 2*time.Second)
	}
	return later(CodeNotReady, err.Error(), 5*time.Second)
}

// altered notes a text and reports whether the client made it another one:
// its rule, applied to what went through here.
func (s *IRCSender) altered(channel, text string) bool {
	if !s.distinct || s.generic {
		return false
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.last) >= 256 {
		for c, l := range s.last {
			if now.Sub(l.at) >= repeatTime {
				delete(s.last, c)
			}
		}
	}
	l := s.last[channel]
	same := l.text == text && now.Sub(l.at) < repeatTime && utf8.RuneCountInString(text)+2 <= twitchChars
	if same {
		text += "\x00" // the next one of this text goes as it is
	}
	s.last[channel] = said{text, now}
	return same
}
