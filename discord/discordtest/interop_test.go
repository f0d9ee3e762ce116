package discordtest_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatshard/chatshard/discord/discordtest"
)

// Clients that others wrote, and that know nothing of this package, log in,
// hear, answer, and come back from what can happen to a session. They are
// pointed at the server by their own options and otherwise as they come: TLS,
// version, compression and token are sent as each of them likes. Those that are
// not in go.mod are programs in testdata/interop, which have to be installed as
// absent says. The environment variable CHATSHARD_INTEROP_REQUIRED turns what
// is missing from a reason to skip into a failure.
func TestInterop(t *testing.T) {
	var wg sync.WaitGroup
	for _, tt := range []struct {
		name  string
		start func(*testing.T, station) *guest
		visit visit
	}{
		// discordgo, oceanic.js and eris answer op 9 with an IDENTIFY at once. discord.js
		// waits 5 s, and up to 1.5 s more at random, but from before it sent the last
		// one. arikawa takes its time: it dials once in 5 s.
		{"discordgo", startDiscordgo, visit{shards: 1, late: true}},
		{"discordgo/2 shards", startDiscordgo, visit{shards: 2, concurrency: 2, late: true}},
		{"discord.js", startNode("discordjs.mjs"), visit{shards: 1, late: true}},
		{"discord.js/2 shards", startNode("discordjs.mjs"), visit{shards: 2, tooEarly: 1}},
		{"@discordjs/ws", startNode("ws.mjs"), visit{shards: 2, concurrency: 2, late: true}},
		{"oceanic.js", startNode("oceanic.mjs"), visit{shards: 2, concurrency: 2, late: true}},
		{"oceanic.js/zlib-stream", startNode("oceanic.mjs"), visit{shards: 1, compress: true, late: true}},
		{"eris", startNode("eris.mjs"), visit{shards: 2, late: true}},
		{"disgo/zstd-stream", startGo("disgo"), visit{shards: 2}},
		{"disgo/compress", startGo("disgo"), visit{shards: 1, compress: true}},
		{"arikawa", startGo("arikawa"), visit{shards: 2, concurrency: 2}},
		{"discord.py", startPython("discordpy.py"), visit{shards: 2}},
	} {
		wg.Go(func() { // not t.Parallel, which lets only some at a time wait for their clients
			t.Run(tt.name, func(t *testing.T) { interop(t, tt.visit, tt.start) })
		})
	}
	wg.Wait()
}

// visit is how a client comes, and what it does not do.
type visit struct {
	shards      int
	concurrency int  // max_concurrency; default 1
	compress    bool // not as the client does by default
	late        bool // op 9 comes when an IDENTIFY is due again: the client does not wait, or not long enough
	tooEarly    int  // so many IDENTIFYs may be refused, of a client that waits without a margin
}

// station is where a client has to go, and as whom.
type station struct {
	Host      string `json:"host"`
	Port      int    `json:"port"`
	API       string `json:"api"` // without a version
	Token     string `json:"token"`
	Shards    int    `json:"shards"`
	Compress  bool   `json:"compress"`
	authority []byte // that signs the certificate, in PEM
}

// appID is the application's id, of which tokens begin with a form.
const appID = 261_000_000_000_000_000

var token = base64.RawStdEncoding.EncodeToString([]byte(strconv.FormatInt(appID, 10))) + ".interop.test"

// guest is a client that others wrote. It says a line for whatever happens:
//
//	ready SHARD GUILDS        a session began and all its guilds are there
//	resumed SHARD
//	message CHANNEL AUTHOR TEXT
//
// and answers "!ping" with "pong".
type guest struct {
	t    *testing.T
	seen func() []string
	stop func() // ends it, and waits

	taken map[string]int // how often each line was waited for
}

// patience is how long a client may take for anything.
const patience = time.Minute

// until waits until done reports "", which says what is missing.
func (g *guest) until(done func(seen []string) string) {
	g.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		seen := g.seen()
		missing := done(seen)
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("not within %v: %s; the last that the client said:\n%s", patience, missing, strings.Join(seen[max(0, len(seen)-20):], "\n"))
		}
	}
}

// await waits until the client has said each line once more than before.
func (g *guest) await(lines ...string) {
	g.t.Helper()
	if g.taken == nil {
		g.taken = make(map[string]int)
	}
	for _, l := range lines {
		g.taken[l]++
	}
	g.until(func(seen []string) string {
		for _, l := range lines {
			n := 0
			for _, s := range seen {
				if s == l {
					n++
				}
			}
			if n < g.taken[l] {
				return fmt.Sprintf("%q for the %d. time", l, g.taken[l])
			}
		}
		return ""
	})
}

// chat is what was said in the guilds.
type chat struct {
	s    *discordtest.Server
	want map[uint64][]string // by channel
	said int
}

// say publishes n messages in each guild.
func (c *chat) say(n int) {
	for range n {
		for _, guild := range c.s.Guilds("") {
			c.said++
			c.publish(guild, fmt.Sprintf("message %d; ñandú 🎉", c.said))
		}
	}
}

