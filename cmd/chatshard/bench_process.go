package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// A row of "chatshard bench" is measured in processes of its own: this program
// again, as a client or as the server that loads it. So neither side's CPU and
// memory, nor what an earlier row left behind, is counted to another.
//
// A child reads its task as one line of JSON on standard input, and words that
// tell it to go on; it answers with lines of JSON on standard output. It ends
// when its standard input is closed.

// benchTask is what a child is to do.
type benchTask struct {
	Role string `json:"role"` // server, bare, ours, join, consumer
	Row  string `json:"row"`  // blast, live, idle, and those of Discord and the relay

	TLS      bool   `json:"tls,omitempty"`
	Addr     string `json:"addr,omitempty"`
	CA       []byte `json:"ca,omitempty"` // PEM
	Conns    int    `json:"conns,omitempty"`
	Warm     int    `json:"warm,omitempty"`     // PRIVMSGs before measuring starts
	Messages int    `json:"messages,omitempty"` // PRIVMSGs measured
	Rate     int    `json:"rate,omitempty"`     // lines per second
	Profile  string `json:"profile,omitempty"`  // file for a CPU profile

	// Of the relay's rows.
	Consumers int    `json:"consumers,omitempty"`
	Stuck     int    `json:"stuck,omitempty"`  // of them that never read
	Output    string `json:"output,omitempty"` // what they connect to, in turns
	NATS      string `json:"nats,omitempty"`   // where they find the engine
	Dir       string `json:"dir,omitempty"`    // for what the relay writes
	Log       bool   `json:"log,omitempty"`    // of the whole way
	Stamp     bool   `json:"stamp,omitempty"`  // the end of an id says when it was sent
}

// benchSent is what a server says that it sent.
type benchSent struct {
	Lines    int `json:"lines"`
	Messages int `json:"messages"` // PRIVMSGs
	Text     int `json:"text"`     // bytes of their texts
}

// benchGot is what a client measured.
type benchGot struct {
	Messages   int     `json:"messages"`
	Text       int     `json:"text"`
	CPU        float64 `json:"cpu"`    // seconds
	Wall       float64 `json:"wall"`   // seconds
	Allocs     float64 `json:"allocs"` // per message
	Peak       float64 `json:"peak"`   // bytes resident at most, beyond those at the start
	RSS        float64 `json:"rss"`    // bytes per connection
	Goroutines float64 `json:"goroutines"`
}

// benchHello is what a server says first.
type benchHello struct {
	Addr string `json:"addr"`
	CA   []byte `json:"ca"`
	NATS string `json:"nats,omitempty"`
}

// newBenchChildCommand is how the program starts itself.
func newBenchChildCommand() *cobra.Command {
	return &cobra.Command{
		Use: "child", Hidden: true, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := bufio.NewReader(cmd.InOrStdin())
			line, err := in.ReadBytes('\n')
			if err != nil {
				return fmt.Errorf("bench child: is started by bench")
			}
			var task benchTask
			if err := json.Unmarshal(line, &task); err != nil {
				return fmt.Errorf("bench child: %w", err)
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			words := make(chan string)
			go func() { // ends with the process
				defer cancel()
				for {
					word, err := in.ReadString('\n')
					if err != nil {
						return
					}
					select {
					case words <- strings.TrimSpace(word):
					case <-ctx.Done():
						return
					}
				}
			}()
			out := json.NewEncoder(cmd.OutOrStdout())
			switch {
			case task.isDiscord() && task.Role == "server":
				return serveGate(ctx, &task, words, out)
			case task.isDiscord():
				return discordClient(ctx, &task, out)
			case strings.HasPrefix(task.Row, "relay-"):
				return relayChild(ctx, &task, words, out)
			}
			if task.Role == "server" {
				return serveBench(ctx, &task, words, out)
			}
			if task.Role == "join" {
				got, err := measureJoins(ctx)
				if err != nil {
					return err
				}
				return out.Encode(got)
			}
			return benchClient(ctx, &task, words, out)
		},
	}
}

// benchChild is a running child.
type benchChild struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
	errs strings.Builder
}

func startBenchChild(ctx context.Context, task *benchTask) (*benchChild, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &benchChild{cmd: exec.CommandContext(ctx, exe, "bench", "child")}
	c.cmd.WaitDelay = 5 * time.Second
	c.cmd.Stderr = &c.errs
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	if err := json.NewEncoder(c.in).Encode(task); err != nil {
		return nil, c.failed(err)
	}
	return c, nil
}

func (c *benchChild) tell(word string) error {
	_, err := io.WriteString(c.in, word+"\n")
	return err
}

func (c *benchChild) hear(v any) error {
	if err := c.out.Decode(v); err != nil {
		return c.failed(err)
	}
	return nil
}

// failed ends the child and returns what it said.
func (c *benchChild) failed(err error) error {
	c.close()
	if text := strings.TrimSpace(c.errs.String()); text != "" {
		err = fmt.Errorf("%s", strings.TrimPrefix(text, "chatshard: "))
	}
	return err
}

// close ends the child and waits for it.
func (c *benchChild) close() {
	c.in.Close()
	_ = c.cmd.Wait() // how a child ends says nothing that its answers did not
}

// duel runs one server with one client, and checks that what was sent is what
// the client saw.
func duel(ctx context.Context, task benchTask) (*benchGot, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	serve := task
	serve.Role = "server"
	server, err := startBenchChild(ctx, &serve)
	if err != nil {
		return nil, err
	}
	defer server.close()
	var hello benchHello
	if err := server.hear(&hello); err != nil {
		return nil, fmt.Errorf("bench: load server: %w", err)
	}
	task.Addr, task.CA = hello.Addr, hello.CA
	client, err := startBenchChild(ctx, &task)
	if err != nil {
		return nil, err
	}
	defer client.close()
	var ready struct{}
	if err := client.hear(&ready); err != nil {
		return nil, fmt.Errorf("bench: %s %s: %w", task.Row, task.Role, err)
	}
	if err := server.tell("go"); err != nil {
		return nil, err
	}
	got, sent := new(benchGot), new(benchSent)
	serr := server.hear(sent)
	// If the client is gone the server fails as well: the client knows why.
	if err := client.hear(got); err != nil {
		return nil, fmt.Errorf("bench: %s %s: %w", task.Row, task.Role, err)
	}
	if serr != nil {
		return nil, fmt.Errorf("bench: load server: %w", serr)
	}
	if got.Messages != sent.Messages || got.Text != sent.Text {
		return nil, fmt.Errorf("bench: %s %s: %d messages with %d bytes of text were sent, %d with %d received",
			task.Row, task.Role, sent.Messages, sent.Text, got.Messages, got.Text)
	}
	return got, nil
}
