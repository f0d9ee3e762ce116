package irctest

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"
)

// fleet is clients that do everything right, as simply as that can be: they
// reconnect at once, join again and report the gap.
type fleet struct {
	names []string
	stop  chan struct{}
	done  chan int
	n     int
}

func launch(t *testing.T, j *Judge, dial func() (net.Conn, error), clients, each int) *fleet {
	f := &fleet{stop: make(chan struct{}), done: make(chan int, clients), n: clients}
	for i := range clients {
		var mine []string
		for k := range each {
			mine = append(mine, fmt.Sprintf("c%d_%d", i, k))
		}
		f.names = append(f.names, mine...)
		go func() { f.done <- simpleton(t, dial, j, mine, f.stop) }()
	}
	return f
}

// land ends the clients and returns how often they had to connect again.
func (f *fleet) land() (outages int) {
	close(f.stop)
	for range f.n {
		outages += <-f.done
	}
	return outages
}

// A client that does everything right stands before the judge whatever goes
// wrong.
func TestStorm(t *testing.T) {
	cfg := &Config{Anonymous: Unlimited(), PingInterval: -1}
	story(t, cfg, func(t *testing.T, s *Server) {
		j := s.Judge()
		f := launch(t, j, func() (net.Conn, error) {
			return s.DialContext(context.Background(), "tcp", "irc:6667")
		}, 8, 5)
		time.Sleep(time.Second)
		ctx, cancel := withTimeout(t, time.Minute)
		defer cancel()
		loaded := make(chan struct{})
		go func() { s.Chat(ctx, &Load{Rate: 500, Channels: f.names, Zipf: 1}); close(loaded) }()
		plan := Storm()
		plan.Drop, plan.HalfOpen, plan.Duplicate, plan.Reorder = 6, 2, 0, 0.05
		s.Inject(ctx, plan)
		<-loaded
		time.Sleep(time.Minute)
		v := j.Verdict()
		outages := f.land()
		if !v.OK() || v.Sent < 20_000 || v.InGaps == 0 || outages < 20 {
			t.Errorf("%v; %d outages\n%v", v, outages, v.Offences)
		}
	})
}

// The same for a moment on real sockets, plain and over TLS.
func TestStormOnSockets(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := NewTwitch(&Config{Anonymous: Unlimited(), Unsure: 200 * time.Millisecond})
		j := s.Judge()
		dial := plainDialer(t, s)
		if secure {
			dial = tlsDialer(t, s)
		}
		f := launch(t, j, dial, 4, 3)
		waitFor(t, func() bool { return s.Stats().Members == 12 })
		ctx, cancel := withTimeout(t, 700*time.Millisecond)
		loaded := make(chan struct{})
		go func() { s.Chat(ctx, &Load{Rate: 2000, Channels: f.names, Zipf: 1}); close(loaded) }()
		s.Inject(ctx, FaultPlan{Drop: 120, Hangup: 60, Reconnect: 60, ReconnectAfter: 50 * time.Millisecond, Grace: 200 * time.Millisecond, SplitLines: 0.2})
		<-loaded
		cancel()
		waitFor(t, func() bool { return s.Stats().Members == 12 && j.Verdict().Lost == 0 })
		v := j.Verdict()
		outages := f.land()
		s.Close()
		if !v.OK() || v.Sent < 500 || outages == 0 {
			t.Errorf("secure %v: %v; %d outages\n%v", secure, v, outages, v.Offences)
		}
	}
}
