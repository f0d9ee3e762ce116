package irc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// AccountConfig says more about an [Account]. Nil and the zero value work.
type AccountConfig struct {
	Verified bool // Twitch gave the account the limits of a verified bot; of an anonymous one a simulator did
	Limits   Limits
	// Exempt says which channels do not count against Limits.Channels: those
	// where the account is broadcaster or moderator. The account's own always
	// is exempt. Nil: no other.
	Exempt func(balancer.Key) bool
	// Limiter replaces the account's own budgets for joins and logins, such as
	// by those of a cluster.
	Limiter balancer.Limiter
}

// Account is one identity and what all of its connections share: the token and
// the budgets, which a service counts per account and not per connection. Make
// one Account per identity and process, and use it for as many Transports as
// needed. It implements [balancer.Limiter]. Its methods are safe for
// concurrent use.
type Account struct {
	login   string
	token   TokenFunc
	plain   bool // of a plain IRC network
	limits  Limits
	exempt  func(balancer.Key) bool
	limiter balancer.Limiter
	sends   *sendBudget

	mu       sync.Mutex // guards what follows
	rejected string     // the token that the service turned down last
}

// anonymous is the budget that all anonymous accounts of this process share:
// the service knows them by their address.
var anonymous = sync.OnceValue(func() balancer.Limiter { return windows(twitchLimits) })

// NewAccount returns a Twitch account. The login is folded to lower case; the
// empty one is anonymous and reads only. Anonymous accounts share one budget,
// except those whose cfg sets Limits or a Limiter.
func NewAccount(login string, token TokenFunc, cfg *AccountConfig) *Account {
	if cfg == nil {
		cfg = &AccountConfig{}
	}
	a := &Account{login: strings.ToLower(login), token: token, exempt: cfg.Exempt}
	a.limits = cfg.Limits.or(TwitchLimits(cfg.Verified))
	switch {
	case cfg.Limiter != nil:
		a.limiter = cfg.Limiter
	case a.login == "" && cfg.Limits == Limits{} && !cfg.Verified:
		a.limiter = anonymous()
	default:
		a.limiter = windows(a.limits)
	}
	if a.login == "" && cfg.Limits.Channels == 0 {
		a.limits.Channels = -1
	}
	a.sends = newSendBudget(a.limits)
	return a
}

// Anonymous returns an account that reads Twitch chat without a login.
func Anonymous() *Account { return NewAccount("", nil, nil) }

// NewIRCAccount returns an account of a plain IRC network: the name and
// password for SASL. With an empty login there is no SASL. Only logins are
// limited by default, to 5 in 10 s, since each connection keeps to
// [Config.Flood].
func NewIRCAccount(login string, password TokenFunc, cfg *AccountConfig) *Account {
	if cfg == nil {
		cfg = &AccountConfig{}
	}
	a := &Account{login: login, token: password, plain: true, exempt: cfg.Exempt, limiter: cfg.Limiter}
	a.limits = cfg.Limits.or(ircLimits)
	if a.limiter == nil {
		a.limiter = windows(a.limits)
	}
	a.sends = newSendBudget(a.limits)
	return a
}

func windows(l Limits) balancer.Windows {
	ws := balancer.Windows{}
	for _, b := range []struct {
		kind balancer.Budget
		rate Rate
	}{{balancer.BudgetJoin, l.Joins}, {balancer.BudgetLogin, l.Logins}} {
		if b.rate.N > 0 {
			ws[b.kind] = balancer.NewWindow(b.rate.N, b.rate.Per)
		}
	}
	return ws
}

// Login returns the account's login; "" is anonymous.
func (a *Account) Login() string { return a.login }

// IsAnonymous reports whether the account only reads.
func (a *Account) IsAnonymous() bool { return a.login == "" && !a.plain }

// KeyCap returns how many channels the account may have joined at a time over
// all connections; 0: any number.
func (a *Account) KeyCap() int { return max(a.limits.Channels, 0) }

// Exempt reports whether a channel does not count against KeyCap.
func (a *Account) Exempt(k balancer.Key) bool {
	return a.login != "" && string(k) == a.login || a.exempt != nil && a.exempt(k)
}

// Wait implements [balancer.Limiter] with the account's budgets for joins,
// logins and sends.
func (a *Account) Wait(ctx context.Context, kind balancer.Budget, id balancer.ShardID, n int) error {
	if kind != balancer.BudgetSend {
		return a.limiter.Wait(ctx, kind, id, n)
	}
	for range n {
		if err := a.waitSend(ctx, "", true); err != nil {
			return err
		}
	}
	return nil
}

// Left returns how many joins, logins or messages (where the account has no
// rank) may be spent now without waiting. limited is false where nothing limits
// them, or something that is not the account's own.
func (a *Account) Left(kind balancer.Budget) (n int, limited bool) {
	now := time.Now()
	if kind == balancer.BudgetSend {
		a.sends.mu.Lock()
		defer a.sends.mu.Unlock()
		if a.sends.sends == nil {
			return 0, false
		}
		return a.sends.sends.left(now), true
	}
	windows, _ := a.limiter.(balancer.Windows)
	w := windows[kind]
	if w == nil {
		return 0, false
	}
	return w.Left(now), true
}

// sendWait returns how long a message to a channel would have to wait now.
func (a *Account) sendWait(channel string, privileged bool) time.Duration {
	a.sends.mu.Lock()
	defer a.sends.mu.Unlock()
	return a.sends.wait(time.Now(), channel, privileged)
}

// waitSend waits until one message may be sent to a channel, and spends it.
// A privileged one is sent as moderator, VIP or broadcaster. It does not begin
// to wait for what comes after the end of ctx.
func (a *Account) waitSend(ctx context.Context, channel string, privileged bool) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		d := a.sends.take(time.Now(), channel, privileged)
		if d == 0 {
			return nil
		}
		if end, ok := ctx.Deadline(); ok && time.Until(end) < d {
			return &BudgetError{After: d, Err: context.DeadlineExceeded}
		}
		t := time.NewTimer(d)
		select {
		case <-ctx.Done():
			t.Stop()
			return &BudgetError{After: a.sendWait(channel, privileged), Err: ctx.Err()}
		case <-t.C:
		}
	}
}

// secret asks for the token of one login. It fails for good if that is the one
// which the service turned down.
func (a *Account) secret(ctx context.Context) (Secret, error) {
	if a.token == nil {
		return Secret{}, nil
	}
	s, err := a.token(ctx)
	if err != nil {
		return Secret{}, fmt.Errorf("irc: token of %s: %w", a.login, err)
	}
	return s, nil
}

// spent reports whether the service has turned this token down.
func (a *Account) spent(s Secret) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rejected != "" && s.Reveal() == a.rejected
}

// reject notes that the service turned a token down.
func (a *Account) reject(s Secret) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rejected = s.Reveal()
}

// nick returns the NICK for a Twitch login.
func (a *Account) nick() string {
	if a.login != "" {
		return a.login
	}
	return "justinfan" + strconv.Itoa(10_000+rand.IntN(89_990_000))
}

// String returns the login.
func (a *Account) String() string {
	if a.IsAnonymous() {
		return "anonymous"
	}
	return a.login
}
