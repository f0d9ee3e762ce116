package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// benchReport is what "chatshard bench -o json" prints.
type benchReport struct {
	OK       bool           `json:"ok"` // every limit is met
	Go       string         `json:"go"`
	Platform string         `json:"platform"`
	CPUs     int            `json:"cpus"`
	Seconds  float64        `json:"seconds"`
	Figures  []*benchFigure `json:"figures"`
}

// benchFigure is one figure of a row: ours and the bare loop's, measured in
// turns in the same run.
type benchFigure struct {
	Row    string      `json:"row"`
	Figure string      `json:"figure"`
	Unit   string      `json:"unit"`
	Ours   float64     `json:"ours"`           // median of the rounds
	Bare   *float64    `json:"bare,omitempty"` // likewise
	Ratio  *benchRatio `json:"ratio,omitempty"`
	Rounds int         `json:"rounds"`
	Limit  float64     `json:"limit"`
	Of     string      `json:"limit_of"` // ratio, value, least; empty: there is no limit
	Met    bool        `json:"met"`

	ours, bare []float64 // by round
}

// benchRatio is ours over bare within each round.
type benchRatio struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// worstRound is how far above its limit the worst round's ratio may be: one
// that is further off says that the limit is not kept, whatever the median.
const worstRound = 1.3

