package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestMain fails if a goroutine of this module outlives the tests. Tests that
// kill start the binary again as the command itself.
func TestMain(m *testing.M) {
	if os.Getenv("CHATSHARD_TEST_COMMAND") != "" {
		environ = func() []string { return nil }
		main()
	}
	if len(os.Args) == 3 && os.Args[1] == "bench" && os.Args[2] == "child" { // a row's other process
		os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	environ = func() []string { return nil } // that of whoever runs the tests is not ours
	code := m.Run()
	buf := make([]byte, 1<<20)
	stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	for _, s := range stacks[1:] { // the first is this one
		if strings.Contains(s, "github.com/chatshard/") {
			fmt.Fprintf(os.Stderr, "left running: %s\n\n", s)
			code = 1
		}
	}
	os.Exit(code)
}

// chatshard runs a command line.
func chatshard(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// written returns the path of a new file with text.
func written(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUsageErrorsAreOneLineAndExitWith2(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"plann", `chatshard: unknown command "plann": did you mean "plan"?`},
		{"zzz", `chatshard: unknown command "zzz": use one of `},
		{"config", `chatshard: config: which one? check, init, print`},
		{"config chek", `chatshard: unknown command "chek": did you mean "check"?`},
		{"help nosuch", `chatshard: unknown command "nosuch": `},
		{"--nope", `chatshard: unknown flag: --nope`},
		{"plan --nope", `chatshard: unknown flag: --nope`},
		{"plan x", `chatshard: plan: unexpected argument "x"`},
		{"plan", `chatshard: plan: for what? give -c FILE, --twitch-channels N or --guilds N`},
		{"plan --twitch-channels x", `chatshard: invalid argument "x" for "--twitch-channels" flag`},
		{"plan --guilds 0", `chatshard: plan: --guilds, `},
		{"plan --guilds 5 --guilds-per-shard 2501", `chatshard: plan: --guilds, `},
		{"plan --online", `chatshard: plan: --online needs -c FILE`},
		{"plan -c x --guilds 5 --online", `chatshard: if any flags in the group [online guilds]`},
		{"plan --twitch-channels 0", `chatshard: plan: --twitch-channels, `},
		{"plan --twitch-channels 1 --verified --anonymous", `chatshard: if any flags in the group [verified anonymous]`},
		{"plan -c x --twitch-channels 1", `chatshard: if any flags in the group [config twitch-channels]`},
		{"doctor", `chatshard: doctor: of what? give -c FILE or --discord-token-file FILE`},
		{"doctor --discord-token-file /nonexistent", `chatshard: doctor: --discord-token-file /nonexistent: cannot be read: no such file or directory; check the path`},
		{"doctor --discord-token-file x --discord-api http://discord.com", `chatshard: doctor: --discord-api: http would send the token unencrypted to discord.com; write https`},
		{"doctor -c /nonexistent", `chatshard: /nonexistent:1:1: cannot be read`},
		{"version -o xml", `chatshard: invalid argument "xml" for "-o, --output" flag: use one of text, json`},
		{"config check", `chatshard: config check: which configuration? give -c FILE`},
		{"config print", `chatshard: config print: which configuration? give -c FILE`},
	} {
		code, stdout, stderr := chatshard(t, strings.Fields(c.args)...)
		if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("chatshard %s: exit %d, stdout %q, stderr %q, want exit 2 and %q", c.args, code, stdout, stderr, c.want)
		}
	}
}

func TestHelpSucceeds(t *testing.T) {
	for _, args := range []string{"", "--help", "help", "help plan", "plan --help", "config --help", "completion bash"} {
		code, stdout, stderr := chatshard(t, strings.Fields(args)...)
		if code != exitOK || stdout == "" || stderr != "" {
			t.Errorf("chatshard %s: exit %d, %d bytes on stdout, stderr %q", args, code, len(stdout), stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	code, stdout, _ := chatshard(t, "version")
	if code != exitOK || !strings.HasPrefix(stdout, "chatshard ") || !strings.Contains(stdout, runtime.Version()) {
		t.Errorf("version: exit %d, %q", code, stdout)
	}
	code, stdout, _ = chatshard(t, "version", "-o", "json")
	var v versionInfo
	if err := json.Unmarshal([]byte(stdout), &v); code != exitOK || err != nil || v.Go != runtime.Version() {
		t.Errorf("version -o json: exit %d, %v, %q", code, err, stdout)
	}
}
