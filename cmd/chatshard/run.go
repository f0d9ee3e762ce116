package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/chatshard/chatshard/channels"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// drainWithin is how long a relay that was asked to end takes at most.
const drainWithin = 10 * time.Second

// now is the clock of envelopes.
var now = time.Now

func newRunCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Relay the chat of the configured channels to standard output",
		Long: `Relay the chat of the configured channels to standard output: one JSON object a
line for every message, and for what happens to channels and connections. Logs
go to standard error.

Channels are those of the configuration and of its channels file, which is
watched: what changes there is joined and parted while the relay runs. Every
account of Twitch and every IRC network has connections of its own; with a
relay, a sender account has one, over which all of Twitch is sent. A bot of
Discord reads what Discord sends it, in guilds and direct messages; of that only
the channels listed are written, or all if none is. Its sessions outlive the
relay: stopped and started again within three minutes it resumes, loses nothing
and spends no IDENTIFY.

An account that the service turns away for good, for a bad token say, stops;
its channels are not read, the others go on, and the exit code is 1 in the end.
The relay ends when none is left. Ctrl-C or SIGTERM ends it within 10 seconds
once everything received has been written, and a second one at once. If the
reader of standard output goes away it ends with exit code 1.`,
		Args: noArgs,
	}
	file := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := needConfig(cmd, *file)
		if err != nil {
			return err
		}
		r := &relayRun{config: c, log: newLogger(cmd.ErrOrStderr(), c.Log.Level, c.Log.Format)}
		if err := r.run(cmd.Context(), cmd.OutOrStdout()); err != nil {
			return fmt.Errorf("run: %w", err)
		}
		return nil
	}
	return cmd
}

// relayRun is one "chatshard run".
type relayRun struct {
	config   *config
	log      zerolog.Logger
	carriers []*carrier
	sender   *carrier             // on Twitch; nil: who reads sends
	bot      *botCarrier          // nil: no Discord
	rest     *relay.DiscordSender // likewise, and without a relay
	roster   *roster
	assigned channels.Assignment // used by who has the roster's turn
}

// run relays until ctx ends, the output can take no more, or no account is left.
func (r *relayRun) run(ctx context.Context, stdout io.Writer) error {
	var err error
	cursor := newCursor()
	if r.carriers, err = newCarriers(r.config, cursor, r.log); err != nil {
		return err
	}
	if r.sender, err = newSender(r.config, r.log); err != nil {
		return err
	}
	if r.config.Discord != nil {
		if r.bot, err = newBotCarrier(r.config.Discord, cursor, r.log); err != nil {
			return err
		}
	}
	r.roster = newRoster(r.config.wanted)
	readers := r.readers()
	if c := r.config.Relay; c != nil && !c.Stdout {
		stdout = io.Discard
	}
	out := newOutput(stdout)
	var to sink = out
	var served <-chan error // what ends the relay's server, nil without one
	if c := r.config.Relay; c != nil {
		p, err := r.pipe(ctx, cursor, out)
		if err != nil {
			_ = out.close(ctx) // nothing is in it
			return err
		}
		to, served = p, p.served
		defer func() {
			within, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
			defer cancel()
			if err := p.close(within); err != nil {
				r.log.Error().Err(err).Msg("the log was not closed in time")
			}
		}()
	}
	// Nothing below ends with ctx: it is drained.
	running, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()

	var watching sync.WaitGroup
	watched, unwatch := context.WithCancel(running)
	source := r.config.source(func(err error) {
		r.log.Warn().Err(err).Msg("channels file: the channels stay as they were")
	})
	watching.Go(func() {
		if err := source.Watch(watched, r.list); err != nil {
			r.log.Error().Err(err).Msg("the channels are not watched any more")
		}
	})

	ended := make([]error, len(readers))
	var carrying sync.WaitGroup
	for i, k := range readers {
		carrying.Go(func() {
			if ended[i] = k.run(running, to); ended[i] != nil {
				r.log.Error().Err(ended[i]).Msg("turned away for good: its channels are not read")
			}
		})
	}
	none := make(chan struct{})
	go func() { // ends with the carriers, and is waited for below
		carrying.Wait()
		close(none)
	}()

	select {
	case <-ctx.Done():
		r.log.Info().Msg("ending: what was received is written first")
	case <-out.failed():
	case <-none:
	case err := <-served:
		if err != nil {
			r.log.Error().Err(err).Msg("ending: nobody can be served")
			ended = append(ended, err)
		}
	}
	unwatch()
	watching.Wait()
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	// A reader that takes nothing must not keep the handlers for longer.
	stop := context.AfterFunc(within, func() { out.fail(errOutputStuck) })
	defer stop()
	r.drain(within)
	kill()
	<-none
	return r.verdict(out.close(within), ended)
}

