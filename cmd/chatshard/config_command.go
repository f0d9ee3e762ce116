package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

//go:embed config_starter.yaml
var starter string

// environ is what lies over the configuration; tests replace it.
var environ = os.Environ

// configFlag adds -c.
func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("config", "c", "", "configuration `file`")
}

// needConfig loads what -c names, or says that it is missing.
func needConfig(cmd *cobra.Command, file string) (*config, error) {
	if file == "" {
		return nil, usagef("%s: which configuration? give -c FILE", shortPath(cmd))
	}
	return loadConfig(file, environ())
}

func newConfigCommand() *cobra.Command {
	return newGroup("config", "Write, check or print a configuration, or print a schema",
		newConfigInitCommand(), newConfigCheckCommand(), newConfigPrintCommand(), newConfigSchemaCommand())
}

func newConfigInitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Print a commented configuration to start from, or write it with -c FILE",
		Args:  noArgs,
	}
	file := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *file == "" {
			_, err := cmd.OutOrStdout().Write([]byte(starter))
			return err
		}
		// Readable by the owner alone: people put tokens there.
		f, err := os.OpenFile(*file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		switch {
		case errors.Is(err, fs.ErrExist):
			return fmt.Errorf("config init: %s is there already; remove it first, or name another file", *file)
		case err != nil:
			return fmt.Errorf("config init: %w", err)
		}
		_, err = f.WriteString(starter)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("config init: %w", err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s; edit it, then: chatshard config check -c %s\n", *file, *file)
		return err
	}
	return cmd
}

// checkResult is what "chatshard config check -o json" prints.
type checkResult struct {
	File     string         `json:"file"`
	OK       bool           `json:"ok"`
	Problems []checkProblem `json:"problems"`
}

type checkProblem struct {
	File   string `json:"file"` // or the name of an environment variable
	Line   int    `json:"line"` // 0 for an environment variable
	Column int    `json:"column"`
	What   string `json:"what"`
	Fix    string `json:"fix"`
}

func newConfigCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with a configuration, one line for each thing",
		Long: `Say what is wrong with a configuration and with the files that it names, one
line for each thing: FILE:LINE:COLUMN: what is wrong; what to do. Exits with 2
if anything is.`,
		Args: noArgs,
	}
	file := configFlag(cmd)
	format := outputFlag(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		_, err := needConfig(cmd, *file)
		var problems configError
		if err != nil && !errors.As(err, &problems) {
			return err
		}
		out := cmd.OutOrStdout()
		if *format == "json" {
			r := checkResult{File: *file, OK: err == nil, Problems: []checkProblem{}}
			for _, p := range problems {
				r.Problems = append(r.Problems, checkProblem{p.at.file, p.at.line, p.at.col, p.what, p.fix})
			}
			if err := printJSON(out, r); err != nil {
				return err
			}
		} else if err == nil {
			_, err := fmt.Fprintf(out, "%s: ok\n", *file)
			return err
		} else if _, err := fmt.Fprintln(out, problems); err != nil {
			return err
		}
		switch len(problems) {
		case 0:
			return nil
		case 1:
			return usagef("config check: %s: 1 problem", *file)
		}
		return usagef("config check: %s: %d problems", *file, len(problems))
	}
	return cmd
}

func newConfigPrintCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print the configuration in force, with defaults and without secrets",
		Args:  noArgs,
	}
	file := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := needConfig(cmd, *file)
		if err != nil {
			return err
		}
		text, err := c.print()
		if err != nil {
			return fmt.Errorf("config print: %w", err)
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}

// print returns the configuration in force as YAML. Secrets are ***, and left
// out where they came from a file or a variable, which is printed.
func (c *config) print() (string, error) {
	shown := *c
	if c.Twitch != nil {
		twitch := *c.Twitch
		twitch.Account = twitch.Account.shown()
		twitch.Sender = twitch.Sender.shown()
		twitch.Accounts = slices.Clone(twitch.Accounts)
		for i := range twitch.Accounts {
			twitch.Accounts[i] = *twitch.Accounts[i].shown()
		}
		pool := twitch.pool()
		limits := twitch.limitsOf(&pool[0])
		for i := range pool {
			if twitch.limitsOf(&pool[i]) != limits {
				limits = c.Twitch.Limits // each account has its own
			}
		}
		twitch.Limits = limits
		shown.Twitch = &twitch
	}
	if c.Discord != nil {
		shown.Discord = c.Discord.shown()
	}
	if c.Relay != nil {
		shown.Relay = c.Relay.shown()
	}
	shown.IRC = map[string]*ircConfig{}
	for name, network := range c.IRC {
		n := *network
		if n.PasswordFile != "" || n.PasswordEnv != "" {
			n.Password = ""
		}
		if n.SASL != nil && (n.SASL.PasswordFile != "" || n.SASL.PasswordEnv != "") {
			sasl := *n.SASL
			sasl.Password = ""
			n.SASL = &sasl
		}
		shown.IRC[name] = &n
	}
	text, err := yaml.MarshalWithOptions(&shown, yaml.IndentSequence(true))
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(text), "\n") + "\n", nil
}

func (a *accountConfig) shown() *accountConfig {
	if a == nil {
		return nil
	}
	out := *a
	if a.TokenFile != "" || a.TokenEnv != "" {
		out.Token = ""
	}
	return &out
}
