package discordtest_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
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

// startPython starts a script with a Python that has discord.py: that of a
// virtual environment beside the script, the first in the path, or the one that
// Debian's packages are for.
func startPython(script string) func(*testing.T, station) *guest {
	return func(t *testing.T, at station) *guest {
		for _, name := range []string{filepath.Join(interopDir, "venv", "bin", "python3"), "python3", "/usr/bin/python3"} {
			python, err := exec.LookPath(name)
			if err != nil || exec.CommandContext(t.Context(), python, "-c", "import discord").Run() != nil {
				continue
			}
			if python, err = filepath.Abs(python); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), python, "-B", script)
			cmd.Dir = interopDir
			return startProgram(t, at, cmd)
		}
		// Not absent: pip and Debian cannot be had everywhere.
		t.Skip(`discord.py is not installed: run "apt install python3-discord", or "python3 -m venv venv && venv/bin/pip install discord.py" in discord/discordtest/testdata/interop`)
		return nil
	}
}

// startGo returns a func that builds a program of testdata/interop and starts
// it. What their module needs has to be on this machine.
func startGo(program string) func(*testing.T, station) *guest {
	return func(t *testing.T, at station) *guest {
		if runtime.GOOS != "linux" {
			t.Skip("the authority that signs the certificate cannot be given to it here")
		}
		binary := filepath.Join(t.TempDir(), program)
		build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./"+program)
		build.Dir = interopDir
		build.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off")
		if text, err := build.CombinedOutput(); err != nil {
			if strings.Contains(string(text), "GOPROXY=off") {
				absent(t, `the clients are not installed: run "go mod download" in discord/discordtest/testdata/interop`)
			}
			t.Fatalf("%v: %s", err, text)
		}
		return startProgram(t, at, exec.CommandContext(t.Context(), binary))
	}
}
