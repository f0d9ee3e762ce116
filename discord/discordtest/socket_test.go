package discordtest

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestSockets logs in over real sockets, with and without TLS, follows the
// URLs that the server gives, and resumes on the resume host.
func TestSockets(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("tls ", secure), func(t *testing.T) {
			s := New(&Config{Unsure: time.Nanosecond})
			defer s.Close()
			listen, scheme := s.Listen, "http"
			if secure {
				listen, scheme = s.ListenTLS, "https"
			}
			addr, err := listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			conf := &tls.Config{RootCAs: s.CertPool()}
			h := &http.Client{Transport: &http.Transport{TLSClientConfig: conf}}
			defer h.CloseIdleConnections()
			r, err := h.Get(scheme + "://" + addr.String() + "/api/v10/gateway")
			if err != nil {
				t.Fatal(err)
			}
			var gw struct{ URL string }
			json.NewDecoder(r.Body).Decode(&gw)
			r.Body.Close()
			j := s.Judge()
			open := func(url string) *client {
				d := websocket.Dialer{TLSClientConfig: conf}
				ws, _, err := d.Dial(url+"?v=10&encoding=json&compress=zlib-stream", nil)
				if err != nil {
					t.Fatalf("%s: %v", url, err)
				}
				c := &client{t: t, s: s, ws: ws, mode: "zlib-stream"}
				ws.SetReadDeadline(time.Now().Add(time.Minute))
				t.Cleanup(c.drop)
				return c
			}
			c := open(gw.URL).identify(0, 1)
			guild := s.Guilds("")[3]
			for range 100 {
				id := s.Publish("", guild, Message(0, "ann", "hello"))
				c.await(opDispatch, "MESSAGE_CREATE")
				j.Received(ID(guild).String(), id.String(), time.Now())
			}
			c.drop()
			s.Inject(Fault{Kind: Unavailable, Times: 1}, Target{Host: Resume})
			if _, resp, err := (&websocket.Dialer{TLSClientConfig: conf}).Dial(c.ready.URL+"/?v=10", nil); err == nil || resp == nil || resp.StatusCode != 503 {
				t.Errorf("resume host is up: %v", err)
			}
			id := s.Publish("", guild, Message(0, "ann", "while away"))
			d := open(c.ready.URL)
			d.resume(c)
			d.await(opDispatch, "MESSAGE_CREATE")
			d.await(opDispatch, "RESUMED")
			if v := j.Verdict(); v.Sent != 101 || v.Lost != 1 {
				t.Errorf("one not reported: %v", v)
			}
			j.Received(ID(guild).String(), id.String(), time.Now())
			if v := j.Verdict(); !v.OK() || v.Received != 101 {
				t.Errorf("%v", v)
			}
			d.close(1000)
		})
	}
}
