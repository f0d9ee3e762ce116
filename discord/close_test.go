package discord

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/chatshard/chatshard/balancer"
)

// spec returns the rows of a table that was written down from the
// documentation, which not every clone has beside it.
func spec(t *testing.T, name string) [][]string {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	data, err := os.ReadFile(filepath.Join(filepath.Dir(file), "..", "..", "shared", "data", "discord", "spec", name))
	if err != nil {
		t.Skipf("no tables beside this clone: %v", err)
	}
	var rows [][]string
	for line := range strings.Lines(string(data)) {
		rows = append(rows, strings.Split(strings.TrimRight(line, "\r\n"), "\t"))
	}
	return rows[1:]
}

func TestCloseCodesOfTheDocumentation(t *testing.T) {
	rows := spec(t, "close_codes.tsv")
	verdict := map[string]balancer.Retry{"resume": balancer.Resume, "identify": balancer.Fresh, "fatal": balancer.Never}
	for _, r := range rows {
		code, err := strconv.Atoi(r[0])
		want, ok := verdict[r[3]]
		if err != nil || !ok {
			t.Fatalf("row %q", r)
		}
		c, ok := closings[code]
		if !ok || c.retry != want {
			t.Errorf("%d (%s): %v, want %v", code, r[1], c.retry, want)
		}
		if again := c.retry != balancer.Never; again != (r[2] == "1") {
			t.Errorf("%d (%s): connects again: %v, which the documentation does not say", code, r[1], again)
		}
	}
	if len(closings) != len(rows) {
		t.Errorf("%d codes in the table, %d in the documentation", len(closings), len(rows))
	}
}

func TestCloseCodes(t *testing.T) {
	const token = "dG9rZW4.of.nobody"
	for _, c := range []struct {
		code  int
		retry balancer.Retry
		slow  bool
		is    error
		says  []string // what to do
	}{
		{1000, balancer.Resume, false, nil, nil},
		{1001, balancer.Resume, false, nil, nil},
		{1006, balancer.Resume, false, nil, nil},
		{4000, balancer.Resume, false, nil, nil},
		{4001, balancer.Resume, false, nil, nil},
		{4002, balancer.Resume, false, nil, nil},
		{4003, balancer.Fresh, false, nil, nil},
		{4004, balancer.Never, false, ErrToken, []string{"token", "developer portal"}},
		{4005, balancer.Resume, false, nil, nil},
		{4006, balancer.Resume, false, nil, nil}, // there is none
		{4007, balancer.Fresh, false, nil, nil},
		{4008, balancer.Resume, true, nil, nil},
		{4009, balancer.Fresh, false, nil, nil},
		{4010, balancer.Never, false, ErrSharding, []string{"/gateway/bot", "multiple"}},
		{4011, balancer.Never, false, ErrSharding, []string{"use more", "channels_per_shard"}},
		{4012, balancer.Never, false, ErrProtocol, []string{"update the program"}},
		{4013, balancer.Never, false, ErrIntents, []string{"bit"}},
		{4014, balancer.Never, false, ErrIntents, []string{"guild_members", "message_content", "enable them", "developer portal"}},
		{4999, balancer.Resume, false, nil, nil}, // one that is yet to come
	} {
		tr := &Transport{cfg: Config{Intents: IntentsChat | IntentGuildMembers}}
		e := tr.closed(c.code, "said of "+token+"\xff", NewSecret(token))
		var closed *CloseError
		if !errors.As(e, &closed) || closed.Code != c.code {
			t.Errorf("%d: %v is no CloseError of it", c.code, e)
			continue
		}
		if e.Retry != c.retry || closings[c.code].slow != c.slow {
			t.Errorf("%d: %v (slow %v), want %v (%v)", c.code, e.Retry, closings[c.code].slow, c.retry, c.slow)
		}
		for _, sentinel := range []error{ErrToken, ErrIntents, ErrSharding, ErrProtocol} {
			if is := errors.Is(e, sentinel); is != (sentinel == c.is) {
				t.Errorf("%d: errors.Is(%v) = %v", c.code, sentinel, is)
			}
		}
		text := e.Error()
		for _, part := range append(c.says, strconv.Itoa(c.code), "said of ***") {
			if !strings.Contains(text, part) {
				t.Errorf("%d: %q does not say %q", c.code, text, part)
			}
		}
		if strings.Contains(text, token) || !utf8.ValidString(text) || strings.Contains(text, "\n") {
			t.Errorf("%d: %q: a token, or not one line", c.code, text)
		}
	}
	// An intent that is not privileged: nothing to name, and still one line.
	tr := &Transport{cfg: Config{Intents: IntentGuilds}}
	if text := tr.closed(4014, "", Secret{}).Error(); !strings.Contains(text, "may not have") {
		t.Errorf("4014: %q", text)
	}
}
