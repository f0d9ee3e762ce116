package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

// relayRows are those of "chatshard bench relay".
var relayRows = []benchRow{
	{"relay-log", 3, (*bench).relayLog},
	{"relay-append", 1, (*bench).relayAppend},
	{"relay-fanout", 5, (*bench).relayFanOut},
	{"relay-whole", 3, (*bench).relayWhole},
	{"relay-whole-log", 1, (*bench).relayWholeLog},
	{"relay-latency", 3, (*bench).relayLatency},
	{"relay-memory", 1, (*bench).relayMemory},
}

func newBenchRelayCommand() *cobra.Command {
	return newBenchRowsCommand(relayRows, &cobra.Command{
		Use:   "relay",
		Short: "Measure what handing chat on costs",
		Long: `Measure what a relay costs: its log, its consumers, and the whole way from a
line of chat over TLS to those who read it. What is measured is what "chatshard
run" runs, in a process of its own; the chat and the consumers are others, on the
same CPUs, so close what else uses them.

  relay-log        append to the log on disk, and deliver to a durable consumer
                   of NATS; bare: the engine and its own client library alone
  relay-append     60,000 envelopes/s into the log on disk
  relay-fanout     500-byte envelopes to consumers with filters: as fast as ten
                   take them, and 200,000/s to four; bare: a copy into a buffer
                   of each consumer and a write for 128 envelopes. What the hub
                   does once for an envelope is not any one consumer's
  relay-whole      lines over 1,000 TLS connections, without a log on disk, to
                   four consumers with filters: 150,000/s, or the most that this
                   machine, which sends and consumes as well, keeps up with. CPU
                   is scaled to 150,000 lines; fewer at a time cost more each.
                   Bare: a loop that reads the lines and hands them to nobody
  relay-whole-log  30,000 lines/s for a minute, with the log on disk
  relay-latency    from the write of a line to the read of its envelope, at
                   10,000 lines/s
  relay-memory     of 1,000 consumers, and with one that never reads

If anything is missing at a consumer the row is an error, and not a figure.`,
	})
}

// relayBench is one run of a side: its processes, and what they were sent.
type relayBench struct {
	dir      string
	server   *benchChild // nil: the side sends itself
	side     *benchChild
	consumer *benchChild // nil: none
	sent     int
}

func (r *relayBench) close() {
	for _, c := range []*benchChild{r.consumer, r.side, r.server} {
		if c != nil {
			c.close()
		}
	}
	_ = os.RemoveAll(r.dir) // in the directory for such things
}

// startRelay starts the processes of a task. A row with connections has a
// load server.
func startRelay(ctx context.Context, task benchTask) (_ *relayBench, err error) {
	r := new(relayBench)
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.dir, err = os.MkdirTemp("", "chatshard-bench-"); err != nil {
		return nil, err
	}
	if task.Log || task.Conns > 0 {
		task.Dir = r.dir
	}
	if task.Conns > 0 {
		serve := task
		serve.Role, serve.Row = "server", "live"
		if r.server, err = startBenchChild(ctx, &serve); err != nil {
			return nil, err
		}
		var hello benchHello
		if err := r.server.hear(&hello); err != nil {
			return nil, fmt.Errorf("bench: load server: %w", err)
		}
		task.Addr, task.CA = hello.Addr, hello.CA
		var names []byte
		for i := range task.Conns {
			names = fmt.Appendf(names, "twitch:%s\n", channelName(i, true))
		}
		if err := os.WriteFile(filepath.Join(r.dir, "channels.txt"), names, 0o600); err != nil {
			return nil, err
		}
	}
	if r.side, err = startBenchChild(ctx, &task); err != nil {
		return nil, err
	}
	var hello benchHello
	if err := r.side.hear(&hello); err != nil {
		return nil, fmt.Errorf("bench: %s %s: %w", task.Row, task.Role, err)
	}
	if task.Consumers == 0 {
		return r, nil
	}
	task.Role, task.Addr, task.NATS = "consumer", hello.Addr, hello.NATS
	if r.consumer, err = startBenchChild(ctx, &task); err != nil {
		return nil, err
	}
	var ready struct{}
	if err := r.consumer.hear(&ready); err != nil {
		return nil, fmt.Errorf("bench: %s: %w", task.Row, err)
	}
	return r, nil
}

// send has n messages sent, and waits until all consumers have them.
func (r *relayBench) send(n int) (sent benchSent, taken benchTaken, err error) {
	from := r.server
	if from == nil {
		from = r.side
	}
	if err = from.tell(fmt.Sprint("go ", n)); err != nil {
		return sent, taken, err
	}
	if serr := from.hear(&sent); serr != nil {
		err = serr
	}
	r.sent += sent.Messages
	if r.consumer != nil && err == nil {
		if err = r.consumer.tell(fmt.Sprint("await ", r.sent)); err == nil {
			err = r.consumer.hear(&taken)
		}
		if taken.Lost != "" {
			err = fmt.Errorf("bench: %w: %s", errLost, taken.Lost)
		}
	}
	return sent, taken, err
}

