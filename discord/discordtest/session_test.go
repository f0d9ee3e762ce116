package discordtest

import (
	"testing"
	"testing/synctest"
)

var modes = []string{"", "zlib-stream", "zstd-stream", "payload"}

func TestLoginAndResume(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(nil)
				defer s.Close()
				j := s.Judge()
				c := dial(t, s, mode).identify(0, 1)
				if len(c.ready.Guilds) != 10 {
					t.Fatalf("READY has %d guilds, want 10", len(c.ready.Guilds))
				}
				guild := s.Guilds("")[0]
				id := s.Publish("", guild, Message(0, "ann", "hello"))
				p := c.await(opDispatch, "MESSAGE_CREATE")
				t.Logf("%s", p.D)
				j.Received(ID(guild).String(), id.String(), now())
				c.beat()
				c.drop()
				synctest.Wait()
				ids := []ID{s.Publish("", guild, Message(0, "ann", "one")), s.Publish("", guild, Message(0, "ann", "two"))}
				d := dialURL(t, s, c.ready.URL, mode)
				d.resume(c)
				for _, id := range ids {
					d.await(opDispatch, "MESSAGE_CREATE")
					j.Received(ID(guild).String(), id.String(), now())
				}
				d.await(opDispatch, "RESUMED")
				st := s.Stats().Bot("")
				if st.Identifies != 1 || st.Resumes != 1 || st.Remaining != 999 {
					t.Errorf("stats: %v", st)
				}
				if v := s.Violations(); len(v) != 0 {
					t.Errorf("violations: %v", v)
				}
				if v := j.Verdict(); !v.OK() || v.Received != 3 {
					t.Errorf("verdict: %v %v", v, v.Offences)
				}
			})
		})
	}
}
