package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/chatshard/chatshard/discord"
	"github.com/spf13/cobra"
)

// diagnosis is what "chatshard doctor -o json" prints.
type diagnosis struct {
	OK     bool          `json:"ok"` // no check failed
	Checks []doctorCheck `json:"checks"`
}

// doctorCheck is one thing that was looked at.
type doctorCheck struct {
	Platform string `json:"platform"`
	Name     string `json:"name"`
	Status   string `json:"status"` // ok, warn, fail
	What     string `json:"what"`
	Do       string `json:"do,omitempty"`
}

func newDoctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what would keep a Discord bot from working, and say what to do",
		Long: `Look for what would keep a bot of Discord from working: its token, the privileged
intents that it asks for and those that are enabled, the IDENTIFYs that are left
today, the shards that Discord advises and those that are configured, the way to
the gateway, and what is stored of sessions. It costs no IDENTIFY and changes
nothing.

Either for a configuration (-c FILE) with a section discord, or for a token
alone. Each check is ok, warn or fail; exits with 1 if any failed.`,
		Args: noArgs,
	}
	file := configFlag(cmd)
	tokenFile := cmd.Flags().String("discord-token-file", "", "`file` with the bot's token, without a configuration")
	api := cmd.Flags().String("discord-api", "", "`URL` of the REST API, where it is not Discord's")
	cmd.MarkFlagsMutuallyExclusive("config", "discord-token-file")
	cmd.MarkFlagsMutuallyExclusive("config", "discord-api")
	format := outputFlag(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var bot *discordConfig
		switch {
		case *file != "":
			c, err := loadConfig(*file, environ())
			if c == nil {
				return err // what only lacks capacity can be examined
			}
			if bot = c.Discord; bot == nil {
				return usagef("doctor: %s has no section discord, and nothing else is examined yet", *file)
			}
		case *tokenFile != "":
			var err error
			if bot, err = botOfToken(*tokenFile, *api); err != nil {
				return err
			}
		default:
			return usagef("doctor: of what? give -c FILE or --discord-token-file FILE")
		}
		d := examine(cmd.Context(), bot)
		if err := d.print(cmd.OutOrStdout(), *format); err != nil {
			return err
		}
		return d.failure()
	}
	return cmd
}

// botOfToken returns a bot of which there is a token and no configuration.
func botOfToken(file, api string) (*discordConfig, error) {
	c := new(discordConfig)
	c.defaults()
	c.StateDir = ""
	c.API = api
	if what, fix := badURL(api, "http", "https", "https://discord.com/api/v10"); what != "" {
		return nil, usagef("doctor: --discord-api: %s; %s", what, fix)
	}
	text, err := readFile(file, maxSecretFile)
	if err != nil {
		return nil, usagef("doctor: --discord-token-file %s: %v; check the path and its permissions", file, err)
	}
	token := strings.TrimPrefix(strings.TrimRight(text, "\r\n"), "Bot ")
	if why := badBotToken(token); why != "" {
		return nil, usagef("doctor: --discord-token-file %s: the token %s; put the token alone there, as the developer portal shows it", file, why)
	}
	c.Account = &botConfig{Name: "discord", Token: secret(token)}
	c.intents = discord.IntentsChat
	return c, nil
}

// examine makes all checks of a bot.
func examine(ctx context.Context, c *discordConfig) *diagnosis {
	x := &discordExam{config: c}
	x.run(ctx)
	d := &diagnosis{OK: true, Checks: x.checks}
	for _, check := range d.Checks {
		d.OK = d.OK && check.Status != "fail"
	}
	return d
}

func (d *diagnosis) failure() error {
	var failed []string
	for _, c := range d.Checks {
		if c.Status == "fail" {
			failed = append(failed, c.Name)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("doctor: %d of %d checks failed: %s", len(failed), len(d.Checks), strings.Join(failed, ", "))
}

func (d *diagnosis) print(w io.Writer, format string) error {
	if format == "json" {
		return printJSON(w, d)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range d.Checks {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", c.Status, c.Platform, c.Name, c.What)
		if c.Do != "" {
			fmt.Fprintf(t, "\t\t\t-> %s\n", c.Do)
		}
	}
	return t.Flush()
}
