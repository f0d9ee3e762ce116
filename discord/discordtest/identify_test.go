package discordtest

import (
	"testing"
	"testing/synctest"
	"time"
)

// answer identifies and returns what came: "READY", "op 9" or "".
func (c *client) answer(shard, count int) string {
	c.t.Helper()
	c.await(opHello, "")
	c.ask("bot-token", shard, count, IntentGuilds)
	p, err := c.next()
	switch {
	case err != nil:
		return ""
	case p.Op == opInvalidSession:
		return "op 9 " + string(p.D)
	}
	return p.T
}

func TestIdentifyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(&Config{Bots: []Bot{{MaxConcurrency: 2}}})
		defer s.Close()
		for i, step := range []struct {
			after time.Duration
			shard int
			want  string
		}{
			{0, 0, "READY"},
			{0, 1, "READY"}, // another key
			{time.Second, 2, "op 9 false"},
			{5 * time.Second, 2, "READY"},
			{5*time.Second - 1, 0, "op 9 false"},
			{1, 3, "READY"},
		} {
			time.Sleep(step.after)
			if got := dial(t, s, "").answer(step.shard, 4); got != step.want {
				t.Errorf("step %d: shard %d got %q, want %q", i, step.shard, got, step.want)
			}
		}
		st := s.Stats().Bot("")
		if st.Remaining != 994 || st.Identifies != 4 || st.IdentifiesRefused != 2 {
			t.Errorf("stats = %v, want 4 identifies, 2 refused, 994 left", st)
		}
		if n := s.ViolationCount(IdentifyTooEarly); n != 2 {
			t.Errorf("%d too early, want 2", n)
		}
	})
}

// oceanic.js names the stream of its connection in IDENTIFY.
func TestCompressIsNoBool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		c := dial(t, s, "zlib-stream")
		c.await(opHello, "")
		c.send(`{"op":2,"d":{"token":"bot-token","properties":{},"compress":"zlib-stream","intents":1}}`)
		c.await(opDispatch, "READY")
		if v := s.Violations(); len(v) > 0 {
			t.Errorf("violations %v", v)
		}
	})
}

func TestBudgetAtNothingKillsTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(&Config{Bots: []Bot{{IdentifyRemaining: 1}}})
		defer s.Close()
		a := dial(t, s, "").identify(0, 1)
		time.Sleep(6 * time.Second)
		b := dial(t, s, "")
		b.await(opHello, "")
		b.ask("bot-token", 0, 1, 1)
		if code := b.closed(); code != 4004 {
			t.Errorf("identify over the budget: %d, want 4004", code)
		}
		if code := a.closed(); code != 4004 {
			t.Errorf("the other session: %d, want 4004", code)
		}
		c := dial(t, s, "")
		c.resume(a)
		if code := c.closed(); code != 4004 {
			t.Errorf("resume with a dead token: %d, want 4004", code)
		}
		if r := get(t, s, "/api/v10/gateway/bot", "Bot bot-token"); r.status != 401 {
			t.Errorf("REST with a dead token: %d, want 401", r.status)
		}
		if st := s.Stats().Bot(""); !st.Dead || st.Sessions != 0 {
			t.Errorf("stats: %+v", st)
		}
		s.SetToken("", "new-token")
		time.Sleep(24 * time.Hour)
		d := dial(t, s, "")
		d.await(opHello, "")
		d.ask("new-token", 0, 1, 1)
		d.await(opDispatch, "READY")
		if st := s.Stats().Bot(""); st.Dead || st.Remaining != 999 {
			t.Errorf("after the reset: %+v", st)
		}
	})
}

// TestManySessions has sessions with one [shard_id, num_shards], and with
// several num_shards: each gets every event of its guilds.
func TestManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(&Config{Bots: []Bot{{MaxConcurrency: 16, GuildCount: 40}}})
		defer s.Close()
		guild := s.Guilds("")[7]
		var all []*client
		for _, n := range []int{1, 2, 3, 16, 2} {
			time.Sleep(5 * time.Second)
			all = append(all, dial(t, s, "").identify(Place(guild, n), n))
		}
		s.Publish("", guild, Message(0, "ann", "to all"))
		s.Publish("", 0, DM("ann", "to shard 0"))
		for i, c := range all {
			c.await(opDispatch, "MESSAGE_CREATE")
			if i == 0 { // shard 0 of 1
				c.await(opDispatch, "MESSAGE_CREATE")
			}
			c.beat()
		}
		if n := len(s.Violations()); n != 0 {
			t.Error(s.Violations())
		}
	})
}

func TestIntents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(&Config{Bots: []Bot{{Name: "b"}}})
		defer s.Close()
		guild := s.Guilds("b")[0]
		self := s.bots[0].UserID
		c := dial(t, s, "zlib-stream")
		c.await(opHello, "")
		c.ask("bot-token", 0, 1, IntentGuilds|IntentGuildMessages|IntentDirectMessages)
		for range 11 {
			c.await(opDispatch, "")
		}
		s.Publish("b", guild, Typing(0, "ann"))
		s.Publish("b", guild, Presence("ann", "idle"))
		s.Publish("b", guild, Message(0, "ann", "secret"))
		s.Publish("b", guild, Event{Type: "MESSAGE_CREATE", User: "ann", Content: "to you", Mentions: []uint64{self}})
		s.Publish("b", 0, DM("ann", "direct"))
		s.Publish("b", guild, RawEvent("SOMETHING_NEW", []byte(`{"x":1}`)))
		for _, want := range []string{"", "to you", "direct"} {
			p := c.await(opDispatch, "MESSAGE_CREATE")
			if got := field(t, p.D, "content"); got != want {
				t.Errorf("content = %q, want %q", got, want)
			}
		}
		p := c.await(opDispatch, "")
		if p.T != "SOMETHING_NEW" || field(t, p.D, "guild_id") != ID(guild).String() {
			t.Errorf("got %s %s", p.T, p.D)
		}
	})
}
