package irc_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
	"github.com/chatshard/chatshard/irc/irctest"
)

// plain is the address of a server in memory that speaks no TLS.
const plain = "irc.example.net:6667"

// fast is the budget of an account that need not wait.
var fast = irc.Limits{Joins: irc.Rate{N: -1}, Logins: irc.Rate{N: -1}, Channels: -1}

// fleet is a Balancer that runs against a Server inside a synctest bubble.
type fleet struct {
	*balancer.Balancer
	t     *testing.T
	srv   *irctest.Server
	tr    *irc.Transport
	judge *irctest.Judge
	hook  func(e balancer.Event) // called first by the handler; may block
	err   error

	mu     sync.Mutex
	events []balancer.Event // but messages
	seen   []*irc.Message
}

// story is what a fleet is made of.
type story struct {
	server  irctest.Config
	generic bool
	account func() *irc.Account
	config  irc.Config
	fleet   balancer.Config
	hook    func(f *fleet, e balancer.Event)
	broken  func(srv *irctest.Server) // faults that are there before the first dial
}

// play runs a story in a bubble and stops the fleet.
func (s story) play(t *testing.T, tell func(f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { s.run(t, tell) })
}

func (s story) run(t *testing.T, tell func(f *fleet)) {
	f := &fleet{t: t}
	if s.generic {
		f.srv = irctest.NewIRC(&s.server)
		s.config.Profile = irc.Generic
	} else {
		f.srv = irctest.NewTwitch(&s.server)
	}
	defer f.srv.Close()
	if s.config.Address == "" {
		s.config.Address, s.config.Plain = plain, true
	}
	if s.config.DialContext == nil {
		s.config.DialContext = f.srv.DialContext
	}
	if !s.config.Plain {
		s.config.TLS = &tls.Config{RootCAs: f.srv.CertPool()}
	}
	if s.hook != nil {
		f.hook = func(e balancer.Event) { s.hook(f, e) }
	}
	if s.broken != nil {
		s.broken(f.srv)
	}
	f.judge = f.srv.Judge()
	var account *irc.Account
	switch {
	case s.account != nil:
		account = s.account()
	case s.generic:
		account = irc.NewIRCAccount("", nil, nil)
	default:
		account = irc.NewAccount("", nil, &irc.AccountConfig{Limits: irc.TwitchLimits(false)})
	}
	f.tr = irc.New(account, &s.config)
	f.Balancer = balancer.New(f.tr, f.tr.Balancer(&s.fleet))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.err = f.Run(ctx, f.handle)
	}()
	tell(f)
	f.judge.Unwant()
	cancel()
	<-done
}

func (f *fleet) handle(_ context.Context, e balancer.Event) {
	if f.hook != nil {
		f.hook(e)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch d := e.Data.(type) {
	case *irc.Message:
		if e.Size != len(d.Raw()) {
			f.t.Errorf("size %d of a line of %d bytes", e.Size, len(d.Raw()))
		}
		f.seen = append(f.seen, d)
		if cmd := d.Command(); e.ID != "" && (cmd == "PRIVMSG" || cmd == "USERNOTICE") {
			f.judge.Received(string(e.Key), e.ID, time.Now())
		}
		return
	case balancer.Gap:
		f.judge.Gap(d.From, d.To, string(e.Key))
	}
	f.events = append(f.events, e)
}

// said returns the texts of the PRIVMSGs received.
func (f *fleet) said() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, m := range f.seen {
		if m.Command() == "PRIVMSG" {
			out = append(out, m.Text())
		}
	}
	return out
}

// told returns the last event of a type for a key.
func told[T any](f *fleet, k balancer.Key) (d T, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if x, ok := e.Data.(T); ok && e.Key == k {
			d, n = x, n+1
		}
	}
	return d, n
}

// members waits until n keys are joined, at most for d.
func (f *fleet) members(n int, d time.Duration) {
	f.t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(100 * time.Millisecond) {
		c := f.Count()
		if c[balancer.Member] == n {
			return
		}
		if time.Now().After(end) {
			f.t.Fatalf("after %v: states %v, want %d joined; shards %+v", d, c, n, f.Shards())
		}
	}
}

// lawful fails if the server counted anything against us.
func (f *fleet) lawful() {
	f.t.Helper()
	for i, v := range f.srv.Violations() {
		if i == 5 {
			break
		}
		f.t.Errorf("violation: %v", v)
	}
}

// clean fails unless everything sent was received once, in order.
func (f *fleet) clean() irctest.Verdict {
	f.t.Helper()
	time.Sleep(5 * time.Second)
	v := f.judge.Verdict()
	if !v.OK() {
		f.t.Errorf("verdict %v", v)
		for _, o := range v.Offences {
			f.t.Log(o)
		}
	}
	return v
}

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("chan%03d", i)
	}
	return out
}

func keys(names ...string) []balancer.Key {
	out := make([]balancer.Key, len(names))
	for i, n := range names {
		out[i] = balancer.Key(n)
	}
	return out
}

// chat has the server say n messages a second over the channels for d.
func (f *fleet) chat(rate float64, d time.Duration, channels []string) *irctest.Load {
	l := &irctest.Load{Rate: rate, Channels: channels, Zipf: 1}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	f.srv.Chat(ctx, l)
	return l
}

func TestJoinAndReceive(t *testing.T) {
	ch := names(50)
	story{}.play(t, func(f *fleet) {
		f.Join(keys(ch...)...)
		f.members(50, 40*time.Second)
		f.chat(200, 10*time.Second, ch)
		v := f.clean()
		if v.Received == 0 || v.Channels != 50 {
			t.Errorf("verdict %v, want messages of 50 channels", v)
		}
		if n := len(f.Shards()); n != 2 {
			t.Errorf("%d shards, want 2", n)
		}
		f.lawful()
	})
}
