package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatshard/chatshard/discord/discordtest"
	"github.com/chatshard/chatshard/irc/irctest"
)

// world is a Twitch, an IRC network and a Discord where people talk all the
// time, and a configuration of a relay that reads them.
type world struct {
	twitch, irc *irctest.Server
	discord     *discordtest.Server
	file, addr  string
	rooms       []string
	judges      struct {
		twitch, irc *irctest.Judge
		discord     *discordtest.Judge
	}
	quiet context.CancelFunc
	load  sync.WaitGroup
}

const worldGuilds = 8

func newWorld(t *testing.T, more string) *world {
	t.Helper()
	w := &world{addr: freeAddr(t), rooms: []string{"ann", "ben", "cat", "dan", "eve"}}
	w.twitch = irctest.NewTwitch(&irctest.Config{Anonymous: irctest.Unlimited(), Unsure: 5 * time.Second})
	w.irc = irctest.NewIRC(&irctest.Config{Unsure: 5 * time.Second})
	w.discord = discordtest.New(&discordtest.Config{ReplayMax: 1 << 20, Unsure: 5 * time.Second,
		Bots: []discordtest.Bot{{GuildCount: worldGuilds, MaxConcurrency: 16}}})
	t.Cleanup(w.twitch.Close)
	t.Cleanup(w.irc.Close)
	t.Cleanup(w.discord.Close)
	var at [3]string
	for i, listen := range []func(string) (string, error){
		func(a string) (string, error) { l, err := w.twitch.Listen(a); return fmt.Sprint(l), err },
		func(a string) (string, error) { l, err := w.irc.Listen(a); return fmt.Sprint(l), err },
		func(a string) (string, error) { l, err := w.discord.Listen(a); return fmt.Sprint(l), err },
	} {
		var err error
		if at[i], err = listen("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	w.judges.twitch, w.judges.irc, w.judges.discord = w.twitch.Judge(), w.irc.Judge(), w.discord.Judge()
	w.file = written(t, "c.yaml", fmt.Sprintf(`version: 1
log: {level: debug}
twitch: {address: %q, tls: false, channels_per_shard: 3, max_shard_count: 2, channels: [%s]}
irc:
  net: {address: %q, tls: false, nick: "bot{shard}", channels: ["#go"]}
discord:
  account: {token: bot-token, name: mybot}
  api: http://%s/api/v10
  shards: 2
relay:
  listen: %s
%s`, at[0], strings.Join(w.rooms, ", "), at[1], at[2], w.addr, more))
	return w
}

// joined reports whether all channels, sessions and guilds are there: what is
// said in a guild before reaches nobody.
func (w *world) joined() bool {
	for _, room := range w.rooms {
		if w.twitch.Members(room) == 0 {
			return false
		}
	}
	return w.irc.Members("#go") > 0 && w.discord.Stats().Bot("").Conns == 2 && w.judges.discord.Verdict().Guilds == worldGuilds
}

// talk lets people talk until hush, in all rooms of Twitch but eve's.
func (w *world) talk(t *testing.T) {
	ctx, quiet := context.WithCancel(context.Background())
	w.quiet = quiet
	w.load.Go(func() { w.twitch.Chat(ctx, &irctest.Load{Rate: 200, Channels: w.rooms[:4]}) })
	w.load.Go(func() { w.discord.Load(ctx, &discordtest.Load{Rate: 100}) })
	w.load.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.irc.Say("#go", "ann", "hello")
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(w.hush)
}

func (w *world) hush() {
	w.quiet()
	w.load.Wait()
}

// tell tells the judges of an envelope.
func (w *world) tell(e *envelope) {
	j := w.judges.twitch
	switch e.Platform {
	case "discord":
		if e.Kind == "message" {
			w.judges.discord.Received(e.Guild.ID, e.ID, time.Now())
		}
		return
	case "irc":
		j = w.judges.irc
	case "twitch":
	default:
		return
	}
	switch e.Kind {
	case "message", "user_notice":
		j.Received(e.Channel.Name, e.ID, time.Now())
	case "gap":
		from, to := instant(e.Gap.From), instant(e.Gap.To)
		if e.Channel != nil {
			j.Gap(from, to, e.Channel.Name)
		} else {
			j.Gap(from, to)
		}
	}
}

// fine reports whether all that was sent has come, or lies in a gap.
func (w *world) fine() bool {
	return w.judges.twitch.Verdict().OK() && w.judges.irc.Verdict().OK() && w.judges.discord.Verdict().OK()
}

// follower is a program that reads a relay over HTTP, whatever becomes of it.
type follower struct {
	t    *testing.T
	addr string

	mu     sync.Mutex // guards all below
	epoch  string
	seq    uint64            // of the last entry
	ids    map[uint64]string // of all entries, with their platforms
	last   map[string]time.Time
	faults []string
	gaps   int
	holes  []envelope            // gaps that are not in the log
	lost   map[string][]lostSpan // gaps by channel
	tell   func(*envelope)
	notify chan struct{} // one for each entry
}

type lostSpan struct {
	from, to time.Time
	dropped  int
}

func newFollower(t *testing.T, addr string, tell func(*envelope)) *follower {
	return &follower{t: t, addr: addr, ids: map[uint64]string{}, last: map[string]time.Time{}, lost: map[string][]lostSpan{}, tell: tell, notify: make(chan struct{}, 100_000)}
}

func (f *follower) fault(format string, args ...any) {
	if len(f.faults) < 20 {
		f.faults = append(f.faults, fmt.Sprintf(format, args...))
	}
}

func (f *follower) at() (string, uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.epoch, f.seq
}

// follow reads until ctx ends, at its cursor again each time.
func (f *follower) follow(ctx context.Context) {
	for ctx.Err() == nil {
		query := "last=10000"
		if epoch, seq := f.at(); epoch != "" {
			query = fmt.Sprintf("from=%s:%d", epoch, seq)
		}
		res, err := fetch(ctx, "http://"+f.addr+"/v1/stream?"+query)
		if err != nil {
			pause(ctx)
			continue
		}
		in := bufio.NewReader(res.Body)
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				break // what there is of a line comes again
			}
			f.take(bytes.TrimSuffix(line, []byte("\n")))
		}
		res.Body.Close()
	}
}

