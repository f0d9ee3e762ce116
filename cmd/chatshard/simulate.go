package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/chatshard/chatshard/channels"
	"github.com/chatshard/chatshard/irc/irctest"
	"github.com/spf13/cobra"
)

// simulator is what the flags of "chatshard simulate" ask for.
type simulator struct {
	protocol  string // twitch, irc
	listen    []string
	listenTLS []string
	listenWS  []string
	listenWSS []string
	public    bool
	caFile    string

	channels  string // a number, or names
	accounts  []string
	verified  bool
	unlimited bool
	seed      uint64

	rate   float64
	replay string
	faults string
}

func newSimulateCommand() *cobra.Command {
	return newGroup("simulate", "Serve a simulated Twitch, Discord or IRC server on a port",
		newSimulatorCommand("twitch", "Serve a simulated Twitch chat",
			`Serve a simulated Twitch chat, for bots of any language and for chatshard run.

It speaks as irc.chat.twitch.tv does, keeps Twitch's limits (those of a normal
account, unless --verified or --unlimited is given) and does what Twitch does
to those who break them. Every login is let in with any token, unless --account
is given; anonymous logins always are.`),
		newSimulatorCommand("irc", "Serve a simulated plain IRC network",
			`Serve a small modern IRC network: CAP 302, SASL, ISUPPORT, nick collisions and
flood control.`),
		newDiscordSimulatorCommand())
}