func (f *benchFigure) settle() {
	f.Rounds = len(f.ours)
	f.Ours = median(f.ours)
	switch f.Of {
	case "":
		f.Met = true
	case "least":
		f.Met = f.Ours >= f.Limit
	default:
		f.Met = f.Ours <= f.Limit
	}
	if len(f.bare) == 0 {
		return
	}
	bare := median(f.bare)
	f.Bare = &bare
	ratios := make([]float64, len(f.ours))
	for i := range ratios {
		ratios[i] = f.ours[i] / f.bare[i]
	}
	f.Ratio = &benchRatio{median(ratios), slices.Min(ratios), slices.Max(ratios)}
	if f.Of == "ratio" {
		f.Met = f.Ratio.Median <= f.Limit && f.Ratio.Max <= worstRound*f.Limit
	}
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// benchRow is what --only chooses from.
type benchRow struct {
	name   string
	rounds int
	round  func(b *bench, ctx context.Context, row string, round int) error
}

var benchRows = append([]benchRow{
	{"tokenizer", 5, (*bench).tokenizer},
	{"blast", 5, (*bench).blast},
	{"blast-tls", 5, (*bench).blast},
	{"live", 3, (*bench).live},
	{"live-tls", 3, (*bench).live},
	{"idle", 2, (*bench).idle},
	{"join", 3, (*bench).join},
	{"pace", 1, (*bench).pace},
}, discordRows...)

// bench is a run of the command.
type bench struct {
	full     bool
	seconds  int     // of rows of the relay with a rate; 0: those of the row
	kept     int     // lines a second that the relay keeps up with, once that is known
	part     float64 // of what a row of the relay sends, in tests; 0: all
	profiles string
	lines    []string // of the tokenizer
	figures  []*benchFigure
}

func newBenchCommand() *cobra.Command {
	cmd := newBenchRowsCommand(benchRows, &cobra.Command{
		Use:   "bench",
		Short: "Measure speed and memory against bare loops",
		Long: `Measure what reading chat costs here, and what the least is that it can cost: a
bare loop that does no more than it must, in turns with ours. What counts is the
ratio of the two in the same round (median, and the range over rounds); times
alone say more about the machine. A limit on a ratio is met if the median keeps
to it and no round is above 1.3 times the limit.

Clients and the server that loads them are processes of their own on this
machine, so close what else uses the CPUs.

Our side of blast and live reads as "chatshard run" does, with Config.Reuse: the
handler keeps nothing of a message, so its memory is used again. A library's
user who keeps messages leaves that off and pays for garbage collection.

  tokenizer       split a line, read its channel, id and text
  blast[-tls]     as much as one connection carries
  live[-tls]      20,000 lines/s over 1,000 connections
  idle            memory of a TLS connection on which nothing happens
  join            a million keys on 10,000 shards
  pace            joining within a budget

  discord-type    a Discord connection, routed by the type of an event
  discord-guild   the same, routed by guild and channel
  discord-zlib    the same, compressed; discord-zstd likewise
  discord-decode  a typed message on demand
  discord-idle    memory of an idle shard over TLS; -zlib and -zstd likewise

"chatshard bench relay" measures what handing chat on costs.`,
	})
	cmd.AddCommand(newBenchChildCommand(), newBenchRelayCommand())
	return cmd
}

// newBenchRowsCommand makes a command that measures rows.
func newBenchRowsCommand(rows []benchRow, cmd *cobra.Command) *cobra.Command {
	names := benchRowNames(rows)
	cmd.Args = noArgs
	format := outputFlag(cmd, "text", "json")
	var only []string
	var rounds int
	var strict bool
	b := new(bench)
	cmd.Flags().StringSliceVar(&only, "only", nil, "rows to measure: "+strings.Join(names, ","))
	cmd.Flags().IntVar(&rounds, "rounds", 0, "rounds of each row; default 1 to 5")
	if strings.HasPrefix(rows[0].name, "relay-") {
		cmd.Flags().IntVar(&b.seconds, "seconds", 0, "for which rates are kept; default 3 to 10, and 60 of relay-whole-log")
	} else {
		cmd.Flags().BoolVar(&b.full, "full", false, "10,000 idle connections and longer runs")
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 1 if a limit is missed")
	cmd.Flags().StringVar(&b.profiles, "cpuprofile", "", "directory for CPU profiles of our side")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !benchSupported {
			return errors.New("bench: CPU time and memory are measured on Linux only; go test -bench . ./... works elsewhere")
		}
		for _, name := range only {
			if !slices.Contains(names, name) {
				return usagef("bench: --only: unknown row %q: use some of %s", name, strings.Join(names, ", "))
			}
		}
		if rounds < 0 || b.seconds < 0 {
			return usagef("bench: --rounds and --seconds must not be negative")
		}
		if b.profiles != "" {
			if err := os.MkdirAll(b.profiles, 0o777); err != nil {
				return err
			}
		}
		begin := time.Now()
		failed := b.run(cmd.Context(), rows, only, rounds, progressTo(cmd.ErrOrStderr()))
		if failed != nil && len(b.figures) == 0 {
			return failed
		}
		r := benchReport{
			OK: failed == nil, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(),
			Seconds: time.Since(begin).Seconds(), Figures: b.figures,
		}
		missed := 0
		for _, f := range r.Figures {
			if !f.Met {
				r.OK = false
				missed++
			}
		}
		if *format == "json" {
			if err := printJSON(cmd.OutOrStdout(), &r); err != nil {
				return err
			}
		} else if err := r.print(cmd.OutOrStdout()); err != nil {
			return err
		}
		if failed != nil {
			return fmt.Errorf("%w; what was measured before that is printed", failed)
		}
		if strict && missed > 0 {
			return fmt.Errorf("bench: %d of %d limits missed", missed, len(r.Figures))
		}
		return nil
	}
	return cmd
}

func benchRowNames(rows []benchRow) []string {
	var names []string
	for _, r := range rows {
		names = append(names, r.name)
	}
	return names
}

func (b *bench) run(ctx context.Context, rows []benchRow, only []string, rounds int, progress func(string)) error {
	defer progress("")
	defer func() {
		for _, f := range b.figures {
			f.settle()
		}
	}()
	for _, row := range rows {
		if len(only) > 0 && !slices.Contains(only, row.name) {
			continue
		}
		n := row.rounds
		if rounds > 0 {
			n = rounds
		}
		for round := range n {
			progress(fmt.Sprintf("%s %d/%d", row.name, round+1, n))
			if err := row.round(b, ctx, row.name, round); err != nil {
				return err
			}
		}
	}
	return nil
}

// progressTo returns what shows on a terminal how far the run is.
func progressTo(w io.Writer) func(string) {
	f, ok := w.(*os.File)
	if !ok {
		return func(string) {}
	}
	if st, err := f.Stat(); err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return func(string) {}
	}
	return func(s string) { fmt.Fprintf(f, "\r\x1b[K%s", s) }
}

