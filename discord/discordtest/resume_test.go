package discordtest

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// resumed sends RESUME and returns what became of it: how many events were
// replayed, or op 9, or the close code.
func (c *client) resumed(old *client) string {
	c.t.Helper()
	c.resume(old)
	for n := 0; ; n++ {
		p, err := c.next()
		switch {
		case err != nil:
			return fmt.Sprint("closed ", c.closed())
		case p.Op == opInvalidSession:
			return "op 9 " + string(p.D)
		case p.T == "RESUMED":
			return fmt.Sprint("resumed ", n)
		}
	}
}

func TestResume(t *testing.T) {
	for _, tt := range []struct {
		name   string
		end    func(*client) // how the first connection ends
		wait   time.Duration
		events int
		want   string
		kind   ViolationKind
	}{
		{"dropped", (*client).drop, 0, 3, "resumed 3", ""},
		{"closed with 4000", func(c *client) { c.close(4000) }, 0, 1, "resumed 1", ""},
		{"closed without a code", func(c *client) { c.close(1005) }, 0, 1, "resumed 1", ""},
		{"closed with 1000", func(c *client) { c.close(1000) }, 0, 1, "op 9 false", ResumeAfterClose},
		{"closed with 1001", func(c *client) { c.close(1001) }, 0, 1, "op 9 false", ResumeAfterClose},
		{"still open", func(c *client) {}, 0, 0, "resumed 0", ""},
		{"just in time", (*client).drop, 3*time.Minute - 1, 0, "resumed 0", ""},
		{"too late", (*client).drop, 3 * time.Minute, 0, "op 9 false", ""},
		{"the whole buffer", (*client).drop, 0, 750, "resumed 750", ""},
		{"more than the buffer", (*client).drop, 0, 751, "op 9 false", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(nil)
				defer s.Close()
				c := dial(t, s, "").identify(0, 1)
				tt.end(c)
				synctest.Wait()
				for range tt.events {
					s.Publish("", s.Guilds("")[0], Message(0, "ann", "x"))
				}
				time.Sleep(tt.wait)
				d := dial(t, s, "")
				if got := d.resumed(c); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				if tt.name == "still open" && c.closed() != 4000 {
					t.Errorf("the first connection was not closed")
				}
				st := s.Stats().Bot("")
				if st.Identifies != 1 || st.Remaining != 999 || st.Resumes+st.ResumesFailed != 1 {
					t.Errorf("stats: %v", st)
				}
				if n := len(s.Violations()); n != 0 && s.Violations()[0].Kind != tt.kind {
					t.Errorf("violations: %v", s.Violations())
				}
			})
		})
	}
}

// TestResumeTwice drops the second connection as well, in the middle of the
// replay: what was not read comes again, RESUMED does not.
func TestResumeTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		guild := s.Guilds("")[0]
		c := dial(t, s, "").identify(0, 1)
		c.drop()
		synctest.Wait()
		for i := range 10 {
			s.Publish("", guild, Message(0, "ann", fmt.Sprint(i)))
		}
		d := dial(t, s, "zlib-stream")
		d.resume(c)
		for range 4 {
			d.await(opDispatch, "MESSAGE_CREATE")
		}
		d.drop()
		synctest.Wait()
		s.Publish("", guild, Message(0, "ann", "10"))
		e := dial(t, s, "")
		e.resume(d)
		for i := 4; i <= 10; i++ {
			if p := e.await(opDispatch, ""); p.T != "MESSAGE_CREATE" || field(t, p.D, "content") != fmt.Sprint(i) {
				t.Errorf("replay has %s %s, want message %d", p.T, p.D, i)
			}
		}
		e.await(opDispatch, "RESUMED")
		if n := s.ViolationCount(ResumeMismatch); n != 1 {
			t.Errorf("%d mismatches, want 1", n)
		}
		if st := s.Stats().Bot(""); st.SessionsKept != 1 || st.Resumes != 2 {
			t.Errorf("stats: %v", st)
		}
	})
}

