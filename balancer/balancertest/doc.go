// Package balancertest holds a chat service in memory, a recorder that counts
// what went lost, twice or out of order, and [TestTransport], the suite that
// every balancer.Transport must pass.
//
// A [Network] speaks no protocol. It has both laws of placement, enforces the
// limits that it is given, and breaks connections when told to. It works inside a
// testing/synctest bubble, so that an hour of outages takes a second:
//
//	synctest.Test(t, func(t *testing.T) {
//		net, rec := balancertest.NewNetwork(balancertest.Config{}), balancertest.NewRecorder()
//		b := balancer.New(net.Free(), nil)
//		b.Join("a", "b")
//		go b.Run(ctx, rec.Handle)
//		…
//		net.Publish("a")
//		net.Drop(0)
//		…
//		if v := rec.Verdict(net); !v.Clean() { t.Error(v) }
//	})
//
// The Network is the judge, for it knows which connection read what: a message
// that one of them handed out and the Handler never saw is lost, whatever gap was
// reported; one that none could hand out must be inside a reported gap.
package balancertest
