package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chatshard/chatshard/channels"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/chatshard/chatshard/irc/irctest"
)

// What the API may join and part is decided before anything is done: all of a
// request, or nothing and one reason.
func TestRosterRules(t *testing.T) {
	file := written(t, "c.yaml", `version: 1
twitch:
  accounts: [{login: one, token: `+goodToken+`}, {login: two, token: `+goodToken+`}]
  channels: [forsen, {name: own, account: one, cap_exempt: true}, {name: later, enabled: false}]
irc:
  net: {address: "127.0.0.1:1", tls: false, nick: bot, channels_per_shard: 2, channels: ["#go"]}
channels_file: list.txt
`)
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "list.txt"), []byte("twitch:lirik\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &relayRun{config: c, roster: newRoster(c.wanted)}
	if r.carriers, err = newCarriers(c, newCursor(), r.log); err != nil {
		t.Fatal(err)
	}
	r.list(c.wanted)
	many := make([]string, 0, 200) // beside forsen and lirik
	for i := range 200 {
		many = append(many, fmt.Sprint("twitch:c", i))
	}
	own := func() (all []string) {
		for e := range r.roster.own.All() {
			all = append(all, e.Name.String())
		}
		return all
	}
	for _, c := range []struct {
		verb   string
		q      joinRequest
		status int
		code   string
		want   string
		left   int // joined over the API, afterwards
	}{
		{"join", joinRequest{}, 422, "bad_request", "no channels", 0},
		{"join", joinRequest{Channels: make([]string, 1001)}, 422, "too_many", "1001 channels at once", 0},
		{"join", joinRequest{Channels: []string{"twitch:xqc", "forsen"}}, 422, "bad_channel", `"forsen": position 1: no platform; write twitch:forsen`, 0},
		{"join", joinRequest{Channels: []string{"discord:4711"}}, 422, "not_joinable", "reads the guilds that it was added to", 0},
		{"join", joinRequest{Channels: []string{"irc:other/#go"}}, 422, "no_section", "no section irc.other", 0},
		{"join", joinRequest{Channels: []string{"twitch:xqc"}, Account: "three"}, 422, "no_account", `no account is called "three"; use one of "one", "two"`, 0},
		{"join", joinRequest{Channels: []string{"irc:net/#x"}, Account: "one"}, 422, "bad_request", "account and cap_exempt are Twitch's", 0},
		{"join", joinRequest{Channels: []string{"twitch:xqc"}, CapExempt: true}, 422, "bad_request", "cap_exempt without account", 0},
		{"join", joinRequest{Channels: []string{"twitch:xqc", "twitch:XQC"}}, 422, "bad_request", "twitch:xqc (api): listed twice", 0},
		{"join", joinRequest{Channels: []string{"twitch:later"}}, 409, "configured", ":4:74 has it with enabled: false", 0},
		{"join", joinRequest{Channels: []string{"twitch:forsen"}, Account: "two"}, 409, "configured", ":4:14 has it, with other settings", 0},
		{"join", joinRequest{Channels: []string{"twitch:forsen"}}, 0, "", "", 0}, // it is there
		{"join", joinRequest{Channels: many}, 409, "over_cap", "2 of 202 channels exceed what the accounts may join", 0},
		{"join", joinRequest{Channels: many[:198]}, 0, "", "", 198},
		{"join", joinRequest{Channels: many[:198]}, 0, "", "", 198}, // likewise
		{"join", joinRequest{Channels: many[198:199]}, 409, "over_cap", "1 of 201", 198},
		{"join", joinRequest{Channels: many[198:199], Account: "one", CapExempt: true}, 0, "", "", 199},
		{"join", joinRequest{Channels: []string{"irc:net/#x", "irc:net/#y"}}, 409, "over_cap", `irc network "net": 3 channels, and 1 shards of 2 hold 2`, 199},
		{"join", joinRequest{Channels: []string{"irc:net/#x"}}, 0, "", "", 200},
		{"part", joinRequest{Channels: []string{"twitch:c5", "twitch:forsen"}}, 409, "configured", ":4:14 has it; remove it there", 200},
		{"part", joinRequest{Channels: []string{"twitch:lirik"}}, 409, "configured", "list.txt:1:1 has it; remove it there, which parts it at once", 200},
		{"part", joinRequest{Channels: []string{"twitch:c5", "twitch:later"}}, 404, "not_wanted", "twitch:later: not a channel that is wanted", 200},
		{"part", joinRequest{Channels: append([]string{"irc:net/#x"}, many[:199]...)}, 0, "", "", 0},
	} {
		do := r.join
		if c.verb == "part" {
			do = r.part
		}
		_, err := do(t.Context(), &c.q)
		var no *rosterError
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s %.60v: %v", c.verb, c.q.Channels, err)
		case c.want != "" && (!errors.As(err, &no) || no.status != c.status || no.code != c.code || !strings.Contains(no.text, c.want)):
			t.Errorf("%s %.60v: %v (%+v), want %d %s %s", c.verb, c.q.Channels, err, no, c.status, c.code, c.want)
		}
		if n := len(own()); n != c.left {
			t.Fatalf("%s %.60v: %d joined over the API, want %d", c.verb, c.q.Channels, n, c.left)
		}
	}
	carried := 0
	for _, k := range r.carriers {
		carried += len(k.carried)
	}
	if carried != 4 {
		t.Errorf("%d channels carried, want the 4 that are listed and enabled", carried)
	}

	st := r.standing(func(n channels.Name) bool { return n.Channel == "lirik" })
	if len(st) != 1 || st[0].Origin != "file" || !strings.HasSuffix(st[0].At, "list.txt:1:1") {
		t.Errorf("%+v, want one of the file", st)
	}
	id := channels.Entry{Name: channels.Name{Platform: channels.Discord, Channel: "4711"}, Origin: "c.yaml:1:1"}
	if st := r.status(id, nil); st.State != "refused" || st.Reason != "the configuration has no section discord" {
		t.Errorf("%+v", st)
	}
	r.bot = &botCarrier{account: "mybot"}
	if st := r.status(id, nil); st.State != "wanted" || st.Account != "mybot" || !strings.Contains(st.Reason, "Discord decides") {
		t.Errorf("%+v", st)
	}

	// Who comes when there is no room is told, and those before stay.
	if _, err := r.join(t.Context(), &joinRequest{Channels: many[:198]}); err != nil {
		t.Fatal(err)
	}
	more, err := channels.ParseList("list.txt", []byte("twitch:lirik\ntwitch:late\n"))
	if err != nil {
		t.Fatal(err)
	}
	r.list(channels.Merge(c.listed, more))
	st = r.standing(func(n channels.Name) bool { return n.Channel == "late" })
	if len(st) != 1 || st[0].State != "refused" || !strings.Contains(st[0].Reason, "no account has room") || r.roster.now.Load().over != 1 {
		t.Errorf("%+v, want the one that came last without a place", st)
	}
}