// figure returns a figure, which is made when it is asked for first.
func (b *bench) figure(row, name, unit, of string, limit float64) *benchFigure {
	for _, f := range b.figures {
		if f.Row == row && f.Figure == name {
			return f
		}
	}
	f := &benchFigure{Row: row, Figure: name, Unit: unit, Of: of, Limit: limit}
	b.figures = append(b.figures, f)
	return f
}

func (f *benchFigure) add(ours float64, bare ...float64) {
	f.ours = append(f.ours, ours)
	f.bare = append(f.bare, bare...)
}

// both runs a task by either side, in turns as to who is first.
func (b *bench) both(ctx context.Context, task benchTask, row string, round int) (ours, bare *benchGot, err error) {
	for i := range 2 {
		t := task
		if (i+round)%2 == 0 {
			t.Role = "bare"
			if bare, err = duel(ctx, t); err != nil {
				return nil, nil, err
			}
			continue
		}
		t.Role = "ours"
		if b.profiles != "" {
			t.Profile = filepath.Join(b.profiles, fmt.Sprintf("%s-%d.pprof", row, round+1))
		}
		if ours, err = duel(ctx, t); err != nil {
			return nil, nil, err
		}
	}
	if ours.Messages != bare.Messages || ours.Text != bare.Text {
		return nil, nil, fmt.Errorf("bench: %s: the two sides were sent different messages", row)
	}
	return ours, bare, nil
}

const (
	micro = 1e6
	kib   = 1 << 10
	mib   = 1 << 20
)

func (b *bench) tokenizer(_ context.Context, row string, _ int) error {
	if b.lines == nil {
		b.lines = tokenizerLines()
	}
	got, same := measureTokenizer(b.lines)
	if !same {
		return errors.New("bench: tokenizer: the two sides read different things")
	}
	b.figure(row, "time per line", "ns", "ratio", 1.15).add(got.ours, got.bare)
	b.figure(row, "allocations per line", "", "value", 0).add(roundTo(got.allocs, 3))
	return nil
}

func (b *bench) blast(ctx context.Context, row string, round int) error {
	task := benchTask{Row: "blast", TLS: row == "blast-tls", Conns: 1, Warm: 20_000, Messages: 1_000_000}
	if b.full {
		task.Messages *= 4
	}
	ours, bare, err := b.both(ctx, task, row, round)
	if err != nil {
		return err
	}
	n, limit := float64(task.Messages), 1.5
	if task.TLS {
		limit = 1.3
	}
	b.figure(row, "CPU per message", "µs", "ratio", limit).add(ours.CPU/n*micro, bare.CPU/n*micro)
	b.figure(row, "allocations per message", "", "value", 0.05).add(roundTo(ours.Allocs, 3))
	b.figure(row, peakFigure, "MiB", "value", 16-botMemory).add(ours.Peak/mib, bare.Peak/mib)
	return nil
}

// What is measured is what a client takes beyond the memory of a program that has
// just started: this one has all commands in it, and 20 MiB before it does
// anything. A bot alone begins with botMemory, and the limits are for all of it.
const (
	peakFigure = "peak memory beyond the start's"
	botMemory  = 8.5 // MiB
)

func (b *bench) live(ctx context.Context, row string, round int) error {
	task := benchTask{Row: "live", TLS: row == "live-tls", Conns: 1000, Rate: 20_000, Warm: 20_000, Messages: 100_000}
	if b.full {
		task.Messages *= 4
	}
	if need := task.Conns + 100; maxFiles() < need {
		return fmt.Errorf("bench: %s needs %d open files, and %d are allowed: raise the limit with ulimit -n", row, need, maxFiles())
	}
	ours, bare, err := b.both(ctx, task, row, round)
	if err != nil {
		return err
	}
	n := float64(task.Messages)
	b.figure(row, "CPU per message", "µs", "ratio", 1.15).add(ours.CPU/n*micro, bare.CPU/n*micro)
	return nil
}

// An idle connection may take 18 KiB at 10,000 connections, where the bare loop
// takes 13. With fewer, what the process takes once weighs more on either side:
// then the ratio of the two is what is held to.
const idleLimit, idleFloor = 18.0, 13.0