// used asks the side what it has used: at "mark", or at "settle".
func (r *relayBench) used(word string) (got benchGot, err error) {
	if err = r.side.tell(word); err == nil {
		err = r.side.hear(&got)
	}
	return got, err
}

// relayResult is what a task has cost.
type relayResult struct {
	cpu   float64 // seconds of the side
	wall  float64
	sent  benchSent
	taken benchTaken
}

// relayTask runs a task: its warm-up, and what is measured.
func (b *bench) relayTask(ctx context.Context, task benchTask, row string, round int) (res relayResult, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if b.profiles != "" && task.Role == "ours" {
		task.Profile = filepath.Join(b.profiles, fmt.Sprintf("%s-%s-%d-%d.pprof", row, task.Output, task.Rate, round+1))
	}
	r, err := startRelay(ctx, task)
	if err != nil {
		return res, err
	}
	defer r.close()
	if _, _, err = r.send(task.Warm); err != nil {
		return res, err
	}
	before, err := r.used("mark")
	if err != nil {
		return res, err
	}
	begin := time.Now()
	if res.sent, res.taken, err = r.send(task.Messages); err != nil {
		return res, err
	}
	res.wall = time.Since(begin).Seconds()
	after, err := r.used("mark")
	res.cpu = after.CPU - before.CPU
	return res, err
}

// errLost says that a consumer was told of a gap.
var errLost = errors.New("envelopes were lost")

// some is how many a row sends: fewer in tests, which do not measure.
func (b *bench) some(n int) int {
	if b.part > 0 {
		return max(10, int(float64(n)*b.part))
	}
	return n
}

// during is how many messages come at a rate: for --seconds, or those of the row.
func (b *bench) during(rate, seconds int) int {
	if b.seconds > 0 {
		seconds = b.seconds
	}
	return b.some(rate * seconds)
}

func (b *bench) relayLog(ctx context.Context, row string, round int) error {
	task := benchTask{Row: "relay-log", Log: true, Consumers: 1, Output: "nats", Warm: b.some(20_000), Messages: b.some(200_000)}
	var cpu [2]float64 // bare, ours
	for i := range cpu {
		side := (i + round) % 2
		task.Role = [...]string{"bare", "ours"}[side]
		res, err := b.relayTask(ctx, task, row, round)
		if err != nil {
			return err
		}
		cpu[side] = res.cpu / float64(task.Messages)
	}
	b.figure(row, "CPU per envelope", "µs", "ratio", 1.6).add(cpu[1]*micro, cpu[0]*micro)
	return nil
}

func (b *bench) relayAppend(ctx context.Context, row string, round int) error {
	const rate = 60_000
	task := benchTask{Role: "ours", Row: row, Log: true, Rate: rate, Warm: b.some(rate), Messages: b.during(rate, 10)}
	res, err := b.relayTask(ctx, task, row, round)
	if err != nil {
		return err
	}
	b.figure(row, "envelopes a second", "", "least", keptRate*rate).add(float64(task.Messages) / res.wall)
	b.figure(row, "CPU per envelope", "µs", "", 0).add(res.cpu / float64(task.Messages) * micro)
	return nil
}

// keptRate is the part of a rate that counts as it: the last batch is on its
// way when the last message has been sent.
const keptRate = 0.98

var relayOutputs = [...]string{"ws", "sse", "ndjson"}

// relayFanOut measures what each consumer costs: what the hub does once for an
// envelope, however many read it, is measured without any and taken off.
func (b *bench) relayFanOut(ctx context.Context, row string, round int) error {
	const bare, hub = len(relayOutputs), len(relayOutputs) + 1
	for _, load := range []struct {
		name               string
		consumers, n, rate int
	}{
		{"blast of ten", 10, 500_000, 0},
		{"200,000/s to four", 4, 400_000, 200_000},
	} {
		var cpu [hub + 1]float64
		for i := range cpu {
			side := (i + round) % len(cpu)
			task := benchTask{
				Role: "ours", Row: "relay-fanout", Consumers: load.consumers, Rate: load.rate,
				Warm: b.some(50_000), Messages: b.some(load.n),
			}
			switch side {
			case bare:
				task.Role, task.Output = "bare", "raw"
			case hub:
				task.Consumers = 0
			default:
				task.Output = relayOutputs[side]
			}
			res, err := b.relayTask(ctx, task, row, round)
			if err != nil {
				return err
			}
			cpu[side] = res.cpu / float64(task.Messages*load.consumers)
		}
		for i, output := range relayOutputs {
			b.figure(row, output+", "+load.name+": CPU per delivery", "µs", "ratio", 2).add((cpu[i]-cpu[hub])*micro, cpu[bare]*micro)
			b.figure(row, output+", "+load.name+": with the hub's share", "µs", "", 0).add(cpu[i]*micro, cpu[bare]*micro)
		}
	}
	return nil
}

