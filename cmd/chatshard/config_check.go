package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/chatshard/chatshard/channels"
)

const (
	maxConfigFile = 64 << 20
	maxSecretFile = 64 << 10
)

// loadConfig reads a configuration file, lays the environment over it, checks
// all of it and reads the files that it names. The error is a configError; the
// config comes with it, usable, if all its problems are of capacity.
func loadConfig(path string, environ []string) (*config, error) {
	c := new(config)
	c.defaults()
	d := &decoder{file: path, at: map[string]position{}}
	text, err := readFile(path, maxConfigFile)
	if err != nil {
		d.fail(position{path, 1, 1}, err.Error(), `check the path and its permissions, or write one with "chatshard config init"`)
		return nil, d.problems
	}
	d.decodeFile([]byte(text), c)
	broken := len(d.problems) > 0
	d.overlayEnv(c, environ)
	k := checker{decoder: d, environ: environ, broken: broken}
	k.check(c)
	slices.SortStableFunc(d.problems, func(a, b problem) int {
		switch {
		case a.at.file == b.at.file && a.at.line != b.at.line:
			return a.at.line - b.at.line
		case a.at.file == b.at.file:
			return a.at.col - b.at.col
		case a.at.file == path:
			return -1
		case b.at.file == path:
			return 1
		}
		return strings.Compare(a.at.file, b.at.file)
	})
	switch {
	case d.problems == nil:
		return c, nil
	case len(d.problems.without()) == 0:
		return c, d.problems
	}
	return nil, d.problems
}

// checker looks at what decoding cannot see: whether the values make sense
// together, and the files and variables that they name.
type checker struct {
	*decoder
	environ []string
	broken  bool // decoding found mistakes, so what is missing may only be misspelt
}

// where returns where the value at path was written, or the section it is in.
func (k *checker) where(path string) position {
	for {
		if at, ok := k.at[path]; ok {
			return at
		}
		if at, ok := k.at[path+":"]; ok {
			return at
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return position{k.file, 1, 1}
		}
		path = path[:i]
	}
}

func (k *checker) failAt(path, what, fix string) { k.fail(k.where(path), path+": "+what, fix) }

// full reports that more is wanted than a cap allows.
func (k *checker) full(path, what, fix string) {
	k.problems = append(k.problems, problem{at: k.where(path), what: path + ": " + what, fix: fix, capacity: true})
}

func (k *checker) check(c *config) {
	_, versioned := k.at["version"]
	switch {
	case !versioned && !k.broken:
		k.fail(position{k.file, 1, 1}, "version: missing", "write version: 1 in the first line")
	case versioned && c.Version != 1 && !k.failed("version"):
		k.failAt("version", fmt.Sprintf("%d is not known to this chatshard", c.Version), "write version: 1")
	}
	if c.Twitch == nil && len(c.IRC) == 0 && c.Discord == nil && !k.broken {
		k.fail(position{k.file, 1, 1}, "nothing to relay", `add a section twitch, irc or discord; "chatshard config init" shows them`)
	}

	var listed []channels.Entry
	if c.Twitch != nil {
		k.twitch(c.Twitch)
		listed = append(listed, k.list("twitch.channels", "twitch:", c.Twitch.Channels)...)
	}
	for _, name := range c.networks() {
		path := "irc." + name
		if _, err := channels.Parse("irc:" + name + "/#x"); err != nil {
			k.fail(k.where(path+":"), path+": not a name for a network", "use the letters a-z, digits and hyphens")
			continue
		}
		k.irc(path, c.IRC[name])
		listed = append(listed, k.list(path+".channels", "irc:"+name+"/", c.IRC[name].Channels)...)
	}
	if c.Discord != nil {
		k.discord(c.Discord)
		listed = append(listed, k.list("discord.channels", "discord:", c.Discord.Channels)...)
	}
	if c.Relay != nil {
		k.relay(c.Relay)
	}
	var err error
	if c.listed, err = channels.NewSet(listed...); err != nil {
		panic("config: " + err.Error()) // list has refused duplicates
	}
	c.wanted = c.listed
	if c.ChannelsFile != "" {
		k.channelsFile(c)
	}
	k.capacity(c)
}

