package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// channelsAnswerTime is for how long an answer about channels is waited for.
const channelsAnswerTime = 30 * time.Second

func newChannelsCommand() *cobra.Command {
	return newGroup("channels", "List, join and part the channels of a running relay",
		newChannelsListCommand(), newChannelsChangeCommand("join"), newChannelsChangeCommand("part"))
}

func newChannelsListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Say where each channel stands that a running relay wants",
		Long: `Say where each channel stands that a running relay wants: the account that
carries it, its state (wanted, queued, sent, joined, refused, lost), its
connection, and whether the configuration, its channels file or the API asked
for it. A token needs the role read.`,
		Args: noArgs,
	}
	client := relayFlags(cmd)
	format := outputFlag(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		a, err := c.channels(cmd.Context(), http.MethodGet, "v1/channels", nil)
		if err != nil {
			return err
		}
		return a.print(cmd.OutOrStdout(), *format)
	}
	return cmd
}

func newChannelsChangeCommand(verb string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   verb + " CHANNEL...",
		Short: "Have a running relay " + verb + " channels",
		Example: `  chatshard channels ` + verb + ` twitch:forsen irc:libera/#go
  chatshard channels ` + verb + ` twitch:xqc --url https://relay.example.org --token-file admin.token`,
	}
	if verb == "join" {
		cmd.Long = `Have a running relay join channels, all of them or none, and say where they
stand then: joining goes on afterwards, as "chatshard channels list" shows. The
relay remembers them when it is started again, unless it keeps no log. One that
was refused is tried again. A token needs the role admin.`
	} else {
		cmd.Long = `Have a running relay part channels that were joined over the API, all of them
or none. One that stands in the configuration or its channels file is parted by
removing it there. A token needs the role admin.`
	}
	var q joinRequest
	if verb == "join" {
		cmd.Flags().StringVar(&q.Account, "account", "", "`name` of the account of Twitch's pool (default: one with room)")
		cmd.Flags().BoolVar(&q.CapExempt, "cap-exempt", false, "the account is broadcaster or moderator there")
	}
	client := relayFlags(cmd)
	format := outputFlag(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s: which channel? name some, as in twitch:forsen", shortPath(cmd))
		}
		q.Channels = args
		if _, err := q.names(); err != nil {
			return usagef("%s: %w", shortPath(cmd), err)
		}
		c, err := client()
		if err != nil {
			return err
		}
		a, err := c.channels(cmd.Context(), http.MethodPost, "v1/channels/"+verb, &q)
		if err != nil {
			return err
		}
		if *format == "text" && verb == "part" {
			for _, name := range args {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), "parted", name); err != nil {
					return err
				}
			}
			return nil
		}
		if a.Note != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), "chatshard: "+oneLine(a.Note))
		}
		return a.print(cmd.OutOrStdout(), *format)
	}
	return cmd
}

// channels asks about channels. To ask again what was asked does no harm, but
// is left to who asks.
func (c *relayClient) channels(ctx context.Context, method, path string, q *joinRequest) (*channelsAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, channelsAnswerTime)
	defer cancel()
	defer c.http.CloseIdleConnections()
	var body []byte
	if q != nil {
		var err error
		if body, err = json.Marshal(q); err != nil {
			return nil, fmt.Errorf("%s: %w", c.what, err)
		}
	}
	status, text, err := c.ask(ctx, method, path, body)
	var silent *url.Error
	switch {
	case errors.As(err, &silent):
		return nil, c.silent(silent)
	case err != nil:
		return nil, err
	}
	var a channelsAnswer
	if status != http.StatusOK || json.Unmarshal(text, &a) != nil || a.Channels == nil {
		return nil, c.refused(path, status, text)
	}
	return &a, nil
}

// print writes an answer.
func (a *channelsAnswer) print(w io.Writer, format string) error {
	if format == "json" {
		return printJSON(w, a)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CHANNEL\tACCOUNT\tSTATE\tSHARD\tORIGIN\tWHY")
	for _, c := range a.Channels {
		origin, why := c.Origin, c.Reason
		if c.At != "" {
			origin = c.At
		}
		if c.NextTry != "" {
			why += "; next try " + c.NextTry
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", oneLine(c.Channel), oneLine(c.Account), oneLine(c.State), oneLine(c.Shard), oneLine(origin), oneLine(why))
	}
	return t.Flush()
}