// admin asks a relay and returns the status and the body.
func admin(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// listed returns where channels stand, by name, as the command prints it.
func listed(t *testing.T, args ...string) (map[string]channelStatus, channelsAnswer) {
	t.Helper()
	code, stdout, stderr := chatshard(t, append([]string{"channels", "list", "-o", "json"}, args...)...)
	var a channelsAnswer
	if err := json.Unmarshal([]byte(stdout), &a); code != exitOK || err != nil {
		t.Fatalf("channels list: exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	by := make(map[string]channelStatus)
	for _, c := range a.Channels {
		by[c.Channel] = c
	}
	return by, a
}

// Channels are joined and parted while the relay runs, by commands with tokens
// of a file, and what was joined is joined again by the next relay.
func TestChannelsWhileItRuns(t *testing.T) {
	twitch, twitchAddr := twitchOn(t, nil)
	ircd := irctest.NewIRC(nil)
	t.Cleanup(ircd.Close)
	ircAddr, err := ircd.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	twitch.RefuseJoin("gone", "msg_banned", -1)
	addr := freeAddr(t)
	file := written(t, "c.yaml", fmt.Sprintf(`version: 1
twitch: {address: %q, tls: false, channels: [forsen]}
irc:
  net: {address: %q, tls: false, nick: bot, channels: ["#go"]}
relay: {listen: %q, tokens_file: tokens}
`, twitchAddr, ircAddr, addr))
	dir := filepath.Dir(file)
	for name, text := range map[string]string{
		"tokens": fmt.Sprintf("# who may what\nboss %s admin\nwatcher %s read,send connections=5 # a comment\n", relay.HashToken("boss-token"), relay.HashToken("watch-token")),
		"boss":   "boss-token\n", "watcher": "watch-token\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := []string{"--url", "http://" + addr, "--token-file", filepath.Join(dir, "watcher")}
	boss := []string{"--url", "http://" + addr, "--token-file", filepath.Join(dir, "boss")}
	p := begin(t, nil, "run", "-c", file)
	until(t, "the address", func() bool { _, err := http.Get("http://" + addr + "/livez"); return err == nil })
	until(t, "what is configured", func() bool {
		by, _ := listed(t, at...)
		return by["twitch:forsen"].State == "joined" && by["irc:net/#go"].State == "joined"
	})

	code, _, stderr := chatshard(t, append([]string{"channels", "join", "twitch:xqc"}, at...)...)
	if code != exitFailure || !strings.Contains(stderr, "channels join: the relay says: this token has not the role admin (HTTP 403)") {
		t.Errorf("join without the role: exit %d: %s", code, stderr)
	}
	code, stdout, stderr := chatshard(t, append([]string{"channels", "join", "twitch:XQC", "irc:net/#new", "twitch:gone"}, boss...)...)
	if code != exitOK || strings.Count(stdout, "\n") != 4 || stderr != "" {
		t.Errorf("join: exit %d: %s%s", code, stdout, stderr)
	}
	var by map[string]channelStatus
	var all channelsAnswer
	until(t, "all of them", func() bool {
		by, all = listed(t, at...)
		return by["twitch:xqc"].State == "joined" && by["irc:net/#new"].State == "joined" && by["twitch:gone"].State == "refused"
	})
	if x := by["twitch:xqc"]; x.Account != "anonymous" || x.Origin != "api" || x.At != "" || x.Shard != "0" || x.Reason != "" || !all.Kept {
		t.Errorf("%+v", x)
	}
	if f := by["twitch:forsen"]; f.Origin != "config" || !strings.HasSuffix(f.At, "c.yaml:2:61") {
		t.Errorf("%+v", f)
	}
	if g := by["twitch:gone"]; !strings.Contains(g.Reason, "msg_banned") {
		t.Errorf("%+v, want Twitch's reason", g)
	}
	if twitch.Members("xqc") != 1 {
		t.Errorf("%d members of xqc", twitch.Members("xqc"))
	}
	code, _, stderr = chatshard(t, append([]string{"channels", "part", "twitch:forsen"}, boss...)...)
	if code != exitFailure || !strings.Contains(stderr, "c.yaml:2:61 has it; remove it there (HTTP 409)") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("part of a configured channel: exit %d: %s", code, stderr)
	}
	for _, c := range []struct {
		body, kind string
		status     int
		want       string
	}{
		{`{"channels":["forsen"]}`, "join", 422, `"code":"bad_channel"`},
		{`{"channels":["discord:1"]}`, "join", 422, `"code":"not_joinable"`},
		{`{"channel":"twitch:a"}`, "join", 400, `unknown field \"channel\"`},
		{`{"channels":["twitch:a"]} x`, "part", 400, `"detail":"the body goes on after the request"`},
		{`[]`, "part", 400, `"title":"Bad Request","status":400`},
		{`{"channels":["twitch:nobody"]}`, "part", 404, `"code":"not_wanted"`},
		{`{"channels":["` + strings.Repeat("x", 1<<20) + `"]}`, "join", 413, `too large`},
	} {
		status, body := admin(t, "POST", "http://"+addr+"/v1/channels/"+c.kind, "boss-token", c.body)
		if status != c.status || !strings.Contains(body, c.want) || !strings.Contains(body, `"type":"about:blank"`) {
			t.Errorf("%s %.40s: %d %s, want %d %s", c.kind, c.body, status, body, c.status, c.want)
		}
	}
	if status, body := admin(t, "POST", "http://"+addr+"/v1/send", "boss-token", `{"to":"twitch:forsen","text":"hi"}`); status != 422 || !strings.Contains(body, `"code":"read_only"`) {
		t.Errorf("send: %d %s", status, body)
	}
	p.stop()
	if code := p.end(t); code != exitOK {
		t.Fatalf("exit %d: %s", code, &p.stderr)
	}

	p = begin(t, nil, "run", "-c", file)
	until(t, "what was joined before", func() bool { return twitch.Members("xqc") == 1 && ircd.Members("#new") == 1 })
	by, _ = listed(t, at...)
	if x := by["twitch:xqc"]; x.Origin != "api" {
		t.Errorf("%+v after a restart", x)
	}
	code, stdout, stderr = chatshard(t, append([]string{"channels", "part", "twitch:xqc", "twitch:gone"}, boss...)...)
	if code != exitOK || stdout != "parted twitch:xqc\nparted twitch:gone\n" {
		t.Errorf("part: exit %d: %s%s", code, stdout, stderr)
	}
	until(t, "the part", func() bool { return twitch.Members("xqc") == 0 })
	if by, _ = listed(t, at...); len(by) != 3 {
		t.Errorf("%v, want 3 channels", by)
	}
	p.stop()
	if code := p.end(t); code != exitOK {
		t.Errorf("exit %d: %s", code, &p.stderr)
	}
	if out := p.stderr.String(); strings.Contains(out, "boss-token") || strings.Contains(out, "watch-token") {
		t.Error("a token was printed")
	}
}

// Without a log nothing is remembered, and the answer says so.
func TestChannelsWithoutALog(t *testing.T) {
	twitch, twitchAddr := twitchOn(t, nil)
	addr := freeAddr(t)
	file := written(t, "c.yaml", fmt.Sprintf("version: 1\ntwitch: {address: %q, tls: false, channels: [forsen]}\nrelay: {listen: %q, log: {dir: none}}\n", twitchAddr, addr))
	for i := range 2 {
		p := begin(t, nil, "run", "-c", file)
		until(t, "forsen", func() bool { return twitch.Members("forsen") == 1 })
		by, a := listed(t, "--url", "http://"+addr)
		if len(by) != 1 || a.Kept || a.Note != notKept {
			t.Errorf("relay %d: %+v", i+1, a)
		}
		code, _, stderr := chatshard(t, "channels", "join", "twitch:xqc", "--url", "http://"+addr)
		if code != exitOK || !strings.Contains(stderr, notKept) {
			t.Errorf("join: exit %d: %s", code, stderr)
		}
		until(t, "xqc", func() bool { return twitch.Members("xqc") == 1 })
		p.stop()
		if code := p.end(t); code != exitOK {
			t.Errorf("exit %d: %s", code, &p.stderr)
		}
		until(t, "no connection left", func() bool { return twitch.Stats().Conns == 0 })
	}
}

func TestChannelsCommandBadInput(t *testing.T) {
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"channels", "channels: which one? join, list, part", exitUsage},
		{"channels join", "channels join: which channel? name some", exitUsage},
		{"channels join forsen", `channels join: "forsen": position 1: no platform; write twitch:forsen`, exitUsage},
		{"channels part twitch:a --url nowhere", `channels part: --url "nowhere": give an address as http://`, exitUsage},
		{"channels list --url http://127.0.0.1:1", "channels list: no answer from the relay: ", exitFailure},
		{"channels list x", `channels list: unexpected argument "x"`, exitUsage},
	} {
		code, stdout, stderr := chatshard(t, strings.Fields(c.args)...)
		if code != c.code || stdout != "" || !strings.HasPrefix(stderr, "chatshard: "+c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d: %s%s, want %s", c.args, code, stdout, stderr, c.want)
		}
	}
	var out bytes.Buffer
	a := &channelsAnswer{Channels: []channelStatus{{Channel: "twitch:a", State: "refused", Reason: "no\x1b[2J", NextTry: "2026-01-02T15:04:05Z", Origin: "file", At: "list.txt:1:1"}}}
	if err := a.print(&out, "text"); err != nil || strings.ContainsRune(out.String(), 0x1b) || !strings.Contains(out.String(), "list.txt:1:1  no [2J; next try 2026-01-02T15:04:05Z\n") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// What is stored is read with care: an account that is gone does not keep the
// others out, and what cannot be read is said.
func TestRosterRestore(t *testing.T) {
	engine, err := relay.StartEngine(t.Context(), &relay.EngineConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	store, err := engine.Store(t.Context(), "channels")
	if err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(written(t, "c.yaml", "version: 1\ntwitch: {account: {login: one, token: "+goodToken+"}, channels: [a]}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	restore := func(text string) (*relayRun, error) {
		t.Helper()
		if err := store.Save(t.Context(), rosterName, []byte(text)); err != nil {
			t.Fatal(err)
		}
		r := &relayRun{config: c, roster: newRoster(c.wanted)}
		if r.carriers, err = newCarriers(c, newCursor(), r.log); err != nil {
			t.Fatal(err)
		}
		return r, r.restore(t.Context(), engine)
	}
	r, err := restore(`{"version":1,"channels":[{"name":"twitch:b","account":"two"},{"name":"irc:net/#x"},{"name":"twitch:c","account":"one"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	r.list(c.wanted)
	if a := r.roster.now.Load().assigned; len(a) != 3 {
		t.Errorf("assigned: %v, want a, b and c", a)
	}
	st := r.standing(func(n channels.Name) bool { return n.Platform == channels.IRC })
	if len(st) != 1 || st[0].State != "refused" || st[0].Reason != "the configuration has no section irc.net" {
		t.Errorf("%+v, want the one of a network that is gone", st)
	}
	if _, err := r.part(t.Context(), &joinRequest{Channels: []string{"irc:net/#x"}}); err != nil {
		t.Error(err)
	}
	// More than fits, and a store that does not work, change nothing.
	var many []channels.Entry
	for i := range 20_000 {
		many = append(many, channels.Entry{Name: channels.Name{Platform: channels.Twitch, Channel: fmt.Sprint("channel_", i)}, Origin: originAPI})
	}
	large, err := channels.NewSet(many...)
	if err != nil {
		t.Fatal(err)
	}
	var no *rosterError
	if err := r.roster.save(t.Context(), large); !errors.As(err, &no) || no.status != http.StatusConflict || no.code != "too_many" {
		t.Errorf("%v", err)
	}
	defer func() {
		if err := engine.Close(t.Context()); err != nil {
			t.Error(err)
		}
		_, err := r.join(t.Context(), &joinRequest{Channels: []string{"twitch:d"}})
		if !errors.As(err, &no) || no.status != http.StatusServiceUnavailable || no.code != "not_stored" {
			t.Errorf("%v, want that it is not stored", err)
		}
		if _, ok := r.roster.now.Load().set.Lookup(channels.Name{Platform: channels.Twitch, Channel: "d"}); ok {
			t.Error("it is wanted although it was not stored")
		}
	}()
	for _, text := range []string{`{"version":2}`, `{"version":1,"channels":[{"name":"b"}]}`, "x"} {
		if _, err := restore(text); err == nil || !strings.Contains(err.Error(), "what was joined over the API cannot be read") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The channels of an account that was turned away are not shown as if they came.
func TestChannelsOfAnAccountTurnedAway(t *testing.T) {
	_, twitchAddr := twitchOn(t, &irctest.Config{Accounts: []irctest.Account{{Login: "good", Token: goodToken}, {Login: "bad", Token: "another"}}})
	addr := freeAddr(t)
	file := written(t, "c.yaml", fmt.Sprintf(`version: 1
twitch:
  address: %q
  tls: false
  accounts: [{login: good, token: %s}, {login: bad, token: %[2]s}]
  channels: [{name: a, account: good}, {name: b, account: bad}]
relay: {listen: %q, log: {dir: none}}
`, twitchAddr, goodToken, addr))
	p := begin(t, nil, "run", "-c", file)
	until(t, "the address", func() bool { _, err := http.Get("http://" + addr + "/livez"); return err == nil })
	var by map[string]channelStatus
	until(t, "both accounts", func() bool {
		by, _ = listed(t, "--url", "http://"+addr)
		return by["twitch:a"].State == "joined" && by["twitch:b"].State == "lost"
	})
	if b := by["twitch:b"]; b.Account != "bad" || !strings.Contains(b.Reason, "get a new token") || b.NextTry != "" {
		t.Errorf("%+v", b)
	}
	_, body := admin(t, "GET", "http://"+addr+"/metrics", "", "")
	for _, want := range []string{
		sample("chatshard_account_running", "bad", "", "twitch", "", "", "0"),
		sample("chatshard_account_running", "good", "", "twitch", "", "", "1"),
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	p.stop()
	if code := p.end(t); code != exitFailure || strings.Contains(p.stderr.String(), goodToken) {
		t.Errorf("exit %d: %s", code, &p.stderr)
	}
}
