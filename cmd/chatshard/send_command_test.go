package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chatshard/chatshard/channels"
	relays "github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

// send runs the command by itself.
func send(t *testing.T, stdin string, args ...string) (stdout string, err error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newSendCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	err = cmd.ExecuteContext(context.Background())
	return out.String(), err
}

func TestSendCommand(t *testing.T) {
	d := discordtest.New(nil)
	defer d.Close()
	client := d.HTTPClient()
	defer client.CloseIdleConnections()
	h := relays.SendHandler(relays.NewRouter(relays.Route{
		Platform: channels.Discord, Account: "bot",
		Sender: relays.NewDiscordSender(discord.FixedToken("bot-token"), &relays.DiscordConfig{API: "http://discord.test/api/v10", HTTPClient: client}),
	}), nil)
	breaks := 0 // connections that end instead of an answer
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sesame" {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"status":401,"title":"Unauthorized","detail":"no\u001b[31m token"}`)
			return
		}
		if breaks > 0 {
			breaks--
			h.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
	}))
	defer s.Close()
	to := fmt.Sprint("discord:", discordtest.Channel(d.Guilds("")[0], 0))
	token := written(t, "token", "sesame\n")
	with := func(args ...string) []string {
		return append([]string{"--url", s.URL, "--token-file", token, "--to", to}, args...)
	}

	out, err := send(t, "", with("hello")...)
	if want := "sent " + d.Posts()[0].ID.String() + "\n"; err != nil || out != want {
		t.Errorf("%q, %v, want %q", out, err, want)
	}
	out, err = send(t, "two\nlines\n", with("-", "-o", "json")...)
	var res relays.SendResult
	if json.Unmarshal([]byte(out), &res); err != nil || res.Status != relays.StatusSent || d.Posts()[1].Content != "two\nlines" {
		t.Errorf("%s, %v", out, err)
	}
	out, err = send(t, "", with("", "-o", "json")...)
	if json.Unmarshal([]byte(out), &res); err == nil || !strings.Contains(err.Error(), "refused: the text is empty (bad_text)") || res.Code != relays.CodeBadText {
		t.Errorf("%s, %v", out, err)
	}
	breaks = 2
	if out, err = send(t, "", with("once")...); err != nil || len(d.Posts()) != 3 {
		t.Errorf("%q, %v, %d posts after connections that broke", out, err, len(d.Posts()))
	}
	environ = func() []string { return []string{"TOKEN=wrong"} }
	defer func() { environ = func() []string { return nil } }()
	for _, c := range []struct{ args, want string }{
		{"--url " + s.URL + " --to x text", "the relay says: no [31m token (HTTP 401)"},
		{"--url " + s.URL + " --to x --token-env TOKEN text", "HTTP 401"},
		{"--url " + s.URL + " --to x --token-env NONE text", "token is empty"},
		{"--url " + s.URL + " --to x --token-file /nowhere text", "cannot be read"},
		{"--url " + s.URL + "/x --to x", "which text"},
		{"text", "to whom"},
		{"--url localhost:1 --to x text", "give an address as http://"},
		{"--url http://127.0.0.1:1 --to x text", "no answer from the relay"},
	} {
		if out, err := send(t, "", strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.want) || out != "" {
			t.Errorf("send %s: %q, %v, want %q", c.args, out, err, c.want)
		}
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if _, err := send(t, "", "--url", other.URL, "--to", "x", "text"); err == nil || !strings.Contains(err.Error(), "is no relay") {
		t.Errorf("%v", err)
	}
}