// TestGuildsComeLater drops the connection while guilds become available; the
// rest comes after RESUME, and events of guilds that are not there do not come.
func TestGuildsComeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(&Config{Bots: []Bot{{GuildCount: 100}}, GuildDelay: 10 * time.Second})
		defer s.Close()
		last := s.Guilds("")[99]
		s.Withhold(s.Guilds("")[98])
		c := dial(t, s, "")
		c.await(opHello, "")
		c.ask("bot-token", 0, 1, allIntents)
		for range 51 {
			c.await(opDispatch, "")
		}
		s.Publish("", last, Message(0, "ann", "too early"))
		c.drop()
		d := dial(t, s, "")
		d.resume(c)
		n := 50
		for n < 99 {
			if p := d.await(opDispatch, ""); p.T == "GUILD_CREATE" {
				n++
			} else if p.T != "RESUMED" {
				t.Errorf("got %s", p.T)
			}
		}
		s.Publish("", last, Message(0, "ann", "now"))
		if p := d.await(opDispatch, ""); p.T != "MESSAGE_CREATE" {
			t.Errorf("got %s", p.T)
		}
		s.Recover(s.Guilds("")[98])
		d.await(opDispatch, "GUILD_CREATE")
		s.Outage(last)
		if p := d.await(opDispatch, "GUILD_DELETE"); field(t, p.D, "unavailable") != "true" {
			t.Errorf("outage: %s", p.D)
		}
		if id := s.Publish("", last, Message(0, "ann", "nobody hears")); id != 0 {
			t.Error("published in a guild that is not available")
		}
		s.Recover(last)
		d.await(opDispatch, "GUILD_CREATE")
		s.RemoveGuild("", last)
		if p := d.await(opDispatch, "GUILD_DELETE"); field(t, p.D, "unavailable") != "<nil>" {
			t.Errorf("removed: %s", p.D)
		}
		s.AddGuild("", last)
		d.await(opDispatch, "GUILD_CREATE")
	})
}

func TestRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		guild := s.Guilds("")[0]
		c := dial(t, s, "").identify(0, 1)
		all := fmt.Sprintf(`{"op":8,"d":{"guild_id":"%d","query":"","limit":0,"nonce":"n"}}`, guild)
		c.send(all)
		if p := c.await(opDispatch, "GUILD_MEMBERS_CHUNK"); field(t, p.D, "nonce") != "n" || field(t, p.D, "chunk_count") != "1" {
			t.Errorf("%s", p.D)
		}
		time.Sleep(10 * time.Second)
		c.send(all)
		if p := c.await(opDispatch, "RATE_LIMITED"); field(t, p.D, "retry_after") != "20" || field(t, p.D, "opcode") != "8" {
			t.Errorf("%s", p.D)
		}
		c.send(fmt.Sprintf(`{"op":8,"d":{"guild_id":%d,"user_ids":["%d","7"],"limit":0}}`, guild, s.bots[0].UserID))
		if p := c.await(opDispatch, "GUILD_MEMBERS_CHUNK"); field(t, p.D, "not_found") != "[7]" {
			t.Errorf("%s", p.D)
		}
		c.send(fmt.Sprintf(`{"op":4,"d":{"guild_id":"%d","channel_id":"%d","self_mute":true,"self_deaf":false}}`, guild, Channel(guild, 2)))
		if p := c.await(opDispatch, "VOICE_STATE_UPDATE"); field(t, p.D, "self_mute") != "true" {
			t.Errorf("%s", p.D)
		}
		c.await(opDispatch, "VOICE_SERVER_UPDATE")
		c.send(fmt.Sprintf(`{"op":31,"d":{"guild_ids":["%d"]}}`, guild))
		c.await(opDispatch, "SOUNDBOARD_SOUNDS")
		c.send(fmt.Sprintf(`{"op":43,"d":{"guild_id":"%d","fields":["status"]}}`, guild))
		c.await(opDispatch, "CHANNEL_INFO")
		c.send(`{"op":1,"d":99999}`)
		c.await(opACK, "")
		if n := s.ViolationCount(BadHeartbeat) + s.ViolationCount(MembersTooOften); n != 2 {
			t.Errorf("violations: %v", s.Violations())
		}
	})
}

// TestHalfOpenIsTakenOver resumes while the server believes that the first
// connection lives, though nothing gets through: that one stays silent.
func TestHalfOpenIsTakenOver(t *testing.T) {
	for _, kind := range []FaultKind{HalfOpen, Mute} {
		synctest.Test(t, func(t *testing.T) {
			s := New(nil)
			defer s.Close()
			c := dial(t, s, "").identify(0, 1)
			s.Inject(Fault{Kind: kind}, Target{})
			s.Publish("", s.Guilds("")[0], Message(0, "ann", "x"))
			if got := dial(t, s, "").resumed(c); got != "resumed 1" {
				t.Errorf("%s: %s", kind, got)
			}
			c.ws.SetReadDeadline(time.Now().Add(time.Hour))
			if got := c.closed(); got != 1006 {
				t.Errorf("%s: the old connection said %d", kind, got)
			}
		})
	}
}