// failed reports whether the value at path has a problem already.
func (k *checker) failed(path string) bool {
	at := k.where(path)
	return slices.ContainsFunc(k.problems, func(p problem) bool { return p.at == at })
}

// list checks a section's list of channels.
func (k *checker) list(path, prefix string, list []channelConfig) []channels.Entry {
	var entries []channels.Entry
	first := map[channels.Name]string{}
	for i, ch := range list {
		p := fmt.Sprintf("%s[%d]", path, i)
		at := p
		if _, ok := k.at[p+".name"]; ok {
			at += ".name"
		}
		text := ch.Name
		if text == "" {
			if !k.failed(p) {
				k.failAt(p, "no name", "write the channel's name")
			}
			continue
		}
		platform, _, _ := strings.Cut(prefix, ":")
		if !strings.HasPrefix(text, platform+":") {
			text = prefix + text
		}
		name, err := channels.Parse(text)
		var ne *channels.NameError
		switch {
		case errors.As(err, &ne):
			k.failAt(at, quote(ch.Name)+": "+ne.What, ne.Fix)
			continue
		case !strings.HasPrefix(name.String(), prefix):
			k.failAt(at, quote(ch.Name)+" is of another network", "move it to the section of that network")
			continue
		}
		if other, twice := first[name]; twice {
			k.failAt(at, fmt.Sprintf("channel %v listed twice: first at %v", name, k.where(other)), "remove one")
			continue
		}
		first[name] = at
		if platform != "twitch" && (ch.Account != "" || ch.CapExempt) {
			k.failAt(p, "account and cap_exempt are Twitch's", "remove them")
		}
		entries = append(entries, channels.Entry{
			Name:     name,
			Settings: channels.Settings{Account: ch.Account, CapExempt: ch.CapExempt, Disabled: !ch.Enabled},
			Origin:   k.where(at).String(),
		})
	}
	return entries
}

func (k *checker) channelsFile(c *config) {
	const path = "channels_file"
	c.ChannelsFile = k.where(path).relative(c.ChannelsFile)
	set, err := channels.ReadFile(c.ChannelsFile)
	for _, err := range each(err) {
		var le *channels.LineError
		if errors.As(err, &le) {
			k.fail(position{le.File, le.Line, le.Column}, le.What, le.Fix)
		} else {
			what, fix, _ := strings.Cut(err.Error(), "; ")
			k.failAt(path, what, fix)
		}
	}
	for e := range set.All() {
		n := e.Name
		switch at := parsePosition(e.Origin); {
		case n.Platform == channels.Twitch && c.Twitch == nil && !k.broken:
			k.fail(at, fmt.Sprintf("%v: the configuration has no section twitch", n), "add it to "+k.file)
		case n.Platform == channels.IRC && c.IRC[n.Network] == nil && !k.broken:
			k.fail(at, fmt.Sprintf("%v: the configuration has no section irc.%s", n, n.Network), "add it to "+k.file)
		case n.Platform == channels.Discord && c.Discord == nil && !k.broken:
			k.fail(at, fmt.Sprintf("%v: the configuration has no section discord", n), "add it to "+k.file)
		case n.Platform != channels.Twitch && (e.Settings.Account != "" || e.Settings.CapExempt):
			k.fail(at, fmt.Sprintf("%v: account and cap_exempt are Twitch's", n), "remove them")
		}
	}
	c.wanted = channels.Merge(c.listed, set)
}

// each returns the errors that err joins.
func each(err error) []error {
	switch err := err.(type) {
	case nil:
		return nil
	case interface{ Unwrap() []error }:
		return err.Unwrap()
	}
	return []error{err}
}

func parsePosition(s string) position {
	rest, col := cutLast(s)
	file, line := cutLast(rest)
	return position{file, line, col}
}

func cutLast(s string) (string, int) {
	i := strings.LastIndexByte(s, ':')
	n, _ := strconv.Atoi(s[i+1:])
	return s[:max(i, 0)], n
}

