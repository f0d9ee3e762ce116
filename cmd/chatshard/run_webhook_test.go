package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// receiver is what a webhook posts to, at an address that it can leave and come
// back to.
type receiver struct {
	t      *testing.T
	addr   string
	secret string
	server *http.Server
	ended  chan struct{}

	mu    sync.Mutex // guards all below
	fail  int        // requests that are answered with 500
	tries int
	got   map[string]int    // envelopes by id
	texts map[string]string // of each channel, in the order in which they came first
}

// come serves until leave.
func (r *receiver) come() {
	r.t.Helper()
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	server, ended := &http.Server{Handler: r}, make(chan struct{})
	r.server, r.ended = server, ended
	go func() { // ended and waited for by leave
		defer close(ended)
		_ = server.Serve(l) // until it is closed
	}()
}

// leave may be called more than once.
func (r *receiver) leave() {
	_ = r.server.Close()
	<-r.ended
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the relay was stopped
	}
	at, digits, _ := strings.Cut(strings.TrimPrefix(req.Header.Get("Chatshard-Signature"), "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte(r.secret))
	fmt.Fprintf(mac, "%s.%s", at, body)
	if got, err := hex.DecodeString(digits); err != nil || !hmac.Equal(got, mac.Sum(nil)) {
		r.t.Errorf("the signature %q does not fit", req.Header.Get("Chatshard-Signature"))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	if r.fail > 0 {
		r.fail--
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	for line := range strings.Lines(string(body)) {
		e := read(r.t, []byte(line))
		if r.got[e.ID]++; r.got[e.ID] == 1 {
			r.texts[e.Channel.Name] += e.Text + " "
		}
	}
}

func (r *receiver) has(n int) func() bool {
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.got) >= n
	}
}

// A receiver that fails, goes away, and is still away when the relay is started
// again gets everything, each channel in its order, signed. What another one
// does not take is kept as dead letters, and counted.
func TestWebhooks(t *testing.T) {
	twitch, twitchAddr := twitchOn(t, nil)
	r := &receiver{t: t, addr: freeAddr(t), secret: "s3cret", fail: 2, got: map[string]int{}, texts: map[string]string{}}
	r.come()
	defer func() { r.leave() }()
	picky := http.NewServeMux()
	picky.HandleFunc("/picky", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	picky.HandleFunc("/gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Server{Handler: picky}
	over := make(chan error, 1)
	go func() { over <- other.Serve(l) }()
	defer func() { other.Close(); <-over }()

	addr := freeAddr(t)
	file := written(t, "c.yaml", fmt.Sprintf(`version: 1
twitch: {address: %q, tls: false, channels: [a, b]}
relay:
  listen: %q
  dead_letters: dead
  webhooks:
    - name: chat
      url: http://%s/hook
      secret_file: hook.secret
      filter: {kind: [message]}
      batch: 7
    - {name: picky, url_file: picky.url, filter: {kind: [message], text: [poison]}}
    - {name: gone, url: "http://%s/gone", filter: {kind: [message]}}
`, twitchAddr, addr, r.addr, l.Addr()))
	dir := filepath.Dir(file)
	for name, text := range map[string]string{"hook.secret": "s3cret\n", "picky.url": "http://" + l.Addr().String() + "/picky\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{}
	sent := 0
	say := func(n int) {
		for range n {
			ch, text := string("ab"[sent%2]), fmt.Sprint("m", sent)
			twitch.Say(ch, "ann", text)
			want[ch] += text + " "
			sent++
		}
	}
	joined := func() bool { return twitch.Members("a") == 1 && twitch.Members("b") == 1 }
	metric := func(name string) string {
		_, body := admin(t, "GET", "http://"+addr+"/metrics", "", "")
		for line := range strings.Lines(body) {
			if value, ok := strings.CutPrefix(line, name+" "); ok {
				return strings.TrimSpace(value)
			}
		}
		return ""
	}

	first := begin(t, nil, "run", "-c", file)
	until(t, "both channels", joined)
	say(100)
	until(t, "what it was sent after it failed", r.has(100))
	if n := metric(`chatshard_webhook_retries_total{webhook="chat"}`); n != "2" {
		t.Errorf("sent %s batches again, want 2", n)
	}
	until(t, "the count", func() bool { return metric(`chatshard_webhook_delivered_total{webhook="chat"}`) == "100" })
	until(t, "the one that wants no more", func() bool { return metric(`chatshard_webhook_running{webhook="gone"}`) == "0" })

	twitch.Say("a", "ann", "poison")
	want["a"] += "poison "
	sent++
	until(t, "a dead letter", func() bool { return metric(`chatshard_webhook_dead_letters_total{webhook="picky"}`) == "1" })
	dead, err := os.ReadFile(filepath.Join(dir, "dead", "picky.ndjson"))
	if err != nil || strings.Count(string(dead), "\n") != 2 || !strings.Contains(string(dead), `"text":"poison"`) || strings.Contains(string(dead), "/picky") {
		t.Errorf("dead letters: %v: %s", err, dead)
	}

	until(t, "all so far", r.has(sent))
	r.leave()
	say(50)
	until(t, "those in the log", func() bool {
		_, body := admin(t, "GET", fmt.Sprintf("http://%s/v1/poll?kind=message&last=1000&wait=0s&text=m%d", addr, sent-1), "", "")
		return body != ""
	})
	if n := metric(`chatshard_consumer_lag_entries{consumer="webhook.chat"}`); n == "" || n == "0" {
		t.Errorf("it is %q entries behind, want some", n)
	}
	first.stop()
	if code := first.end(t); code != exitOK {
		t.Fatalf("exit %d: %s", code, &first.stderr)
	}
	until(t, "no connection left", func() bool { return twitch.Stats().Conns == 0 })
	second := begin(t, nil, "run", "-c", file)
	until(t, "both channels", joined)
	say(50)
	r.come()
	until(t, "everything", r.has(sent))
	second.stop()
	if code := second.end(t); code != exitOK {
		t.Errorf("exit %d: %s", code, &second.stderr)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for ch := range want {
		if r.texts[ch] != want[ch] {
			t.Errorf("of %s came %s\nwant %s", ch, r.texts[ch], want[ch])
		}
	}
	if log := first.stderr.String() + second.stderr.String(); strings.Contains(log, "s3cret") || strings.Contains(log, "/picky") {
		t.Errorf("a secret was printed:\n%s", log)
	}
}
