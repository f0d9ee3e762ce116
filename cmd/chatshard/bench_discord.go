package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	gojson "github.com/goccy/go-json"

	"github.com/chatshard/chatshard/discord"
)

// discordRows are those of the Discord gateway.
var discordRows = []benchRow{
	{"discord-type", 5, (*bench).discordBlast},
	{"discord-guild", 5, (*bench).discordBlast},
	{"discord-zlib", 5, (*bench).discordBlast},
	{"discord-zstd", 5, (*bench).discordBlast},
	{"discord-decode", 5, (*bench).discordDecode},
	{"discord-idle", 1, (*bench).discordIdle},
	{"discord-idle-zlib", 1, (*bench).discordIdle},
	{"discord-idle-zstd", 1, (*bench).discordIdle},
}

// discordLimits are CPU over that of the bare loop, with as many dispatches as
// take it half a second or so.
var discordLimits = map[string]struct {
	ratio      float64
	dispatches int
}{
	"discord-type":  {2.0, 2_000_000},
	"discord-guild": {1.3, 1_000_000},
	"discord-zlib":  {1.2, 100_000},
	"discord-zstd":  {1.2, 150_000},
}

func (b *bench) discordBlast(ctx context.Context, row string, round int) error {
	limit := discordLimits[row]
	task := benchTask{Row: row, Conns: 1, Warm: 20_000, Messages: limit.dispatches}
	if b.full {
		task.Messages *= 4
	}
	ours, bare, err := b.both(ctx, task, row, round)
	if err != nil {
		return err
	}
	n := float64(task.Messages)
	b.figure(row, "CPU per dispatch", "µs", "ratio", limit.ratio).add(ours.CPU/n*micro, bare.CPU/n*micro)
	b.figure(row, "allocations per dispatch", "", "value", 1).add(roundTo(ours.Allocs, 2))
	b.figure(row, peakFigure, "MiB", "value", 32-botMemory).add(ours.Peak/mib, bare.Peak/mib)
	return nil
}

// discordIdleLimits are KiB of an idle shard over TLS.
var discordIdleLimits = map[string]float64{"discord-idle": 22, "discord-idle-zlib": 65, "discord-idle-zstd": 480}

func (b *bench) discordIdle(ctx context.Context, row string, round int) error {
	task := benchTask{Row: row, TLS: true, Conns: 1000}
	if gateCompression(row) == "zstd-stream" {
		task.Conns = 500
	}
	if need := task.Conns + 100; maxFiles() < need {
		return fmt.Errorf("bench: %s needs %d open files, and %d are allowed: raise the limit with ulimit -n", row, need, maxFiles())
	}
	ours, bare, err := b.both(ctx, task, row, round)
	if err != nil {
		return err
	}
	b.figure(row, "memory per shard", "KiB", "value", discordIdleLimits[row]).add(ours.RSS/kib, bare.RSS/kib)
	b.figure(row, "goroutines per shard", "", "value", 2).add(roundTo(ours.Goroutines, 1), roundTo(bare.Goroutines, 1))
	return nil
}

func (b *bench) discordDecode(_ context.Context, row string, _ int) error {
	ours, bare, err := measureDecode()
	if err != nil {
		return err
	}
	b.figure(row, "time per MESSAGE_CREATE", "µs", "ratio", 1.3).add(ours*micro, bare*micro)
	return nil
}

// measureDecode measures both in turns, so briefly that neither meets a quieter
// machine than the other.
func measureDecode() (ours, bare float64, err error) {
	const turns, most = 60, 256
	c := newDispatches()
	var ds []*discord.Dispatch
	for i := range c.all {
		p := c.text[c.all[i].payload:c.all[i].end]
		if typ, _, d := bareDispatch(p); string(typ) == "MESSAGE_CREATE" && len(ds) < most {
			ds = append(ds, &discord.Dispatch{Type: string(typ), Raw: p, Data: d[:len(d)-1]})
		}
	}
	decode := func(one func(d *discord.Dispatch, into *discord.Message) error) (time.Duration, error) {
		begin := cpuTime()
		for _, d := range ds {
			m := new(discord.Message)
			if err := one(d, m); err != nil {
				return 0, err
			}
			if m.ID == "" || m.ChannelID == "" {
				return 0, errors.New("bench: discord-decode: a message was not decoded")
			}
		}
		return cpuTime() - begin, nil
	}
	for turn := range turns {
		for i := range 2 {
			if (i+turn)%2 == 0 {
				d, err := decode(func(d *discord.Dispatch, m *discord.Message) error { return gojson.Unmarshal(d.Data, m) })
				if err != nil {
					return 0, 0, err
				}
				bare += d.Seconds()
				continue
			}
			d, err := decode(func(d *discord.Dispatch, m *discord.Message) error { return d.Decode(m) })
			if err != nil {
				return 0, 0, err
			}
			ours += d.Seconds()
		}
	}
	n := float64(turns * len(ds))
	return ours / n, bare / n, nil
}

// isDiscord reports whether a child's row is one of Discord's.
func (t *benchTask) isDiscord() bool { return strings.HasPrefix(t.Row, "discord-") }

// isDiscordIdle reports whether memory is what the row measures.
func (t *benchTask) isDiscordIdle() bool { return strings.HasPrefix(t.Row, "discord-idle") }

// discordClient is benchClient for the rows of Discord.
func discordClient(ctx context.Context, task *benchTask, out *json.Encoder) error {
	var clientTLS *tls.Config
	if task.TLS {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(task.CA) {
			return errors.New("bench: the load server has no certificate")
		}
		clientTLS = &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}
	}
	if task.isDiscordIdle() {
		task.Warm, task.Messages = 0, task.Conns*gateIdle
	}
	m := newBenchMeter(task)
	settle()
	rss, goroutines := residentMemory(), runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var stop func() error
	var err error
	switch {
	case task.Role == "ours":
		stop, err = startOurDiscord(ctx, m, clientTLS)
	case task.isDiscordIdle():
		stop, err = startBareDiscordIdle(ctx, m, clientTLS)
	default:
		stop, err = startBareDiscord(ctx, m)
	}
	if err != nil {
		return err
	}
	if err := out.Encode(struct{}{}); err != nil {
		return err
	}
	if err := m.wait(ctx); err != nil {
		return err
	}
	got := m.result()
	if task.isDiscordIdle() {
		settle()
		n := float64(task.Conns)
		got.RSS = (residentMemory() - rss) / n
		got.Goroutines = float64(runtime.NumGoroutine()-goroutines) / n
	}
	cancel()
	if err := stop(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return out.Encode(got)
}
