package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// outsider connects as a program that has the token.
func outsider(t testing.TB, e *Engine) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(e.Addr(), nats.Token(e.cfg.Token), nats.CustomInboxPrefix("_INBOX.outsider"), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// Who has the token and means harm cannot write to the log, the cursors or the
// API that deletes them: not by asking, not by naming them as where an answer or
// a consumer's messages shall go.
func TestOutsideCannotHarm(t *testing.T) {
	e := newEngine(t, EngineConfig{Listen: "127.0.0.1:0", Token: "token"})
	l := openLog(t, e, NATSLogConfig{Changed: func(Cursor) { t.Error("history was lost") }})
	store, err := e.Store(t.Context(), "consumers")
	if err == nil {
		err = store.Save(t.Context(), "victim", []byte("e1:7"))
	}
	if err != nil {
		t.Fatal(err)
	}
	g := newLedger()
	for n := range 100 {
		g.append(t, l, entry("a", n))
	}
	g.wait(t)
	// Something that answers with the rights of the relay, and says what it was told.
	sub, err := e.Conn().Subscribe("send", func(m *nats.Msg) { m.Respond(m.Data) })
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()

	nc := outsider(t, e)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.CreateConsumer(t.Context(), "EV", jetstream.ConsumerConfig{Durable: "mine", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	victims := []string{
		entry("a", 0).Subject.Name(), "$KV.consumers.victim", "$JS.API.STREAM.DELETE.EV", "$JS.API.STREAM.PURGE.EV", "$JS.API.STREAM.DELETE.KV_consumers",
		"$JS.API.STREAM.PURGE.KV_consumers", guardedCreate + "CONSUMER.CREATE.EV.x", "send", e.Conn().NewInbox(),
	}
	for i, victim := range victims {
		for _, body := range []string{"", "{}", `{"v":1,"id":"forged"}`, "e1:0"} {
			for _, reply := range append([]string{""}, victims...) {
				err = errors.Join(err, nc.PublishMsg(&nats.Msg{Subject: victim, Reply: reply, Data: []byte(body)}))
			}
			for _, ask := range []string{"send", "send.x", "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.EV", "$JS.API.STREAM.MSG.GET.EV",
				"$JS.API.CONSUMER.CREATE.EV.x", "$JS.API.CONSUMER.INFO.EV.mine", "$JS.API.CONSUMER.DELETE.EV.none", "$JS.ACK.EV.mine.1.1.1.1.1"} {
				err = errors.Join(err, nc.PublishMsg(&nats.Msg{Subject: ask, Reply: victim, Data: []byte(body)}))
			}
		}
		err = errors.Join(err, nc.PublishMsg(&nats.Msg{Subject: "$JS.API.CONSUMER.MSG.NEXT.EV.mine", Reply: victim, Data: []byte(`{"batch":10,"no_wait":true}`)}))
		for k, more := range []string{``, `,"headers_only":true`, `,"Deliver_Subject":""`} {
			m, fail := nc.Request(fmt.Sprintf("$JS.API.CONSUMER.CREATE.EV.evil-%d-%d", i, k),
				fmt.Appendf(nil, `{"stream_name":"EV","config":{"name":"evil-%d-%d","deliver_subject":"%s","ack_policy":"none"%s}}`, i, k, victim, more), within)
			if fail != nil || !strings.Contains(string(m.Data), "push consumers") && k < 2 {
				t.Errorf("a consumer that pushes to %s: %v %s", victim, fail, m.Data)
			}
		}
	}
	for _, ask := range []string{
		"STREAM.DELETE.EV", "STREAM.PURGE.EV", "STREAM.UPDATE.EV", "STREAM.CREATE.MINE", "STREAM.MSG.DELETE.EV", "STREAM.SNAPSHOT.EV", "STREAM.LIST", "STREAM.INFO.KV_consumers",
		"STREAM.MSG.GET.KV_consumers", "CONSUMER.CREATE.KV_consumers.x", "CONSUMER.LIST.EV", "CONSUMER.NAMES.EV", "SERVER.REMOVE", "ACCOUNT.PURGE.$G", "META.LEADER.STEPDOWN",
	} {
		if m, err := nc.Request("$JS.API."+ask, []byte(`{"name":"MINE","subjects":["mine"],"seq":1,"deliver_subject":"x"}`), within); !errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("%s is answered: %v %v", ask, m, err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(within); err != nil { // the server has taken all of it
		t.Fatal(err)
	}
	if all, err := c.Fetch(10, jetstream.FetchMaxWait(within)); err != nil || all.Error() != nil {
		t.Error(err, all.Error()) // and what was asked before
	}
	// A reader of a stream that grew by itself would not go on.
	for n := range 100 {
		g.append(t, l, entry("b", n))
	}
	g.wait(t)
	if info, err := l.info(t.Context()); err != nil || info.State.FirstSeq != 1 || info.State.LastSeq != 200 {
		t.Errorf("the stream is %+v, %v; want 1 to 200", info, err)
	}
	if err := l.Healthy(); err != nil || l.w.tries > 0 {
		t.Errorf("the log: %v, %d tries to recover", err, l.w.tries)
	}
	g.check(t, l)
	if at, err := store.Load(t.Context(), "victim"); string(at) != "e1:7" || err != nil {
		t.Errorf("the cursor is %q, %v", at, err)
	}
}

// What programs outside may use up has bounds, and they are told.
func TestOutsideLimits(t *testing.T) {
	e := newEngine(t, EngineConfig{Listen: "127.0.0.1:0", Token: "token"})
	l := openLog(t, e, NATSLogConfig{})
	g := newLedger()
	g.append(t, l, entry("a", 1))
	g.wait(t)
	js, err := jetstream.New(outsider(t, e))
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for ; made <= maxOutsideConsumers+ownConsumers; made++ {
		if _, err = js.CreateConsumer(t.Context(), "EV", jetstream.ConsumerConfig{Durable: fmt.Sprint("c", made), MemoryStorage: true}); err != nil {
			break
		}
	}
	if api := (*jetstream.APIError)(nil); !errors.As(err, &api) || api.ErrorCode != 10026 || made < maxOutsideConsumers {
		t.Errorf("after %d consumers: %v", made, err)
	}
	if _, err := js.CreateOrUpdateConsumer(t.Context(), "EV", jetstream.ConsumerConfig{Durable: "c0", MemoryStorage: true, Description: "changed"}); err != nil {
		t.Errorf("one that there is cannot be changed: %v", err)
	}
	if got := readAll(t, l); len(got) != 1 { // with a consumer of its own
		t.Errorf("the log has %d entries", len(got))
	}
	if err := js.DeleteConsumer(t.Context(), "EV", "c0"); err != nil {
		t.Error(err)
	}
	for _, bad := range []jetstream.ConsumerConfig{{MaxAckPending: -1}, {MaxAckPending: maxOutsidePending + 1}, {MaxWaiting: maxOutsideWaiting + 1}, {FilterSubjects: []string{strings.Repeat("x", maxConsumerRequest)}}} {
		bad.Durable, bad.AckPolicy = "bad", jetstream.AckExplicitPolicy
		if _, err := js.CreateConsumer(t.Context(), "EV", bad); err == nil || !strings.Contains(err.Error(), "chatshard: ") {
			t.Errorf("%+.60v: %v", bad, err)
		}
	}
	m, err := js.Conn().Request("$JS.API.CONSUMER.CREATE.EV.x", []byte("{"), within)
	var answer struct{ Error struct{ Description string } }
	if err != nil || json.Unmarshal(m.Data, &answer) != nil || !strings.Contains(answer.Error.Description, "no request") {
		t.Errorf("nonsense is answered %v, %v", answer, err)
	}

	for range maxOutsideConns - 1 {
		outsider(t, e)
	}
	if nc, err := nats.Connect(e.Addr(), nats.Token("token")); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("one connection too many: %v", err)
		nc.Close()
	}
	for _, o := range []nats.Option{nats.Token("wrong"), nats.UserInfo("", ""), nats.UserInfo("", "token"), nats.UserInfo("chatshard", "token"), nats.Name("nobody")} {
		if nc, err := nats.Connect(e.Addr(), o); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("without the token: %v", err)
			nc.Close()
		}
	}
}

// A program with the token reads with what NATS has for it: from a cursor of any
// output on, one room by its escaped name, or what is live, shared by a group.
func TestOutsideReads(t *testing.T) {
	r := newLiveRelay(t)
	r.say(500)
	until(t, "all is safe", func() bool { return len(r.wanted(nil)) == 500 })
	reader, err := r.hub.Subscribe(t.Context(), SubscribeOptions{From: Cursor{r.epoch, 0}})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	lines := map[uint64]string{}
	for len(lines) < 500 {
		if err := reader.Next(t.Context(), func(it *Item) bool { lines[it.Seq] = string(it.Line); return true }); err != nil {
			t.Fatal(err)
		}
	}

	nc := outsider(t, r.engine)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "EV")
	if err != nil {
		t.Fatal(err)
	}
	epoch := stream.CachedInfo().Config.Metadata["chatshard-epoch"]
	for _, c := range []struct {
		cfg  jetstream.ConsumerConfig
		want int
	}{
		{jetstream.ConsumerConfig{Durable: "rest", DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 401}, 100},
		{jetstream.ConsumerConfig{Durable: "room", FilterSubject: "ev.irc.a=2Eb.*.*.=23=C3=BC=20=3E=01"}, len(r.wanted(func(s Subject) bool { return s.Network == "a.b" }))},
		{jetstream.ConsumerConfig{Durable: "joins", FilterSubject: "ev.*.*.*.join.>", AckPolicy: jetstream.AckExplicitPolicy}, 100},
	} {
		consumer, err := stream.CreateConsumer(t.Context(), c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := consumer.Fetch(500, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for m := range batch.Messages() {
			line, err := envelopeOf(epoch, m)
			at, _ := m.Metadata()
			if err != nil || string(line) != lines[at.Sequence.Stream] {
				t.Fatalf("%s: %v: %s, want %s", c.cfg.Durable, err, line, lines[at.Sequence.Stream])
			}
			got++
		}
		if got != c.want || got == 0 {
			t.Errorf("%s: %d entries, want %d", c.cfg.Durable, got, c.want)
		}
	}

	live := make(chan *nats.Msg, 200)
	for range 2 {
		if _, err := nc.ChanQueueSubscribe("ev.>", "team", live); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := nc.ChanSubscribe("ev.>", live); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(within); err != nil {
		t.Fatal(err)
	}
	r.say(50)
	times := map[string]int{}
	for range 100 {
		select {
		case m := <-live:
			times[bodyID(m.Data)]++
		case <-time.After(within):
			t.Fatalf("%d entries came to those who subscribe", len(times))
		}
	}
	for id, n := range times {
		if n != 2 {
			t.Errorf("%s came %d times to a group and one alone", id, n)
		}
	}
}