// wholeTask is the whole way: connections in, four consumers out.
func (b *bench) wholeTask(rate, seconds int) (benchTask, error) {
	task := benchTask{
		Role: "ours", Row: "relay-whole", TLS: true, Conns: b.some(1000), Consumers: 4, Output: "ws,sse,ndjson,ws", Rate: rate,
		Warm: b.some(min(rate, 20_000)), Messages: b.during(rate, seconds),
	}
	if need := task.Conns + 100; maxFiles() < need {
		return task, fmt.Errorf("bench: relay: %d open files are needed, and %d are allowed: raise the limit with ulimit -n", need, maxFiles())
	}
	return task, nil
}

// relayWhole measures at the highest rate that this machine, which sends and
// consumes as well, keeps up with.
func (b *bench) relayWhole(ctx context.Context, row string, round int) error {
	const want, least = 150_000, 5_000
	rate := want
	if b.kept > 0 {
		rate = b.kept // in the round before
	}
	for {
		task, err := b.wholeTask(rate, 3)
		if err != nil {
			return err
		}
		res, err := b.relayTask(ctx, task, row, round)
		lines := float64(res.sent.Lines)
		kept := lines / res.wall
		switch next := int(0.85 * kept); {
		case errors.Is(err, errLost):
			if rate = rate * 2 / 3; rate < least {
				return err
			}
			continue
		case err != nil:
			return err
		case kept < keptRate*float64(rate) && next >= least && b.part == 0:
			rate = next
			continue
		}
		b.kept = rate
		bare, err := duel(ctx, benchTask{Role: "bare", Row: "live", TLS: true, Conns: task.Conns, Rate: rate, Warm: task.Warm, Messages: task.Messages})
		if err != nil {
			return err
		}
		b.figure(row, "CPU per 150,000 lines", "s", "value", 1).add(res.cpu/lines*want, bare.CPU/lines*want)
		b.figure(row, "lines a second, of 150,000 asked for", "", "", 0).add(kept)
		return nil
	}
}

func (b *bench) relayWholeLog(ctx context.Context, row string, round int) error {
	const rate = 30_000
	task, err := b.wholeTask(rate, 60)
	if err != nil {
		return err
	}
	task.Log = true
	res, err := b.relayTask(ctx, task, row, round)
	if err != nil {
		return err
	}
	lines := float64(res.sent.Lines)
	b.figure(row, "lines a second", "", "least", keptRate*rate).add(lines / res.wall)
	b.figure(row, "CPU per line", "µs", "", 0).add(res.cpu / lines * micro)
	return nil
}

func (b *bench) relayLatency(ctx context.Context, row string, round int) error {
	for _, log := range []bool{false, true} {
		task, err := b.wholeTask(10_000, 5)
		if err != nil {
			return err
		}
		task.Log, task.Stamp = log, true
		res, err := b.relayTask(ctx, task, row, round)
		if err != nil {
			return err
		}
		if want := 4 * res.sent.Messages; res.taken.N != want {
			return fmt.Errorf("bench: %s: %d of %d messages say when they were sent", row, res.taken.N, want)
		}
		where := "without a log"
		if log {
			where = "log on disk"
		}
		b.figure(row, where+", half of all within", "ms", "value", 1).add(res.taken.P50 * 1e3)
		b.figure(row, where+", 99 % within", "ms", "value", 10).add(res.taken.P99 * 1e3)
	}
	return nil
}

func (b *bench) relayMemory(ctx context.Context, row string, _ int) error {
	measure := func(task benchTask, alone bool) (per float64, err error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		r, err := startRelay(ctx, task)
		if err != nil {
			return 0, err
		}
		defer r.close()
		if _, _, err = r.send(task.Warm); err != nil {
			return 0, err
		}
		before, err := r.used("settle")
		if err != nil || alone {
			return before.RSS, err
		}
		if _, _, err = r.send(task.Messages); err != nil {
			return 0, err
		}
		after, err := r.used("settle")
		return after.RSS - before.RSS, err
	}
	task := benchTask{Role: "ours", Row: row, Rate: 20_000, Consumers: 2, Stuck: 1, Output: "ws", Warm: b.some(100_000), Messages: b.some(200_000)}
	grown, err := measure(task, false)
	if err != nil {
		return err
	}
	b.figure(row, "growth beside a consumer that never reads", "MiB", "value", 4).add(grown / mib)
	task.Stuck, task.Warm = 0, b.some(2000)
	for _, output := range relayOutputs {
		task.Output, task.Consumers = output, 1
		one, err := measure(task, true)
		if err != nil {
			return err
		}
		task.Consumers = 1 + b.some(1000)
		if need := task.Consumers + 100; maxFiles() < need {
			return fmt.Errorf("bench: %s needs %d open files, and %d are allowed: raise the limit with ulimit -n", row, need, maxFiles())
		}
		all, err := measure(task, true)
		if err != nil {
			return err
		}
		b.figure(row, output+", each of 1,000 consumers", "KiB", "value", 50).add((all - one) / float64(task.Consumers-1) / kib)
	}
	return nil
}
