package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/chatshard/chatshard/irc/irctest"
	"github.com/rs/zerolog"
)

// tokenLine is a line of a file of tokens.
func tokenLine(name, roles string) string {
	return fmt.Sprintf("%s %s %s\n", name, relay.HashToken(name+"-token"), roles)
}

// A token is taken away, and another one given, while the relay runs.
func TestTokensWhileItRuns(t *testing.T) {
	ircd := irctest.NewIRC(nil)
	t.Cleanup(ircd.Close)
	ircAddr, err := ircd.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	file := written(t, "c.yaml", fmt.Sprintf(`version: 1
irc:
  net: {address: %q, tls: false, nick: bot, channels: ["#go"]}
relay: {listen: %q, tokens_file: tokens, log: {dir: none}}
`, ircAddr, addr))
	tokens := filepath.Join(filepath.Dir(file), "tokens")
	write := func(text string) {
		if err := os.WriteFile(tokens, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	get := func(name, path string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+name+"-token")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	write(tokenLine("old", "read") + tokenLine("boss", "admin"))
	p := begin(t, nil, "run", "-c", file)
	until(t, "the address", func() bool {
		resp, err := http.Get("http://" + addr + "/livez")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	stream := get("old", "/v1/sse")
	write("a mistake\n")
	until(t, "what is said of a mistake", func() bool {
		return strings.Contains(p.stderr.String(), "a token is a name, a hash and roles")
	})
	if resp := get("old", "/metrics"); resp.StatusCode != 200 {
		t.Errorf("the old token gets %d after a mistake", resp.StatusCode)
	}
	write(tokenLine("new", "read") + tokenLine("boss", "admin"))
	r := bufio.NewReader(stream.Body)
	for line := ""; !strings.Contains(line, `"reason":"revoked"`); {
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatalf("the stream of a token that is gone ended with %q, %v", line, err)
		}
	}
	for name, want := range map[string]int{"old": 401, "new": 200, "boss": 200} {
		if resp := get(name, "/metrics"); resp.StatusCode != want {
			t.Errorf("%s gets %d, want %d", name, resp.StatusCode, want)
		}
	}
	p.stop()
	if code := p.end(t); code != exitOK || strings.Contains(p.stderr.String(), "-token") {
		t.Errorf("exit %d: %s", code, &p.stderr)
	}
}

// A content is taken when it has been seen twice, and a mistake is said once.
func TestTokenWatcher(t *testing.T) {
	file := written(t, "c.yaml", relayHead+"  listen: 0.0.0.0:80\n  tokens: [{name: x, hash: \""+relay.HashToken("x")+"\", roles: [admin]}]\n  tokens_file: tokens\n")
	path := filepath.Join(filepath.Dir(file), "tokens")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(tokenLine("a", "read"))
	c, err := loadConfig(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	var got string
	sets := 0
	w := newTokenWatcher(c.Relay, func(all []relay.Token) error {
		sets++
		got = ""
		for _, t := range all {
			got += t.Name + " "
		}
		return nil
	}, zerolog.New(&said))
	for i, step := range []struct {
		text  string // "-": there is no file; "/": it is a directory
		polls int
		sets  int // in all, after that
		got   string
		says  string // as a new line; "": nothing
	}{
		{tokenLine("a", "read"), 3, 0, "", ""},
		{tokenLine("a", "read") + tokenLine("b", "send"), 1, 0, "", ""},
		{tokenLine("a", "read") + tokenLine("b", "send"), 3, 1, "x a b ", "tokens taken from their file"},
		{"-", 3, 1, "x a b ", "check the path and its permissions"},
		{"", 3, 1, "x a b ", "empty, as if cut off"},
		{tokenLine("x", "read"), 3, 1, "x a b ", `a second token called \"x\": first at `},
		{strings.Repeat("#", maxTokensFile+1), 3, 1, "x a b ", "larger than"},
		{"# nobody\n", 3, 2, "x ", "tokens taken from their file"},
		{"", 3, 3, "x ", "tokens taken from their file"}, // there was none to lose
		{tokenLine("a", "read"), 3, 4, "x a ", "tokens taken from their file"},
		{"", 3, 4, "x a ", "empty, as if cut off"},
		{"/", 3, 4, "x a ", "no regular file"},
	} {
		switch step.text {
		case "-", "/":
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if step.text == "/" {
				if err := os.Mkdir(path, 0o700); err != nil {
					t.Fatal(err)
				}
			}
		default:
			write(step.text)
		}
		said.Reset()
		for range step.polls {
			w.poll()
		}
		if sets != step.sets || got != step.got || !strings.Contains(said.String(), step.says) || strings.Count(said.String(), "\n") != min(len(step.says), 1) {
			t.Errorf("step %d: set %d times to %q, said %q, want %d times, %q and %q", i, sets, got, &said, step.sets, step.got, step.says)
		}
	}
}