func newSimulatorCommand(protocol, short, long string) *cobra.Command {
	s := simulator{protocol: protocol}
	cmd := &cobra.Command{
		Use:   protocol,
		Short: short,
		Long: long + `

Each address is printed on a line of its own once it is listened on. Chat flows
in the channels of --channels, the first of them busiest. Without --channels
every other channel can be joined too, and is silent; with it, no other exists.

The port may be 0, for one that is free. Only this machine can connect, unless
--public is given: everyone who can is served. Ctrl-C ends it.`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.StringSliceVar(&s.listen, "listen", nil, "`address` for plain connections (127.0.0.1:6667 if no address is given)")
	f.StringSliceVar(&s.listenTLS, "listen-tls", nil, "`address` for TLS connections, such as 127.0.0.1:6697")
	f.StringSliceVar(&s.listenWS, "listen-ws", nil, "`address` for WebSocket connections")
	f.StringSliceVar(&s.listenWSS, "listen-wss", nil, "`address` for WebSocket connections over TLS")
	f.BoolVar(&s.public, "public", false, "allow addresses that other machines can reach")
	f.StringVar(&s.caFile, "ca-file", "", "write the authority that signs the TLS certificate to this `file`, in PEM")
	f.StringVar(&s.channels, "channels", "100", "how many channels there are, or their names: forsen,xqc")
	f.StringArrayVar(&s.accounts, "account", nil, "`login:token` that may log in; may be repeated; without it all may")
	f.BoolVar(&s.verified, "verified", false, "all accounts have the limits of verified bots, anonymous ones too")
	f.BoolVar(&s.unlimited, "unlimited", false, "accounts have no limits")
	cmd.MarkFlagsMutuallyExclusive("verified", "unlimited")
	f.Float64Var(&s.rate, "rate", 20, "messages a second, over all channels")
	f.StringVar(&s.replay, "replay", "", "chat from this `file` of raw IRC lines, over and over, instead of made-up chat")
	faults := &oneOf{allowed: faultLevels, value: "none"}
	f.Var(faults, "faults", "what goes wrong: "+strings.Join(faultLevels, "|"))
	f.Uint64Var(&s.seed, "seed", 1, "of everything random")
	format := outputFlag(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s.faults = faults.value
		return s.run(cmd.Context(), cmd.Flags().Changed("channels"), *format, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// faultLevels are the values of --faults.
var faultLevels = []string{"none", "gentle", "storm"}

func faultPlan(level string) irctest.FaultPlan {
	switch level {
	case "gentle":
		return irctest.Gentle()
	case "storm":
		return irctest.Storm()
	}
	return irctest.FaultPlan{}
}

// listener is one address that is to be listened on.
type listener struct {
	flag, addr string
	tls, ws    bool
}

// listenGroup is the addresses of one flag.
type listenGroup struct {
	addrs []string
	of    listener
}

func (s *simulator) run(ctx context.Context, only bool, format string, stdout, stderr io.Writer) error {
	name := "simulate " + s.protocol
	listeners, err := s.listeners(name)
	if err != nil {
		return err
	}
	names, err := s.names(name)
	if err != nil {
		return err
	}
	cfg, err := s.config(name)
	if err != nil {
		return err
	}
	if s.rate < 0 || !(s.rate <= maxRate) {
		return usagef("%s: --rate %v: use a number from 0 to %d", name, s.rate, int(maxRate))
	}
	load := &irctest.Load{Rate: s.rate, Channels: names, Zipf: 1}
	if s.replay != "" {
		if load.Source, err = replaySource(name, s.replay); err != nil {
			return err
		}
	}
	if only {
		cfg.Channels = names
	}
	cfg.Logger = newLogger(stderr, "info", "auto")
	newServer := irctest.NewTwitch
	if s.protocol == "irc" {
		newServer = irctest.NewIRC
	}
	server := newServer(cfg)
	defer server.Close()
	if s.caFile != "" {
		if err := writeAuthority(ctx, server, s.caFile); err != nil {
			return fmt.Errorf("%s: --ca-file %s: %w", name, s.caFile, err)
		}
	}
	for _, l := range listeners {
		at, err := l.open(server)
		if err != nil {
			return fmt.Errorf("%s: --%s %s: %w", name, l.flag, l.addr, explainListen(err))
		}
		if err := l.print(stdout, s.protocol, format, at.String()); err != nil {
			return err
		}
	}

	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { server.Chat(ctx, load) })
	if s.faults != "none" {
		wg.Go(func() { server.Inject(ctx, faultPlan(s.faults)) })
	}
	<-ctx.Done()
	wg.Wait()
	st := server.Stats()
	_, err = fmt.Fprintf(stderr, "served %d connections, %d logins, %d messages; %d breaches of the limits\n",
		st.Dialled, st.Logins, st.Messages, len(server.Violations()))
	return err
}

// listeners returns what is to be listened on, in the order of the flags.
func (s *simulator) listeners(name string) ([]listener, error) {
	return listeners(name, s.public, "127.0.0.1:6667",
		listenGroup{s.listen, listener{flag: "listen"}},
		listenGroup{s.listenTLS, listener{flag: "listen-tls", tls: true}},
		listenGroup{s.listenWS, listener{flag: "listen-ws", ws: true}},
		listenGroup{s.listenWSS, listener{flag: "listen-wss", tls: true, ws: true}})
}

// listeners checks addresses. If none is given it returns the standard one, for
// the first group.
func listeners(name string, public bool, standard string, groups ...listenGroup) ([]listener, error) {
	var out []listener
	for _, group := range groups {
		for _, addr := range group.addrs {
			l := group.of
			l.addr = addr
			_, port, err := net.SplitHostPort(addr)
			n, perr := strconv.Atoi(port)
			switch {
			case err != nil:
				return nil, usagef("%s: --%s %s is not HOST:PORT; write one as in %s", name, l.flag, quote(addr), standard)
			case perr != nil || n < 0 || n > 65535:
				return nil, usagef("%s: --%s %s: %s is not a port; use a number from 0 to 65535", name, l.flag, quote(addr), quote(port))
			case !public && !isLoopback(addr):
				return nil, usagef("%s: --%s %s: other machines could connect; use 127.0.0.1, or give --public if they shall", name, l.flag, quote(addr))
			}
			out = append(out, l)
		}
	}
	if out == nil {
		l := groups[0].of
		l.addr = standard
		out = append(out, l)
	}
	return out, nil
}

func (l listener) open(s *irctest.Server) (net.Addr, error) {
	switch {
	case l.ws:
		return s.ListenWebSocket(l.addr, l.tls)
	case l.tls:
		return s.ListenTLS(l.addr)
	}
	return s.Listen(l.addr)
}

// listening is what "chatshard simulate -o json" prints for each address.
type listening struct {
	Protocol  string `json:"protocol"`
	Address   string `json:"address"`
	URL       string `json:"url"`
	TLS       bool   `json:"tls"`
	WebSocket bool   `json:"websocket"`

	// Of Discord alone.
	Gateway string   `json:"gateway,omitempty"`
	Tokens  []string `json:"tokens,omitempty"` // those that were made up
}

func (l listener) print(w io.Writer, protocol, format, at string) error {
	scheme := map[listener]string{{}: "irc", {tls: true}: "ircs", {ws: true}: "ws", {tls: true, ws: true}: "wss"}[listener{tls: l.tls, ws: l.ws}]
	line := listening{Protocol: protocol, Address: at, URL: scheme + "://" + at, TLS: l.tls, WebSocket: l.ws}
	if format == "json" {
		return json.NewEncoder(w).Encode(line)
	}
	_, err := fmt.Fprintf(w, "%s: listening on %s\n", protocol, line.URL)
	return err
}

// explainListen says what to do about an address that cannot be listened on.
func explainListen(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return errors.New("the port is in use; stop what listens there, or give another one (0: any that is free)")
	case errors.Is(err, syscall.EACCES):
		return errors.New("permission denied; use a port from 1024 on")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return errors.New("this machine has no such address; use 127.0.0.1")
	}
	return err
}

// maxRate is more than one machine can send.
const maxRate = 10e6

// maxChannels bounds what is simulated.
const maxChannels = 1_000_000

// names returns the channels that chat is sent to.
func (s *simulator) names(name string) ([]string, error) {
	if n, err := strconv.Atoi(s.channels); err == nil {
		if n < 1 || n > maxChannels {
			return nil, usagef("%s: --channels %d: use a number from 1 to %d, or names", name, n, maxChannels)
		}
		list := channelNames(n)
		if s.protocol == "irc" {
			for i := range list {
				list[i] = "#" + list[i]
			}
		}
		return list, nil
	}
	var list []string
	seen := map[string]bool{}
	for _, text := range strings.Split(s.channels, ",") {
		prefix := "twitch:"
		if s.protocol == "irc" {
			prefix = "irc:net/"
		}
		n, err := channels.Parse(prefix + strings.TrimSpace(text))
		var bad *channels.NameError
		if errors.As(err, &bad) {
			return nil, usagef("%s: --channels: %s: %s; %s", name, quote(text), bad.What, bad.Fix)
		}
		if seen[n.Channel] {
			return nil, usagef("%s: --channels: %s stands there twice; remove one", name, n.Channel)
		}
		seen[n.Channel] = true
		list = append(list, n.Channel)
	}
	return list, nil
}

// channelNames returns made-up logins: channel1, channel2, …
func channelNames(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = "channel" + strconv.Itoa(i+1)
	}
	return list
}

func (s *simulator) config(name string) (*irctest.Config, error) {
	cfg := &irctest.Config{Seed: s.seed}
	switch {
	case s.verified:
		cfg.Normal, cfg.Anonymous = irctest.Verified(), irctest.Verified()
	case s.unlimited:
		cfg.Normal, cfg.Anonymous = irctest.Unlimited(), irctest.Unlimited()
		cfg.IRC.ChanLimit, cfg.IRC.FloodBurst = -1, -1
	}
	for _, text := range s.accounts {
		login, token, ok := strings.Cut(text, ":")
		token = strings.TrimPrefix(token, "oauth:")
		if !ok || login == "" || token == "" || strings.ContainsAny(text, " \r\n") {
			return nil, usagef("%s: --account wants LOGIN:TOKEN", name) // without what was given: it may be a token
		}
		cfg.Accounts = append(cfg.Accounts, irctest.Account{Login: login, Token: token, Verified: s.verified})
	}
	return cfg, nil
}

// replaySource reads a file of raw IRC lines.
func replaySource(name, file string) (irctest.Source, error) {
	const most = 1 << 30
	text, err := readFile(file, most)
	if err != nil {
		return nil, usagef("%s: --replay %s: %v; check the path and its permissions", name, file, err)
	}
	source, err := irctest.Replay(strings.NewReader(text))
	if err != nil {
		return nil, usagef("%s: --replay %s: no IRC line of a channel in it; use a file of raw lines as Twitch sends them", name, file)
	}
	return source, nil
}

// writeAuthority writes the certificate of the server's authority, which the
// server shows to whoever connects and verifies.
func writeAuthority(ctx context.Context, s *irctest.Server, file string) error {
	nc, err := s.DialContext(ctx, "tcp", "localhost:6697")
	if err != nil {
		return err
	}
	defer nc.Close()
	c := tls.Client(nc, &tls.Config{RootCAs: s.CertPool(), ServerName: "localhost"})
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	chain := c.ConnectionState().VerifiedChains[0]
	var text bytes.Buffer
	if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: chain[len(chain)-1].Raw}); err != nil {
		return err
	}
	return writeCertificate(file, text.Bytes())
}

func writeCertificate(file string, pem []byte) error {
	err := os.WriteFile(file, pem, 0o644)
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	if err != nil {
		return fmt.Errorf("cannot be written: %w", err)
	}
	return nil
}