// fetch is a GET that succeeded.
func fetch(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err == nil && res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		return nil, fmt.Errorf("%s: %s", res.Status, text)
	}
	return res, err
}

// pause waits between two tries.
func pause(ctx context.Context) {
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
	}
}

// take looks at one entry: it has to follow the one before.
func (f *follower) take(line []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := read(f.t, line)
	switch {
	case f.epoch == "":
	case e.Kind == "gap" && e.Gap.Reason != "": // for this reader, in the place of what is no more
		f.holes = append(f.holes, e)
	case e.Cursor.Epoch != f.epoch:
		f.fault("epoch %s after %s", e.Cursor.Epoch, f.epoch)
	case e.Cursor.Seq != f.seq+1:
		f.fault("entry %d after %d: %.200s", e.Cursor.Seq, f.seq, line)
	}
	f.epoch, f.seq = e.Cursor.Epoch, e.Cursor.Seq
	f.ids[f.seq] = e.Platform + " " + e.ID
	if e.Kind == "gap" && e.Channel != nil {
		channel := e.Platform + " " + e.Channel.Name
		if e.Platform == "discord" {
			channel = e.Platform + " " + e.Channel.ID
		}
		f.lost[channel] = append(f.lost[channel], lostSpan{instant(e.Gap.From), instant(e.Gap.To), e.Gap.Dropped})
	}
	if e.Channel != nil && e.Platform != "discord" {
		channel := e.Platform + " " + e.Channel.Name
		switch {
		case e.Kind == "gap":
			f.gaps++
			if at := instant(e.Gap.From); at.Before(f.last[channel]) || !at.Before(instant(e.Gap.To)) {
				f.fault("gap of %s from %s to %s, the last message is of %v", channel, e.Gap.From, e.Gap.To, f.last[channel])
			}
		case e.Time != "":
			f.last[channel] = instant(e.Time)
		}
	}
	if f.tell != nil {
		f.tell(&e)
	}
	select {
	case f.notify <- struct{}{}:
	default:
	}
}

// named is a consumer whose cursor the relay keeps.
type named struct {
	t      *testing.T
	addr   string
	mu     sync.Mutex // guards all below
	seen   uint64     // up to here it has seen all
	acked  uint64     // up to here it may have acknowledged
	again  int        // entries that came again
	begins int
	faults []string
}

// follow reads under a name until ctx ends, and acknowledges now and then some
// of what it has.
func (n *named) follow(ctx context.Context, name string) {
	for ctx.Err() == nil {
		res, err := fetch(ctx, "http://"+n.addr+"/v1/stream?last=10000&consumer="+name)
		if err != nil {
			pause(ctx)
			continue
		}
		in := bufio.NewReader(res.Body)
		for first := true; ; first = false {
			line, err := in.ReadBytes('\n')
			if err != nil {
				break
			}
			e := read(n.t, bytes.TrimSuffix(line, []byte("\n")))
			if at := n.take(&e, first); at != 0 {
				cursor := fmt.Sprintf("%s:%d", e.Cursor.Epoch, at)
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+n.addr+"/v1/ack?consumer="+name+"&cursor="+cursor, nil)
				if err != nil {
					break
				}
				if res, err := http.DefaultClient.Do(req); err == nil {
					res.Body.Close()
				}
			}
		}
		res.Body.Close()
	}
}

// take looks at one entry and returns what to acknowledge, if anything.
func (n *named) take(e *envelope, first bool) (ack uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	seq := e.Cursor.Seq
	switch {
	case e.Gap != nil && e.Gap.Reason != "":
		n.seen, n.acked = seq, seq
	case first && n.begins > 0 && seq > n.acked+1:
		n.faults = append(n.faults, fmt.Sprintf("it begins at %d, and had acknowledged %d", seq, n.acked))
	case n.seen > 0 && seq > n.seen+1:
		n.faults = append(n.faults, fmt.Sprintf("entry %d after %d", seq, n.seen))
	case n.seen >= seq:
		n.again++
	}
	if first {
		n.begins++
	}
	n.seen = max(n.seen, seq)
	if seq%20 == 0 && seq > 7 {
		n.acked = max(n.acked, seq-7)
		return seq - 7
	}
	return 0
}