// capacity checks that accounts and shards suffice for the channels.
func (k *checker) capacity(c *config) {
	for _, name := range c.networks() {
		n := 0
		for e := range c.wanted.All() {
			if e.Name.Network == name && !e.Settings.Disabled {
				n++
			}
		}
		k.room("irc."+name, &c.IRC[name].sharding, n, "")
	}
	if c.Twitch == nil {
		return
	}
	pool := c.Twitch.pool()
	accounts := make([]channels.Account, len(pool))
	for i := range pool {
		accounts[i] = channels.Account{Name: pool[i].Name, Cap: pool[i].cap()}
	}
	twitch := c.wanted.Filter(func(e channels.Entry) bool { return e.Name.Platform == channels.Twitch })
	if len(pool) > 1 {
		for e := range twitch.All() {
			if e.Settings.CapExempt && e.Settings.Account == "" {
				k.fail(parsePosition(e.Origin), fmt.Sprintf("%v: cap_exempt without account", e.Name), "name the account that is broadcaster or moderator there")
			}
		}
	}
	var err error
	c.onTwitch, err = channels.Assign(twitch, accounts, nil)
	var unknown *channels.AccountError
	var over *channels.CapError
	switch {
	case errors.As(err, &unknown):
		var names []string
		for _, a := range accounts {
			names = append(names, a.Name)
		}
		for _, e := range unknown.Entries {
			fix := "use one of " + strings.Join(names, ", ")
			if near := nearest(e.Settings.Account, names); near != "" {
				fix = "did you mean " + near + "?"
			}
			k.fail(parsePosition(e.Origin), fmt.Sprintf("%v: no account is called %s", e.Name, quote(e.Settings.Account)), fix)
		}
		return
	case errors.As(err, &over):
		k.overCap(over)
	}
	carried := map[string]int{}
	for _, by := range c.onTwitch {
		carried[by]++
	}
	for _, a := range accounts {
		of := ""
		if len(accounts) > 1 {
			of = " of account " + quote(a.Name)
		}
		k.room("twitch", &c.Twitch.sharding, carried[a.Name], of)
	}
}

func (k *checker) overCap(e *channels.CapError) {
	first := e.Over[0]
	var caps []string
	for _, a := range e.Accounts {
		caps = append(caps, fmt.Sprintf("%s may join %d", quote(a.Name), a.Cap))
	}
	who := strings.Join(caps[:min(3, len(caps))], ", ")
	if more := len(caps) - 3; more > 0 {
		who += fmt.Sprintf(", and %d more", more)
	}
	k.problems = append(k.problems, problem{
		at: parsePosition(first.Origin),
		what: fmt.Sprintf("twitch.channels: %d channels count towards Twitch's cap, and %s: %d too many, from %v on",
			e.Counted, who, len(e.Over), first.Name),
		fix:      "remove some, add an account to twitch.accounts, set cap_exempt where the account is broadcaster or moderator, or leave login empty to read anonymously",
		capacity: true,
	})
}

// room checks that n channels fit the shards of one account or network.
func (k *checker) room(path string, s *sharding, n int, of string) {
	shards := s.shards()
	if n <= s.ChannelsPerShard*shards {
		return
	}
	perShard := (n + shards - 1) / shards
	what := fmt.Sprintf("%d channels%s, and %d shards of %d hold %d", n, of, shards, s.ChannelsPerShard, s.ChannelsPerShard*shards)
	if s.Policy == "single" {
		k.full(path+".channels_per_shard", what, fmt.Sprintf("set channels_per_shard to %d, or policy to distributed", perShard))
		return
	}
	k.full(path+".max_shard_count", what,
		fmt.Sprintf("set max_shard_count to %d or channels_per_shard to %d", (n+s.ChannelsPerShard-1)/s.ChannelsPerShard, perShard))
}

// readFile reads a file of limited size. The error does not repeat the path.
func readFile(path string, most int64) (string, error) {
	f, err := os.Open(path)
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return "", errors.New("cannot be read: it is a directory")
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case errors.As(err, &pe):
		return "", fmt.Errorf("cannot be read: %w", pe.Err)
	case err != nil:
		return "", fmt.Errorf("cannot be read: %w", err)
	case int64(len(text)) > most:
		return "", fmt.Errorf("cannot be read: larger than %d bytes", most)
	}
	return string(text), nil
}
