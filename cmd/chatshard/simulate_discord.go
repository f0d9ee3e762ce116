package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chatshard/chatshard/discord/discordtest"
	"github.com/spf13/cobra"
)

// discordSimulator is what the flags of "chatshard simulate discord" ask for.
type discordSimulator struct {
	listen    []string
	listenTLS []string
	public    bool
	caFile    string

	tokens       []string
	guilds       int
	concurrency  int
	identifies   int
	multiple     int
	noPrivileged bool
	noLimits     bool
	heartbeat    time.Duration
	seed         uint64

	rate    float64
	chatter bool
	faults  string
}

// simulatorToken is the token of the bot where none is given.
const simulatorToken = "bot-token"

func newDiscordSimulatorCommand() *cobra.Command {
	s := discordSimulator{}
	cmd := &cobra.Command{
		Use:   "discord",
		Short: "Serve a simulated Discord: gateway and REST",
		Long: `Serve a simulated Discord, for bots of any language and for chatshard run: the
gateway and the REST calls that its clients need, on one port.

It speaks as Discord does, v9 and v10, JSON, with zlib-stream, zstd-stream or
neither, keeps Discord's limits and does what Discord does to those who break
them: IDENTIFYs by max_concurrency and by day, 120 sends a minute, 2,500 guilds
a shard, privileged intents. Sessions are resumed from a replay buffer.

Each address is printed on a line of its own once it is listened on: point a
client's REST there, with the path that is printed; /gateway/bot says where the
gateway is. The token is bot-token, unless --token is given. Clients that insist
on TLS take --listen-tls and --ca-file (NODE_EXTRA_CA_CERTS, SSL_CERT_FILE).

The port may be 0, for one that is free. Only this machine can connect, unless
--public is given: everyone who can is served. Ctrl-C ends it.`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.StringSliceVar(&s.listen, "listen", nil, "`address` for plain connections (127.0.0.1:8080 if no address is given)")
	f.StringSliceVar(&s.listenTLS, "listen-tls", nil, "`address` for TLS connections, such as 127.0.0.1:8443")
	f.BoolVar(&s.public, "public", false, "allow addresses that other machines can reach")
	f.StringVar(&s.caFile, "ca-file", "", "write the authority that signs the TLS certificate to this `file`, in PEM")
	f.StringArrayVar(&s.tokens, "token", nil, "`token` of a bot; may be repeated: each is another bot")
	f.IntVar(&s.guilds, "guilds", 100, "how many guilds each bot is in")
	f.IntVar(&s.concurrency, "max-concurrency", 1, "IDENTIFYs in 5 seconds")
	f.IntVar(&s.identifies, "identifies", 1000, "IDENTIFYs a day")
	f.IntVar(&s.multiple, "shard-multiple", 1, "the number of shards must be a multiple of this, as for a large bot")
	f.BoolVar(&s.noPrivileged, "no-privileged", false, "no privileged intent is enabled")
	f.BoolVar(&s.noLimits, "unlimited", false, "REST has no limits")
	f.DurationVar(&s.heartbeat, "heartbeat", 41250*time.Millisecond, "heartbeat interval")
	f.Float64Var(&s.rate, "rate", 20, "messages a second, over all guilds of all bots, the first of them busiest (Zipf)")
	f.BoolVar(&s.chatter, "chatter", false, "not messages alone: edits, reactions, typing, presences and so on in between")
	faults := &oneOf{allowed: faultLevels, value: "none"}
	f.Var(faults, "faults", "what goes wrong: "+strings.Join(faultLevels, "|"))
	f.Uint64Var(&s.seed, "seed", 1, "of everything random")
	format := outputFlag(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s.faults = faults.value
		return s.run(cmd.Context(), *format, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// check says what is wrong with the flags.
func (s *discordSimulator) check(name string) error {
	for _, n := range []struct {
		flag        string
		value, most int
	}{
		{"guilds", s.guilds, maxChannels}, {"max-concurrency", s.concurrency, 1000}, {"identifies", s.identifies, 1_000_000}, {"shard-multiple", s.multiple, 1000},
	} {
		if n.value < 1 || n.value > n.most {
			return usagef("%s: --%s %d: use a number from 1 to %d", name, n.flag, n.value, n.most)
		}
	}
	switch {
	case s.rate < 0 || !(s.rate <= maxRate):
		return usagef("%s: --rate %v: use a number from 0 to %d", name, s.rate, int(maxRate))
	case s.heartbeat < 100*time.Millisecond:
		return usagef("%s: --heartbeat %v: use a duration from 100ms, as in 41s", name, s.heartbeat)
	}
	for i, token := range s.tokens {
		if badBotToken(token) != "" || slices.Contains(s.tokens[:i], token) {
			return usagef("%s: --token wants tokens that differ and have no blanks", name) // without what was given
		}
	}
	return nil
}

func (s *discordSimulator) config() *discordtest.Config {
	cfg := &discordtest.Config{Seed: s.seed, HeartbeatInterval: s.heartbeat, NoLimits: s.noLimits}
	tokens := s.tokens
	if len(tokens) == 0 {
		tokens = []string{simulatorToken}
	}
	for _, token := range tokens {
		cfg.Bots = append(cfg.Bots, discordtest.Bot{
			Token: token, GuildCount: s.guilds, MaxConcurrency: s.concurrency, IdentifyTotal: s.identifies,
			ShardMultiple: s.multiple, NoPrivileged: s.noPrivileged,
		})
	}
	return cfg
}

func (s *discordSimulator) run(ctx context.Context, format string, stdout, stderr io.Writer) error {
	const name = "simulate discord"
	if err := s.check(name); err != nil {
		return err
	}
	all, err := listeners(name, s.public, "127.0.0.1:8080",
		listenGroup{s.listen, listener{flag: "listen"}}, listenGroup{s.listenTLS, listener{flag: "listen-tls", tls: true}})
	if err != nil {
		return err
	}
	cfg := s.config()
	cfg.Logger = newLogger(stderr, "info", "auto")
	server := discordtest.New(cfg)
	defer server.Close()
	if s.caFile != "" {
		if err := writeCertificate(s.caFile, server.CertPEM()); err != nil {
			return fmt.Errorf("%s: --ca-file %s: %w", name, s.caFile, err)
		}
	}
	for _, l := range all {
		open := server.Listen
		if l.tls {
			open = server.ListenTLS
		}
		at, err := open(l.addr)
		if err != nil {
			return fmt.Errorf("%s: --%s %s: %w", name, l.flag, l.addr, explainListen(err))
		}
		if err := s.print(stdout, l, format, at); err != nil {
			return err
		}
	}

	var wg sync.WaitGroup
	defer wg.Wait()
	for _, b := range server.Stats().Bots {
		load := &discordtest.Load{Bot: b.Name, Rate: s.rate / float64(len(cfg.Bots)), Zipf: 1}
		if s.chatter {
			load.Mix = discordtest.Chatter()
		}
		wg.Go(func() { server.Load(ctx, load) })
	}
	if s.faults != "none" {
		wg.Go(func() { server.InjectPlan(ctx, discordFaultPlan(s.faults)) })
	}
	<-ctx.Done()
	wg.Wait()
	st := server.Stats()
	for _, b := range st.Bots {
		if _, err := fmt.Fprintln(stderr, b); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(stderr, "served %d connections, %d requests, %d events; %d breaches of the rules\n",
		st.Dialled, st.REST, st.Events, len(server.Violations()))
	return err
}

func (s *discordSimulator) print(w io.Writer, l listener, format string, at net.Addr) error {
	http, ws := "http://", "ws://"
	if l.tls {
		http, ws = "https://", "wss://"
	}
	line := listening{Protocol: "discord", Address: at.String(), URL: http + at.String() + "/api/v10", TLS: l.tls, Gateway: ws + at.String()}
	token := "the token is that of --token"
	if len(s.tokens) == 0 {
		line.Tokens = []string{simulatorToken}
		token = "the token is " + simulatorToken
	}
	if format == "json" {
		return json.NewEncoder(w).Encode(line)
	}
	_, err := fmt.Fprintf(w, "discord: listening on %s, gateway %s; %s\n", line.URL, line.Gateway, token)
	return err
}

func discordFaultPlan(level string) discordtest.FaultPlan {
	switch level {
	case "gentle":
		return discordtest.Gentle()
	case "storm":
		return discordtest.Storm()
	}
	return discordtest.FaultPlan{}
}
