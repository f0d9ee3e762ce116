package discordtest_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// startProgram starts a client that is a program. It finds its station in the
// environment variable INTEROP, as JSON, and quits when its standard input ends.
func startProgram(t *testing.T, at station, cmd *exec.Cmd) *guest {
	t.Helper()
	config, err := json.Marshal(at)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(ca, at.authority, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "INTEROP="+string(config), "NODE_EXTRA_CA_CERTS="+ca, "SSL_CERT_FILE="+ca)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, errs := new(output), new(output)
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &guest{t: t, seen: out.lines, stop: func() {
		defer time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() }).Stop()
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", cmd, err)
		}
		if t.Failed() {
			for _, l := range errs.lines() {
				t.Log(l)
			}
		}
	}}
}

// interopDir is where the programs are.
var interopDir = filepath.Join("testdata", "interop")

// startNode returns a func that starts a script of testdata/interop.
func startNode(script string) func(*testing.T, station) *guest {
	return func(t *testing.T, at station) *guest {
		node, err := exec.LookPath("node")
		if err != nil {
			absent(t, "Node.js is not installed")
		}
		if _, err := os.Stat(filepath.Join(interopDir, "node_modules")); err != nil {
			absent(t, `the clients are not installed: run "npm ci" in discord/discordtest/testdata/interop`)
		}
		cmd := exec.CommandContext(t.Context(), node, script)
		cmd.Dir = interopDir
		return startProgram(t, at, cmd)
	}
}
