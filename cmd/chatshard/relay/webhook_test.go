package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hook is a RoundTripper: what a webhook posts to.
type hook func(*http.Request) *http.Response

func (h hook) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := h(r)
	if resp == nil {
		return nil, errors.New("connection refused")
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	resp.Status = fmt.Sprint(resp.StatusCode)
	return resp, nil
}

func TestWebhook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, nil)
		store := new(keptCursors)
		all := NewConsumers(h.Hub, store)
		dead := filepath.Join(t.TempDir(), "dead")
		var seqs []uint64
		var times []time.Time
		var start time.Time
		w := &Webhook{Name: "hook", URL: "https://example.org/secret-path", Secret: "s3cret", Batch: 10, GiveUp: 10 * time.Minute, DeadLetters: dead,
			Client: &http.Client{Transport: hook(func(r *http.Request) *http.Response {
				times = append(times, time.Now())
				body, _ := io.ReadAll(r.Body)
				if want := Sign("s3cret", time.Now(), body); r.Header.Get("Chatshard-Signature") != want {
					t.Errorf("signed %q, want %q", r.Header.Get("Chatshard-Signature"), want)
				}
				switch n := len(times); {
				case n == 1:
					return nil
				case n == 2:
					return &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"77"}}}
				case n == 3:
					return &http.Response{StatusCode: 500}
				case bytes.Contains(body, []byte("poison")):
					return &http.Response{StatusCode: 400}
				}
				for line := range strings.Lines(string(body)) {
					seqs = append(seqs, checkLine(t, []byte(line), "e1", uint64(len(seqs)+1)).Cursor.Seq)
				}
				return &http.Response{StatusCode: 204}
			})}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		run := func() { done <- w.Run(ctx, all) }
		go run()
		synctest.Wait()
		start = time.Now()
		h.say(t, 25, "x")
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if len(seqs) != 25 || len(times) < 5 {
			t.Fatalf("%d envelopes in %d requests, want 25", len(seqs), len(times))
		}
		if d := times[1].Sub(start); d < retryFirst/2 || d > retryFirst {
			t.Errorf("tried again after %v", d)
		}
		if d := times[2].Sub(times[1]); d != 77*time.Second {
			t.Errorf("tried again after %v, want 77s as asked", d)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		h.say(t, 5, "x") // while it is away
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		go run()
		synctest.Wait()
		if len(seqs) != 30 {
			t.Errorf("%d envelopes after it came back, want 30", len(seqs))
		}
		h.say(t, 1, "poison")
		time.Sleep(time.Minute)
		synctest.Wait()
		text, err := os.ReadFile(dead)
		if err != nil || !strings.Contains(string(text), `"dead":"e1:31-31"`) || strings.Count(string(text), "\n") != 2 || strings.Contains(string(text), "secret-path") {
			t.Errorf("dead letters %q, %v", text, err)
		}
		if d, _, x := w.Counts(); d != 30 || x != 1 {
			t.Errorf("%d delivered and %d dead, want 30 and 1", d, x)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestKilledWebhookMissesNothing(t *testing.T) {
	h := newTestHub(t, &HubConfig{RingEntries: 600})
	all := NewConsumers(h.Hub, new(keptCursors))
	var mu sync.Mutex
	got := map[string]int{}
	most := uint64(0)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // killed while it sent
		}
		mu.Lock()
		defer mu.Unlock()
		for line := range strings.Lines(string(body)) {
			var l testLine
			if err := unmarshal(line, &l); err != nil {
				t.Error(err)
			}
			if got[l.ID]++; got[l.ID] == 1 && l.Cursor.Seq != most+1 {
				t.Errorf("%d after %d", l.Cursor.Seq, most)
			}
			most = max(most, l.Cursor.Seq)
		}
	}))
	defer srv.Close()
	defer webhookClient.CloseIdleConnections()
	if err := all.store.Save(t.Context(), webhookConsumer+"hook", Cursor{"e1", 0}); err != nil { // it would begin with what is said once it runs
		t.Fatal(err)
	}
	stop := h.speak(t, 100*time.Microsecond)
	defer stop()
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(got)
	}
	for lives, over := 0, time.Now().Add(time.Minute); lives < 100 || count() < 100 && time.Now().Before(over); lives++ {
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(5*time.Millisecond))
		if err := (&Webhook{Name: "hook", URL: srv.URL, Batch: 20}).Run(ctx, all); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		cancel()
	}
	if n := count(); n < 100 {
		t.Errorf("only %d envelopes", n)
	}
}

func TestWebhookGone(t *testing.T) {
	h := newTestHub(t, nil)
	all := NewConsumers(h.Hub, new(keptCursors))
	h.say(t, 1, "x")
	if err := all.store.Save(t.Context(), webhookConsumer+"hook", Cursor{"e1", 0}); err != nil {
		t.Fatal(err)
	}
	w := &Webhook{Name: "hook", URL: "http://x", Array: true, Client: &http.Client{Transport: hook(func(r *http.Request) *http.Response {
		body, _ := io.ReadAll(r.Body)
		var list []testLine
		if err := unmarshal(string(body), &list); err != nil || len(list) != 1 {
			t.Errorf("%v: %s", err, body)
		}
		return &http.Response{StatusCode: 410}
	})}}
	if err := w.Run(t.Context(), all); !errors.Is(err, ErrGone) {
		t.Errorf("got %v, want ErrGone", err)
	}
	for _, bad := range []*Webhook{{Name: "x", URL: "ftp://x"}, {Name: "", URL: "http://x"}, {Name: "x", URL: "http://x", Batch: -1}} {
		if bad.Run(t.Context(), all) == nil {
			t.Errorf("%+v is taken", bad.URL)
		}
	}
}

// A receiver that hangs for longer than the queue lasts skips to what is newer,
// and is told.
func TestWebhookDropsOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, nil)
		release, hung := make(chan bool), false
		var lines []string
		w := &Webhook{Name: "hook", URL: "http://x", Policy: DropOldest, Client: &http.Client{Transport: hook(func(r *http.Request) *http.Response {
			body, _ := io.ReadAll(r.Body)
			if !hung {
				hung = true
				<-release
			}
			lines = append(lines, strings.Split(strings.TrimSpace(string(body)), "\n")...)
			return &http.Response{StatusCode: 200}
		})}, Timeout: time.Hour}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error)
		go func() { done <- w.Run(ctx, NewConsumers(h.Hub, new(keptCursors))) }()
		synctest.Wait()
		h.say(t, 1, "first")
		time.Sleep(time.Second)
		synctest.Wait() // it hangs
		text := strings.Repeat("x", 4<<10)
		for range 3000 { // 12 MiB, of which 4 may wait
			h.say(t, 1, text)
		}
		h.say(t, 1, "last")
		close(release)
		time.Sleep(time.Minute)
		synctest.Wait()
		all := strings.Join(lines, "\n")
		if n := len(lines); n < 100 || n > 2000 || !strings.Contains(lines[0], "first") || !strings.Contains(lines[n-1], "last") || strings.Count(all, `"kind":"gap"`) == 0 {
			t.Errorf("%d envelopes of 3002, %d gaps", n, strings.Count(all, `"kind":"gap"`))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	w := &Webhook{Name: "hook", URL: "http://x", Policy: Disconnect}
	if err := w.Check(); err == nil || !strings.Contains(err.Error(), "policy disconnect") {
		t.Errorf("%v", err)
	}
}
