package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	relays "github.com/chatshard/chatshard/cmd/chatshard/relay"
)

const (
	sendAnswer = 20 * time.Second // for the answer; the relay gives one within 15 s
	sendTries  = 3                // where the connection broke off
)

// errNotSent is a message that was not sent, or perhaps not.
var errNotSent = errors.New("not sent")

func newSendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "send --to CHANNEL TEXT",
		Short: "Send a message through a running relay",
		Long: `Send a message through a running relay and say what became of it: sent, with
the service's ids; refused, and why; or unknown, where the service did not say.
Exits with 0 only if it was sent. A TEXT of - is read from standard input.

The token comes from a file or an environment variable, since others can see
command lines. It needs the role send.`,
		Example: `  chatshard send --to twitch:forsen 'hello there'
  echo hello | chatshard send --to discord:81384788765712384 -
  chatshard send --to irc:libera/#go --key deploy-4711 'released' -o json`,
		Args: cobra.MaximumNArgs(1),
	}
	var q relays.SendRequest
	flags := cmd.Flags()
	flags.StringVar(&q.To, "to", "", "`channel`: twitch:forsen, irc:libera/#go, discord:81384788765712384")
	flags.StringVar(&q.ReplyTo, "reply-to", "", "`id` of the message that is answered")
	flags.StringVar(&q.Key, "key", "", "idempotency `key`: the same key sends once in 10 minutes (default: a new one)")
	flags.StringVar(&q.Account, "account", "", "`name` of the account that sends (default: the first that may)")
	client := relayFlags(cmd)
	format := outputFlag(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if q.To == "" {
			return usagef("send: to whom? give --to CHANNEL, as in --to twitch:forsen")
		}
		if len(args) == 0 {
			return usagef("send: which text? give it after the flags, or - for standard input")
		}
		q.Text = args[0]
		if q.Text == "-" {
			in, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxSecretFile+1))
			if err != nil {
				return fmt.Errorf("send: standard input: %w", err)
			}
			q.Text = strings.TrimRight(string(in), "\r\n")
		}
		if q.Key == "" {
			q.Key = rand.Text() // so that a try without an answer can be repeated
		}
		c, err := client()
		if err != nil {
			return err
		}
		res, err := c.send(cmd.Context(), &q)
		if err != nil {
			return err
		}
		if *format == "json" {
			err = printJSON(cmd.OutOrStdout(), res)
		} else if res.Status == relays.StatusSent {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), sentLine(res))
		}
		if err == nil && res.Status != relays.StatusSent {
			err = fmt.Errorf("send: %w: %s: %s (%s)", errNotSent, res.Status, oneLine(res.Reason), res.Code)
		}
		return err
	}
	return cmd
}

// sentLine says that a message was sent.
func sentLine(r *relays.SendResult) string {
	line := "sent"
	if r.Parts > 1 {
		line += fmt.Sprintf(" in %d parts", r.Parts)
	}
	if ids := strings.TrimSpace(strings.Join(r.IDs, " ")); ids != "" {
		line += " " + ids
	}
	return line
}

// send asks until there is an answer: the key makes it safe to ask again.
func (c *relayClient) send(ctx context.Context, q *relays.SendRequest) (*relays.SendResult, error) {
	ctx, cancel := context.WithTimeout(ctx, sendAnswer)
	defer cancel()
	defer c.http.CloseIdleConnections()
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	for try := 1; ; try++ {
		res, err := c.once(ctx, body)
		var dial *net.OpError
		var broken *url.Error
		if try == sendTries || ctx.Err() != nil || !errors.As(err, &broken) || errors.As(err, &dial) && dial.Op == "dial" {
			if broken != nil {
				err = c.silent(broken)
			}
			if err != nil {
				return nil, err
			}
			return res, nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(100*time.Millisecond + mathrand.N(200*time.Millisecond)):
		}
	}
}

// once asks once. A message that was not sent is a problem that holds the result.
func (c *relayClient) once(ctx context.Context, body []byte) (*relays.SendResult, error) {
	status, b, err := c.ask(ctx, http.MethodPost, "v1/send", body)
	if err != nil {
		return nil, err
	}
	var problem struct{ Result *relays.SendResult }
	if status == http.StatusOK {
		problem.Result = new(relays.SendResult)
		err = json.Unmarshal(b, problem.Result)
	} else {
		err = json.Unmarshal(b, &problem)
	}
	if r := problem.Result; err == nil && r != nil && (r.Status == relays.StatusSent || r.Status == relays.StatusRefused || r.Status == relays.StatusUnknown) {
		return r, nil
	}
	return nil, c.refused("v1/send", status, b)
}
