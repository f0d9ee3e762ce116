package balancertest_test

import (
	"testing"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/balancer/balancertest"
)

func TestFree(t *testing.T) {
	balancertest.TestTransport(t, func(t *testing.T) balancertest.Harness {
		n := balancertest.NewNetwork(balancertest.Config{Polled: true})
		return balancertest.Harness{Transport: n.Free(), Keys: []balancer.Key{"a", "b"}, Frame: []byte("x"),
			Publish: func(k balancer.Key) { n.Publish(k) }, Drop: func() { n.Drop(0) }}
	})
}

func TestFixed(t *testing.T) {
	balancertest.TestTransport(t, func(t *testing.T) balancertest.Harness {
		n := balancertest.NewNetwork(balancertest.Config{Replay: 100, Polled: true})
		return balancertest.Harness{Transport: n.Fixed(), Keys: []balancer.Key{"a", "b"}, Frame: []byte("x"),
			Publish: func(k balancer.Key) { n.Publish(k) }, Drop: func() { n.Drop(0) }}
	})
}
