// Command chatshard relays the chat of many channels over as few connections
// as the services' limits allow. "chatshard help" lists what it does.
//
// Results go to standard output, logs and errors to standard error. The exit
// code is 0 for success, 1 for failure, and 2 for wrong usage or configuration.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// commands are what "chatshard help" lists, in its order.
var commands = []func() *cobra.Command{
	newDemoCommand,
	newRunCommand,
	newSendCommand,
	newChannelsCommand,
	newSimulateCommand,
	newPlanCommand,
	newConfigCommand,
	newDoctorCommand,
	newBenchCommand,
	newVersionCommand,
}

const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:                "chatshard",
		Short:              "Relay the chat of many channels over few connections",
		Args:               cobra.ArbitraryArgs,
		SilenceErrors:      true,
		SilenceUsage:       true,
		DisableSuggestions: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	for _, newCommand := range commands {
		root.AddCommand(newCommand())
	}
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil && help != root {
		help.Args = func(_ *cobra.Command, args []string) error {
			if cmd, rest, err := root.Find(args); err == nil && len(rest) > 0 {
				return unknownCommand(cmd, rest[0])
			}
			return nil
		}
	}
	started := false // the command line was understood, and a command runs
	noteStart(root, &started)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitFailure
	var usage *usageError
	var bad configError
	switch {
	case errors.As(err, &bad):
		code = exitUsage
	case errors.As(err, &usage) || !started:
		code = exitUsage
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "chatshard: %s\n", strings.TrimRight(line, "\n"))
	}
	return code
}

// noteStart makes every command below c set started before it runs.
func noteStart(c *cobra.Command, started *bool) {
	if inner := c.RunE; inner != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			*started = true
			return inner(cmd, args)
		}
	}
	for _, sub := range c.Commands() {
		noteStart(sub, started)
	}
}

// usageError is a mistake in the command line that only the command can see.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// newGroup returns a command that only holds others.
func newGroup(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return usagef("%s: which one? %s", shortPath(cmd), strings.Join(subcommands(cmd), ", "))
		},
	}
	cmd.AddCommand(subs...)
	return cmd
}

func unknownCommand(cmd *cobra.Command, name string) error {
	if near := nearest(name, subcommands(cmd)); near != "" {
		return usagef("unknown command %q: did you mean %q?", name, near)
	}
	return usagef("unknown command %q: use one of %s", name, strings.Join(subcommands(cmd), ", "))
}

// shortPath returns what names a command in an error: "config check".
func shortPath(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

func subcommands(cmd *cobra.Command) []string {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			names = append(names, sub.Name())
		}
	}
	return names
}

// noArgs refuses arguments that are not flags.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s: unexpected argument %q; see %q", shortPath(cmd), args[0], cmd.CommandPath()+" --help")
	}
	return nil
}

// outputFlag adds -o with its allowed values, the first being the default.
func outputFlag(cmd *cobra.Command, formats ...string) *string {
	v := &oneOf{allowed: formats, value: formats[0]}
	cmd.Flags().VarP(v, "output", "o", "output format: "+strings.Join(formats, "|"))
	return &v.value
}

// oneOf is a flag with a fixed set of values.
type oneOf struct {
	value   string
	allowed []string
}

func (f *oneOf) String() string { return f.value }
func (f *oneOf) Type() string   { return "format" }
func (f *oneOf) Set(s string) error {
	if !slices.Contains(f.allowed, s) {
		return fmt.Errorf("use one of %s", strings.Join(f.allowed, ", "))
	}
	f.value = s
	return nil
}