func (b *bench) idle(ctx context.Context, row string, round int) error {
	task := benchTask{Row: "idle", TLS: true, Conns: 2000}
	if b.full {
		task.Conns = 10_000
	}
	task.Conns = min(task.Conns, maxFiles()-100)
	if task.Conns < 100 {
		return fmt.Errorf("bench: %s needs at least 200 open files, and %d are allowed: raise the limit with ulimit -n", row, maxFiles())
	}
	ours, bare, err := b.both(ctx, task, row, round)
	if err != nil {
		return err
	}
	n := float64(task.Conns)
	if b.full {
		b.figure(row, "memory per connection", "KiB", "value", idleLimit).add(ours.RSS/kib, bare.RSS/kib)
	} else {
		b.figure(row, "memory per connection", "KiB", "ratio", roundTo(idleLimit/idleFloor, 2)).add(ours.RSS/kib, bare.RSS/kib)
	}
	b.figure(row, "goroutines per connection", "", "value", 1).add(roundTo(ours.Goroutines, 1), roundTo(bare.Goroutines, 1))
	b.figure(row, "CPU per connect", "ms", "ratio", 1.15).add(ours.CPU/n*1e3, bare.CPU/n*1e3)
	return nil
}

// joinLimit is 500 ns per key on a machine where the bare loop takes 308.
const joinLimit = 1.62

func (b *bench) join(ctx context.Context, row string, _ int) error {
	child, err := startBenchChild(ctx, &benchTask{Role: "join", Row: row})
	if err != nil {
		return err
	}
	defer child.close()
	var got joinGot
	if err := child.hear(&got); err != nil {
		return fmt.Errorf("bench: %s: %w", row, err)
	}
	b.figure(row, "time per key", "ns", "ratio", joinLimit).add(got.Many.Wall, got.Bare.Wall)
	b.figure(row, "CPU per key", "ns", "ratio", joinLimit).add(got.Many.CPU, got.Bare.CPU)
	b.figure(row, "CPU per key over that on 100 shards", "ns", "ratio", 1.5).add(got.Many.CPU, got.Few.CPU)
	b.figure(row, "memory per key", "B", "value", 250).add(got.Many.Bytes, got.Bare.Bytes)
	b.figure(row, "plan of all keys", "s", "value", 0.6).add(got.Plan)
	b.figure(row, "moves over the least, 1 % of shards come", "", "value", 1.05).add(got.Come)
	b.figure(row, "moves over the least, 1 % of shards go", "", "value", 1.05).add(got.Go)
	return nil
}

func (b *bench) pace(ctx context.Context, row string, _ int) error {
	took, dictated, err := pacedJoin(ctx)
	if err != nil {
		return err
	}
	b.figure(row, "100 joins, budget 20 per 1 s", "s", "ratio", 1.05).add(took.Seconds(), dictated.Seconds())
	return nil
}

func roundTo(v float64, digits int) float64 {
	p := 1.0
	for range digits {
		p *= 10
	}
	return float64(int64(v*p+0.5)) / p
}

// print writes the table.
func (r *benchReport) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ROW\tFIGURE\tOURS\tBARE\tRATIO (RANGE)\tLIMIT\tMET")
	for _, f := range r.Figures {
		bare, ratio := "", ""
		if f.Bare != nil {
			bare = short(*f.Bare)
			ratio = fmt.Sprintf("%.2f (%.2f..%.2f)", f.Ratio.Median, f.Ratio.Min, f.Ratio.Max)
		}
		limit := strings.TrimSpace(short(f.Limit) + " " + f.Unit)
		switch f.Of {
		case "ratio":
			limit = fmt.Sprintf("%gx", f.Limit)
		case "least":
			limit = "at least " + limit
		}
		name := f.Figure
		if f.Unit != "" {
			name += ", " + f.Unit
		}
		met := "yes"
		if !f.Met {
			met = "NO"
		}
		if f.Of == "" {
			limit, met = "", ""
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Row, name, short(f.Ours), bare, ratio, limit, met)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s %s, %d CPUs, %.0f s\n", r.Go, r.Platform, r.CPUs, r.Seconds)
	return err
}

// short prints three digits.
func short(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
