package discordtest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const identify = `{"op":2,"d":{"token":%q,"properties":{"os":"linux"},"intents":%d,"shard":[%d,%d]}}`

// TestCloseCodes breaks each rule once.
func TestCloseCodes(t *testing.T) {
	hello := func(c *client) { c.await(opHello, "") }
	in := func(c *client) { c.identify(0, 1) }
	say := func(format string, args ...any) func(*client) {
		return func(c *client) { c.send(fmt.Sprintf(format, args...)) }
	}
	for _, tt := range []struct {
		name  string
		bot   Bot
		query string
		do    []func(*client)
		code  int
		kind  ViolationKind
	}{
		{"wrong token", Bot{}, "", []func(*client){hello, say(identify, "x", 1, 0, 1)}, 4004, WrongToken},
		{"identified twice", Bot{}, "", []func(*client){in, say(identify, "bot-token", 1, 0, 1)}, 4005, AlreadyAuth},
		{"presence before identify", Bot{}, "", []func(*client){hello, say(`{"op":3,"d":{"status":"online"}}`)}, 4003, NotAuthenticated},
		{"unknown op", Bot{}, "", []func(*client){in, say(`{"op":77}`)}, 4001, UnknownOp},
		{"no JSON", Bot{}, "", []func(*client){in, say(`{"op":`)}, 4002, BadPayload},
		{"broken identify", Bot{}, "", []func(*client){hello, say(`{"op":2,"d":{"shard":"x"}}`)}, 4002, BadPayload},
		{"too long", Bot{}, "", []func(*client){in, say(`{"op":3,"d":{"x":"%s"}}`, strings.Repeat("x", 4096))}, 4002, PayloadTooLong},
		{"shard out of range", Bot{}, "", []func(*client){hello, say(identify, "bot-token", 1, 2, 2)}, 4010, BadShard},
		{"no multiple", Bot{ShardMultiple: 16}, "", []func(*client){hello, say(identify, "bot-token", 1, 0, 4)}, 4010, BadShard},
		{"too many guilds", Bot{MaxGuildsPerShard: 9}, "", []func(*client){hello, say(`{"op":2,"d":{"token":"bot-token","intents":1}}`)}, 4011, NeedsSharding},
		{"unknown intents", Bot{}, "", []func(*client){hello, say(identify, "bot-token", int64(1)<<40, 0, 1)}, 4013, BadIntents},
		{"no intents", Bot{}, "", []func(*client){hello, say(`{"op":2,"d":{"token":"bot-token"}}`)}, 4013, BadIntents},
		{"disallowed intents", Bot{NoPrivileged: true}, "", []func(*client){hello, say(identify, "bot-token", IntentMessageContent, 0, 1)}, 4014, DisallowedIntents},
		{"old version", Bot{}, "v=8", nil, 4012, BadVersion},
		{"no version", Bot{}, "encoding=json", nil, 4012, BadVersion},
		{"etf", Bot{}, "encoding=etf&v=10", nil, 4012, BadVersion},
		{"121 sends", Bot{}, "", []func(*client){in, func(c *client) {
			for range 120 {
				c.send(`{"op":3,"d":{"status":"online","activities":null}}`)
			}
		}}, 4008, SendRate},
		{"no heartbeat", Bot{}, "", []func(*client){in}, 4009, NoHeartbeat},
		{"no identify", Bot{}, "", []func(*client){hello, func(c *client) { time.Sleep(30 * time.Second); c.beat() }}, 4009, IdentifyTimeout},
		{"seq from the future", Bot{}, "", []func(*client){func(c *client) {
			old := dial(c.t, c.s, "").identify(0, 1)
			old.seq += 100
			old.drop()
			c.resume(old)
		}}, 4007, BadSeq},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(&Config{Bots: []Bot{tt.bot}})
				defer s.Close()
				url := "ws://gateway.discord.test"
				if tt.query != "" {
					url += "/?" + tt.query
				}
				c := dialURL(t, s, url, "")
				for _, f := range tt.do {
					f(c)
				}
				if code := c.closed(); code != tt.code {
					t.Errorf("close code = %d, want %d", code, tt.code)
				}
				if n := s.ViolationCount(tt.kind); n != 1 {
					t.Errorf("%d violations %q, want 1: %v", n, tt.kind, s.Violations())
				}
				if n := len(s.Violations()); n != 1 {
					t.Errorf("violations: %v", s.Violations())
				}
			})
		})
	}
}
