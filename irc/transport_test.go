package irc_test

import (
	"testing"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/balancer/balancertest"
	"github.com/chatshard/chatshard/irc"
	"github.com/chatshard/chatshard/irc/irctest"
)

// TestTransport has the suite for transports run over every kind of connection.
func TestTransport(t *testing.T) {
	for _, kind := range []string{"memory", "plain", "tls", "ws", "wss"} {
		t.Run("twitch/"+kind, func(t *testing.T) {
			balancertest.TestTransport(t, func(t *testing.T) balancertest.Harness {
				srv := irctest.NewTwitch(&irctest.Config{Anonymous: irctest.Unlimited()})
				t.Cleanup(srv.Close)
				cfg := irc.Config{Address: plain, Plain: true, DialContext: srv.DialContext}
				if kind != "memory" {
					cfg = listen(t, srv, kind)
				}
				return harness(srv, irc.New(irc.NewAccount("", nil, &irc.AccountConfig{Limits: fast}), &cfg), "forsen", "xqc")
			})
		})
	}
	for _, kind := range []string{"memory", "plain", "tls"} {
		t.Run("irc/"+kind, func(t *testing.T) {
			balancertest.TestTransport(t, func(t *testing.T) balancertest.Harness {
				srv := irctest.NewIRC(&irctest.Config{IRC: irctest.IRC{FloodBurst: -1}})
				t.Cleanup(srv.Close)
				cfg := irc.Config{Address: plain, Plain: true, DialContext: srv.DialContext}
				if kind != "memory" {
					cfg = listen(t, srv, kind)
				}
				cfg.Profile, cfg.Flood = irc.Generic, irc.Rate{N: -1}
				return harness(srv, irc.New(irc.NewIRCAccount("", nil, nil), &cfg), "#forsen", "#xqc")
			})
		})
	}
}

func harness(srv *irctest.Server, tr *irc.Transport, channels ...string) balancertest.Harness {
	return balancertest.Harness{
		Transport: tr, Keys: keys(channels...), Frame: []byte("PRIVMSG #x :hello"),
		Publish: func(k balancer.Key) { srv.Say(string(k), "someone", "hello") },
		Drop:    func() { srv.Apply(irctest.Fault{Kind: irctest.Drop}, irctest.Target{}) },
	}
}
