package irc

import (
	"sync"
	"time"
)

// Rate is N in every interval of length Per, wherever it starts. The zero Rate
// stands for a default, a negative N for no limit.
type Rate struct {
	N   int
	Per time.Duration
}

// Limits are what an account may do over all of its connections. Zero fields
// take the default: Twitch's for a normal or a verified account, with a margin
// because the service's clock is not ours.
type Limits struct {
	Joins    Rate // JOINs, counted per channel; default 20 per 11 s, verified 2,000
	Logins   Rate // default 18 per 11 s, verified 180
	Sends    Rate // messages; default 20 per 32 s, verified 7,500
	ModSends Rate // messages where the account is moderator, VIP or broadcaster, which count as Sends too; default 100 per 32 s, verified 7,500
	Channel  Rate // messages to one channel where it is neither of them; default 1 per 1.1 s
	Channels int  // channels joined at a time; default 100, anonymous none; negative: none
}

// https://dev.twitch.tv/docs/chat/#rate-limits
var (
	twitchLimits = Limits{
		Joins: Rate{20, 11 * time.Second}, Logins: Rate{18, 11 * time.Second},
		Sends: Rate{20, 32 * time.Second}, ModSends: Rate{100, 32 * time.Second},
		Channel: Rate{1, 1100 * time.Millisecond}, Channels: 100,
	}
	verifiedLimits = Limits{
		Joins: Rate{2000, 11 * time.Second}, Logins: Rate{180, 11 * time.Second},
		Sends: Rate{7500, 32 * time.Second}, ModSends: Rate{7500, 32 * time.Second},
		Channel: Rate{1, 1100 * time.Millisecond}, Channels: 100,
	}
	// Of plain IRC servers the connections limit themselves; logins are paced
	// because servers count the connections of an address.
	ircLimits = Limits{
		Joins: Rate{N: -1}, Logins: Rate{5, 10 * time.Second},
		Sends: Rate{N: -1}, ModSends: Rate{N: -1}, Channel: Rate{N: -1}, Channels: -1,
	}
)

// TwitchLimits returns the defaults for a Twitch account.
func TwitchLimits(verified bool) Limits {
	if verified {
		return verifiedLimits
	}
	return twitchLimits
}

func (l Limits) or(d Limits) Limits {
	for _, r := range []struct{ r, d *Rate }{
		{&l.Joins, &d.Joins}, {&l.Logins, &d.Logins}, {&l.Sends, &d.Sends},
		{&l.ModSends, &d.ModSends}, {&l.Channel, &d.Channel},
	} {
		if r.r.N == 0 || r.r.N > 0 && r.r.Per <= 0 {
			*r.r = *r.d
		}
	}
	if l.Channels == 0 {
		l.Channels = d.Channels
	}
	return l
}

// slidingLog remembers the last N spendings of a Rate. Unlike a
// [balancer.Window] it can be filled beyond the limit, by what counts here and
// is limited elsewhere. The nil slidingLog limits nothing.
type slidingLog struct {
	per  time.Duration
	at   []time.Time // ring
	next int         // the oldest, and where the next one goes
}

func newLog(r Rate) *slidingLog {
	if r.N <= 0 {
		return nil
	}
	return &slidingLog{per: r.Per, at: make([]time.Time, r.N)}
}

// wait returns how long it takes until one more may be spent.
func (l *slidingLog) wait(now time.Time) time.Duration {
	if l == nil || l.at[l.next].IsZero() {
		return 0
	}
	return max(l.at[l.next].Add(l.per).Sub(now), 0)
}

// left returns how many may be spent now. The nil slidingLog has no answer.
func (l *slidingLog) left(now time.Time) (n int) {
	for i := range l.at {
		if t := l.at[(l.next+i)%len(l.at)]; !t.IsZero() && t.Add(l.per).After(now) {
			break
		}
		n++
	}
	return n
}

// spend notes one, whether it is allowed or not.
func (l *slidingLog) spend(now time.Time) {
	if l != nil {
		l.at[l.next] = now
		l.next = (l.next + 1) % len(l.at)
	}
}

// sendBudget is what an account may still send.
type sendBudget struct {
	mu      sync.Mutex // guards all below; never held while waiting
	sends   *slidingLog
	mods    *slidingLog
	channel Rate
	last    map[string]*slidingLog // by channel, where it is not privileged
}

func newSendBudget(l Limits) *sendBudget {
	return &sendBudget{sends: newLog(l.Sends), mods: newLog(l.ModSends), channel: l.Channel, last: make(map[string]*slidingLog)}
}

// wait returns how long a message to a channel would have to wait. mu is held.
func (b *sendBudget) wait(now time.Time, channel string, privileged bool) time.Duration {
	if privileged {
		return b.mods.wait(now)
	}
	return max(b.last[channel].wait(now), b.sends.wait(now))
}

// take spends one message to a channel and returns 0, or spends nothing and
// returns how long to wait.
func (b *sendBudget) take(now time.Time, channel string, privileged bool) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.wait(now, channel, privileged); d > 0 {
		return d
	}
	if privileged {
		b.mods.spend(now)
		b.sends.spend(now)
		return 0
	}
	own := b.last[channel]
	if own == nil && b.channel.N > 0 {
		b.prune(now)
		own = newLog(b.channel)
		b.last[channel] = own
	}
	own.spend(now)
	b.sends.spend(now)
	return 0
}

// prune forgets channels that nothing was sent to lately. mu is held.
func (b *sendBudget) prune(now time.Time) {
	if len(b.last) < 256 {
		return
	}
	for name, l := range b.last {
		if l.wait(now) == 0 {
			delete(b.last, name)
		}
	}
}
