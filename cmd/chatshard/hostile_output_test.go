package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/gorilla/websocket"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// waitFor returns what was written once it is so many lines.
func waitFor(t *testing.T, out *spool, n int) string {
	t.Helper()
	until(t, "standard output", func() bool { return strings.Count(out.String(), "\n") >= n })
	return out.String()
}

// frames returns a function that returns what an output sends, frame by frame;
// it ends the test when nothing comes.
func frames(t *testing.T, addr, name string, q url.Values) func() []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	get := func(q url.Values) *http.Response {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/v1/"+name+"?"+q.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		if res.StatusCode != 200 {
			t.Fatal(name, res.Status)
		}
		return res
	}
	switch name {
	case "ws":
		c, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+addr+"/v1/ws?"+q.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetReadDeadline(time.Now().Add(3 * time.Minute))
		return func() []byte {
			for {
				kind, msg, err := c.ReadMessage()
				if err != nil {
					t.Fatal(err)
				}
				if kind != websocket.TextMessage {
					t.Fatalf("a message of type %d", kind)
				}
				if !bytes.HasPrefix(msg, []byte(`{"type":"hello"`)) {
					return msg
				}
			}
		}
	case "poll":
		var have [][]byte
		return func() []byte {
			for len(have) == 0 {
				q.Set("wait", "10s")
				q.Set("max", "7")
				res := get(q)
				body, err := io.ReadAll(res.Body)
				if err != nil || len(body) == 0 {
					t.Fatalf("nothing came: %v", err)
				}
				have = bytes.SplitAfter(body, []byte("\n"))
				have = have[:len(have)-1]
				q.Set("from", res.Header.Get("Chatshard-Cursor"))
			}
			line := have[0]
			have = have[1:]
			return line[:len(line)-1]
		}
	case "sse":
		// A line of an event stream ends with CR, LF or both.
		in := bufio.NewReaderSize(get(q).Body, 1<<16)
		line := func() string {
			b, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(b, "\r") {
				t.Fatalf("CR in %.100q", b)
			}
			return b[:len(b)-1]
		}
		return func() []byte {
			for {
				var data []byte
				for l := line(); l != ""; l = line() {
					field, value, _ := strings.Cut(l, ": ")
					switch field {
					case "data":
						if data != nil {
							t.Fatalf("data twice: %.100q", l)
						}
						data = []byte(value)
					case "id", "retry", "":
					default:
						t.Fatalf("field %.100q", l)
					}
				}
				if data != nil {
					return data
				}
			}
		}
	}
	in := bufio.NewReaderSize(get(q).Body, 1<<16)
	return func() []byte {
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				t.Fatal(err)
			}
			if len(line) > 1 {
				return line[:len(line)-1]
			}
		}
	}
}

// hookSink is what a webhook posts to.
type hookSink struct {
	url string
	got chan []byte
}

func newHookSink(t *testing.T) *hookSink {
	s := &hookSink{got: make(chan []byte, 1000)}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		if bytes.HasPrefix(body, []byte("[")) {
			var all []json.RawMessage
			if err := json.Unmarshal(body, &all); err != nil {
				t.Errorf("a body that is no array: %v", err)
			}
			for _, one := range all {
				s.got <- one
			}
			return
		}
		for line := range bytes.Lines(body) {
			if !bytes.HasSuffix(line, []byte("}\n")) {
				t.Errorf("a line that does not end: %.100q", line)
			}
			s.got <- line[:len(line)-1]
		}
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

func (s *hookSink) next() []byte {
	select {
	case line := <-s.got:
		return line
	case <-time.After(time.Minute):
		return nil
	}
}

// stored reads the stream as another program does, over NATS.
func stored(t *testing.T, addr, epoch string) func() []byte {
	t.Helper()
	nc, err := nats.Connect("nats://"+addr, nats.Token("nats-token"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	js := must(jetstream.New(nc))
	consumer, err := js.OrderedConsumer(ctx, "EV", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"ev.*.*.*.*.*"}})
	if err != nil {
		t.Fatal(err)
	}
	return func() []byte {
		m, err := consumer.Next()
		if err != nil {
			t.Fatal(err)
		}
		body := m.Data()
		if m.Headers().Get("Chatshard-Encoding") == "gzip" {
			unzip, err := gzip.NewReader(bytes.NewReader(body))
			if err == nil {
				body, err = io.ReadAll(unzip)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		return relay.AppendEnvelope(nil, relay.Cursor{Epoch: epoch, Seq: meta.Sequence.Stream}, body)
	}
}