func (c *chat) publish(guild uint64, text string) {
	c.s.Publish("", guild, discordtest.Message(0, "ann", text))
	channel := discordtest.Channel(guild, 0)
	c.want[channel] = append(c.want[channel], fmt.Sprintf("message %d ann %s", channel, text))
}

// heard waits until the client has received everything in every channel, in
// order and once.
func (c *chat) heard(g *guest) {
	g.t.Helper()
	g.until(func(seen []string) string {
		for channel, want := range c.want {
			prefix := fmt.Sprintf("message %d ann ", channel)
			var got []string
			for _, l := range seen {
				if strings.HasPrefix(l, prefix) {
					got = append(got, l)
				}
			}
			if n := min(len(got), len(want)); !slices.Equal(got[:n], want[:n]) || len(got) > len(want) {
				g.t.Fatalf("in channel %d the client received\n%s\nwant\n%s", channel, strings.Join(got, "\n"), strings.Join(want, "\n"))
			} else if n < len(want) {
				return strconv.Quote(want[n])
			}
		}
		return ""
	})
}

// interop is what a client has to go through.
func interop(t *testing.T, v visit, start func(*testing.T, station) *guest) {
	const guilds = 6
	s := discordtest.New(&discordtest.Config{Bots: []discordtest.Bot{{
		Token: token, UserID: appID, GuildCount: guilds, RecommendedShards: v.shards, MaxConcurrency: v.concurrency,
	}}})
	defer s.Close()
	addr, err := s.ListenTLS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := addr.(*net.TCPAddr)
	g := start(t, station{
		Host: at.IP.String(), Port: at.Port, API: "https://" + at.String() + "/api", Token: token,
		Shards: v.shards, Compress: v.compress, authority: s.CertPEM(),
	})
	stop := sync.OnceFunc(g.stop)
	defer stop()

	c := &chat{s: s, want: make(map[uint64][]string)}
	each := func(format string, args ...any) (lines []string) {
		for shard := range v.shards {
			lines = append(lines, fmt.Sprintf(format, append([]any{shard}, args...)...))
		}
		return lines
	}
	hit := func(f discordtest.Fault, target discordtest.Target, want int) {
		t.Helper()
		if n := s.Inject(f, target); n != want {
			t.Errorf("%s hit %d connections, want %d", f.Kind, n, want)
		}
	}
	ping := func() {
		t.Helper()
		guild := s.Guilds("")[0]
		before := len(s.Posts())
		c.publish(guild, "!ping")
		g.await(fmt.Sprintf("message %d bot pong", discordtest.Channel(guild, 0)))
		if posts := s.Posts(); len(posts) != before+1 || posts[before].Content != "pong" || posts[before].Bot != "bot" {
			t.Errorf("posts %+v, want one more pong", posts)
		}
	}

	g.await(each("ready %d %d", guilds/v.shards)...)
	began := time.Now() // not before the last IDENTIFY
	c.say(20)
	c.heard(g)
	ping()

	hit(discordtest.Fault{Kind: discordtest.Drop}, discordtest.Target{}, v.shards)
	c.say(3) // while nobody is there
	g.await(each("resumed %d")...)
	c.say(3)
	c.heard(g)

	hit(discordtest.Fault{Kind: discordtest.Reconnect}, discordtest.Target{}, v.shards)
	c.say(3)
	g.await(each("resumed %d")...)
	c.say(3)
	c.heard(g)

	if v.late {
		<-time.After(time.Until(began.Add(5 * time.Second)))
	}
	hit(discordtest.Fault{Kind: discordtest.InvalidSession}, discordtest.Target{Shard: &[2]int{0, v.shards}}, 1)
	g.await(fmt.Sprintf("ready 0 %d", guilds/v.shards))
	c.say(20)
	c.heard(g)
	ping()
	c.heard(g)

	stop()
	g.until(func([]string) string {
		if n := s.Stats().Bot("").Conns; n > 0 {
			return fmt.Sprintf("the end of %d connections", n)
		}
		return ""
	})
	st := s.Stats().Bot("")
	for _, x := range []struct {
		what      string
		got, want int64
	}{
		{"identifies", st.Identifies, int64(v.shards) + 1},
		{"identifies refused", max(0, st.IdentifiesRefused-int64(v.tooEarly)), 0},
		{"resumes", st.Resumes, 2 * int64(v.shards)},
		{"resumes failed", st.ResumesFailed, 0},
		{"sessions kept", st.SessionsKept, int64(v.shards)},
		{"sessions wasted", st.SessionsWasted, 0},
		{"sessions left", int64(st.Sessions), 0}, // closed with 1000
	} {
		if x.got != x.want {
			t.Errorf("%d %s, want %d", x.got, x.what, x.want)
		}
	}
	for _, violation := range s.Violations() {
		if violation.Kind != discordtest.IdentifyTooEarly || v.tooEarly == 0 {
			t.Errorf("violation: %v", violation)
		}
	}
}

// absent skips the test, or fails it if nothing may be missing.
func absent(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CHATSHARD_INTEROP_REQUIRED") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// output keeps what a client says. Safe for concurrent use.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// lines returns the whole lines so far.
func (o *output) lines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := strings.Split(o.buf.String(), "\n")
	return lines[:len(lines)-1]
}