// reader is an account of any platform, or a network.
type reader interface {
	who() string
	run(ctx context.Context, out sink) error // until drained, ctx ends, or the service turns it away
	drain(ctx context.Context) error
}

func (r *relayRun) readers() []reader {
	var all []reader
	for _, k := range r.carriers {
		all = append(all, k)
	}
	if r.sender != nil {
		all = append(all, r.sender)
	}
	if r.bot != nil {
		all = append(all, r.bot)
	}
	return all
}

// drain ends all connections and waits until what they received is handled.
func (r *relayRun) drain(ctx context.Context) {
	var wg sync.WaitGroup
	for _, k := range r.readers() {
		wg.Go(func() {
			if err := k.drain(ctx); err != nil {
				r.log.Warn().Str("account", k.who()).Err(err).Msg("not drained in time")
			}
		})
	}
	wg.Wait()
}

// verdict is the one error of a run: that of the output, or of the first
// account that was turned away.
func (r *relayRun) verdict(output error, ended []error) error {
	if output != nil {
		return output
	}
	failed := slices.DeleteFunc(ended, func(err error) bool { return err == nil })
	if n := len(failed); n > 1 {
		return fmt.Errorf("%w (and %d more accounts, see the log)", failed[0], n-1)
	}
	return errors.Join(failed...)
}

// want has a set carried, by whom it is for. The roster's turn is held.
func (r *relayRun) want(set channels.Set) {
	twitch := set.Filter(isTwitch)
	if r.config.Twitch != nil && r.assign(twitch) {
		for _, k := range r.carriers {
			if k.platform == channels.Twitch {
				k.carry(twitch, func(n channels.Name) bool { return r.assigned[n] == k.account }, r.log)
			}
		}
	}
	for _, k := range r.carriers {
		if k.platform == channels.IRC {
			k.carry(set, func(n channels.Name) bool { return n.Platform == channels.IRC && n.Network == k.account }, r.log)
		}
	}
	if r.bot != nil {
		r.bot.carry(set, r.log)
	}
}

func isTwitch(e channels.Entry) bool { return e.Name.Platform == channels.Twitch }

// assign says which account carries each channel of Twitch. It reports false
// if all stay as they are because the set cannot be used.
func (r *relayRun) assign(set channels.Set) bool {
	assigned, err := r.assignment(set)
	var over *channels.CapError
	switch {
	case errors.As(err, &over):
		r.log.Warn().Err(err).Msg("some channels are left out")
	case err != nil:
		r.log.Warn().Err(err).Msg("the channels stay as they were")
		return false
	}
	r.assigned = assigned
	return true
}

// assignment returns which account would carry each channel of set, which is
// Twitch's.
func (r *relayRun) assignment(set channels.Set) (channels.Assignment, error) {
	pool := r.config.Twitch.pool()
	accounts := make([]channels.Account, len(pool))
	for i := range pool {
		accounts[i] = channels.Account{Name: pool[i].Name, Cap: pool[i].cap()}
	}
	return channels.Assign(set, accounts, r.assigned)
}

// sayForeign reports channels that nobody carries.
func (r *relayRun) sayForeign(set channels.Set) {
	for e := range set.All() {
		switch n := e.Name; {
		case n.Platform == channels.Twitch && r.config.Twitch != nil:
		case n.Platform == channels.IRC && r.config.IRC[n.Network] != nil:
		case n.Platform == channels.Discord && r.bot != nil:
		default:
			r.log.Warn().Stringer("key", n).Str("at", e.Origin).Msg("channel left out: the configuration has no section for it")
		}
	}
}
