package discordtest_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/bwmarrin/discordgo"
	"github.com/gorilla/websocket"
)

// startDiscordgo runs discordgo, one session for each shard. Its endpoints are
// variables of the package, of which there is one set for all sessions: they
// stay what they are, and a transport leads the requests elsewhere.
func startDiscordgo(t *testing.T, at station) *guest {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(at.authority)
	secure := &tls.Config{RootCAs: pool}
	transport := &http.Transport{TLSClientConfig: secure}
	base, err := url.Parse(at.API)
	if err != nil {
		t.Fatal(err)
	}
	out := new(output)
	var answers sync.WaitGroup
	var sessions []*discordgo.Session
	for shard := range at.Shards {
		s, err := discordgo.New("Bot " + at.Token)
		if err != nil {
			t.Fatal(err)
		}
		s.Client = &http.Client{Transport: detour{base.Host, transport}}
		s.Dialer = &websocket.Dialer{TLSClientConfig: secure}
		s.Identify.Intents = discordgo.IntentsGuilds | discordgo.IntentsGuildMessages | discordgo.IntentMessageContent
		s.SyncEvents = true // else handlers run in any order
		s.ShardID, s.ShardCount = shard, at.Shards
		guilds, coming := 0, 0 // handlers run one at a time
		s.AddHandler(func(_ *discordgo.Session, e *discordgo.Ready) { guilds, coming = 0, len(e.Guilds) })
		s.AddHandler(func(_ *discordgo.Session, e *discordgo.GuildCreate) {
			if guilds++; guilds == coming {
				fmt.Fprintln(out, "ready", shard, guilds)
			}
		})
		s.AddHandler(func(_ *discordgo.Session, e *discordgo.Resumed) { fmt.Fprintln(out, "resumed", shard) })
		s.AddHandler(func(s *discordgo.Session, m *discordgo.MessageCreate) {
			fmt.Fprintln(out, "message", m.ChannelID, m.Author.Username, m.Content)
			if m.Content == "!ping" {
				answers.Go(func() { // the session may be locked
					if _, err := s.ChannelMessageSend(m.ChannelID, "pong"); err != nil {
						t.Error(err)
					}
				})
			}
		})
		sessions = append(sessions, s)
		if err := s.Open(); err != nil {
			t.Fatal(err)
		}
	}
	return &guest{t: t, seen: out.lines, stop: func() {
		answers.Wait()
		for _, s := range sessions {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		transport.CloseIdleConnections()
	}}
}

// detour leads requests to another host.
type detour struct {
	host string
	over http.RoundTripper
}

func (d detour) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host, r.Host = d.host, d.host
	return d.over.RoundTrip(r)
}
