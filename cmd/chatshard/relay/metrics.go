package relay

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// hubMetrics says how a hub is. It counts nothing itself: the event path does
// not know of it.
type hubMetrics struct{ hub *Hub }

var (
	eventsDesc   = prometheus.NewDesc("chatshard_events_total", "Envelopes that readers could see.", []string{"platform", "kind"}, nil)
	ringDesc     = prometheus.NewDesc("chatshard_ring_entries", "Entries in the ring that live readers share.", nil, nil)
	ringSizeDesc = prometheus.NewDesc("chatshard_ring_bytes", "Memory of that ring.", nil, nil)
	seqDesc      = prometheus.NewDesc("chatshard_cursor", "Sequence number of the newest envelope that readers can see.", nil, nil)
	logLagDesc   = prometheus.NewDesc("chatshard_log_lag_entries", "Entries that are in the log and not yet seen by readers.", nil, nil)
	logUpDesc    = prometheus.NewDesc("chatshard_log_healthy", "1 while what is appended becomes safe.", nil, nil)
	readersDesc  = prometheus.NewDesc("chatshard_readers", "Consumers that are connected.", []string{"output", "policy"}, nil)
	lagMaxDesc   = prometheus.NewDesc("chatshard_reader_lag_entries_max", "How far the slowest of them is behind.", []string{"output", "policy"}, nil)
	lagDesc      = prometheus.NewDesc("chatshard_consumer_lag_entries", "How far the slowest reader of a named consumer is behind.", []string{"consumer"}, nil)
	gapsDesc     = prometheus.NewDesc("chatshard_gaps_total", "Gaps that readers were told of.", []string{"reason"}, nil)
	waitingDesc  = prometheus.NewDesc("chatshard_log_waiting_entries", "Entries that the log has not yet acknowledged.", nil, nil)
	bufferDesc   = prometheus.NewDesc("chatshard_log_waiting_bytes", "Memory of those entries.", nil, nil)
	droppedDesc  = prometheus.NewDesc("chatshard_gap_entries_total", "Envelopes in them.", []string{"reason"}, nil)
)

func (m *hubMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{eventsDesc, ringDesc, ringSizeDesc, seqDesc, logLagDesc, logUpDesc, readersDesc, lagMaxDesc, lagDesc, gapsDesc, droppedDesc, waitingDesc, bufferDesc} {
		ch <- d
	}
}

func (m *hubMetrics) Collect(ch chan<- prometheus.Metric) {
	h := m.hub
	type group struct{ output, policy string }
	type lag struct{ n, most uint64 }
	var list []prometheus.Metric
	add := func(d *prometheus.Desc, t prometheus.ValueType, v uint64, labels ...string) {
		list = append(list, prometheus.MustNewConstMetric(d, t, float64(v), labels...))
	}
	groups, named := map[group]lag{}, map[string]uint64{}
	h.mu.Lock()
	last := h.last
	for _, c := range h.counts {
		add(eventsDesc, prometheus.CounterValue, c.n, valid(c.platform), valid(c.kind))
	}
	add(ringDesc, prometheus.GaugeValue, uint64(h.ring.entries))
	add(ringSizeDesc, prometheus.GaugeValue, uint64(h.ring.bytes))
	add(seqDesc, prometheus.GaugeValue, last)
	for r := range h.readers {
		k := group{r.opts.output, r.opts.Policy.String()}
		behind := last - min(r.pos.Load(), last)
		g := groups[k]
		groups[k] = lag{g.n + 1, max(g.most, behind)}
		if r.opts.claim != nil {
			named[r.opts.Name] = max(named[r.opts.Name], behind)
		}
	}
	for reason, g := range h.gaps {
		add(gapsDesc, prometheus.CounterValue, g.n, reason)
		add(droppedDesc, prometheus.CounterValue, g.dropped, reason)
	}
	h.mu.Unlock()
	for k, g := range groups {
		add(readersDesc, prometheus.GaugeValue, g.n, k.output, k.policy)
		add(lagMaxDesc, prometheus.GaugeValue, g.most, k.output, k.policy)
	}
	for name, n := range named {
		add(lagDesc, prometheus.GaugeValue, n, name)
	}
	if h.log != nil {
		healthy := uint64(0)
		if h.log.Healthy() == nil {
			healthy = 1
		}
		add(logUpDesc, prometheus.GaugeValue, healthy)
		if l, ok := h.log.(interface{ Waiting() (entries, bytes int) }); ok {
			entries, bytes := l.Waiting()
			add(waitingDesc, prometheus.GaugeValue, uint64(entries))
			add(bufferDesc, prometheus.GaugeValue, uint64(bytes))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second) // a scrape has none
		_, _, end, err := h.log.Bounds(ctx)
		cancel()
		if err == nil {
			add(logLagDesc, prometheus.GaugeValue, end-min(last, end))
		}
	}
	for _, metric := range list {
		ch <- metric
	}
}

// valid makes a label of what a service sent.
func valid(s string) string {
	if len(s) > 40 {
		s = s[:40]
	}
	return strconv.QuoteToASCII(s)[1 : len(strconv.QuoteToASCII(s))-1]
}

// newSendMetrics counts what became of what was to be sent.
func newSendMetrics() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "chatshard_sends_total", Help: "Requests to send that an account was there for, by what became of them.",
	}, []string{"platform", "network", "account", "outcome"})
}

// Describe implements prometheus.Collector.
func (r *Router) Describe(ch chan<- *prometheus.Desc) { r.results.Describe(ch) }

// Collect implements prometheus.Collector: what became of requests.
func (r *Router) Collect(ch chan<- prometheus.Metric) { r.results.Collect(ch) }

// serverMetrics counts what a server does.
type serverMetrics struct {
	sent    *prometheus.CounterVec
	writes  *prometheus.CounterVec
	ended   *prometheus.CounterVec
	refuses *prometheus.CounterVec

	mu      sync.Mutex // guards outputs
	outputs map[string]*outputMetrics
}

type outputMetrics struct{ bytes, writes prometheus.Counter }

func newServerMetrics() *serverMetrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &serverMetrics{
		sent:    vec("chatshard_output_bytes_total", "Bytes that were written to consumers.", "output"),
		writes:  vec("chatshard_output_writes_total", "Writes to consumers.", "output"),
		ended:   vec("chatshard_streams_ended_total", "Streams that ended, by why.", "output", "reason"),
		refuses: vec("chatshard_http_refused_total", "Requests that were not admitted.", "code"),
		outputs: map[string]*outputMetrics{},
	}
}

func (m *serverMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.sent, m.writes, m.ended, m.refuses}
}

func (m *serverMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

func (m *serverMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(ch)
	}
}

func (m *serverMetrics) refused(status int) { m.refuses.WithLabelValues(strconv.Itoa(status)).Inc() }

// output returns the counters of an output, once per stream.
func (m *serverMetrics) output(name string) *outputMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.outputs[name]
	if o == nil {
		o = &outputMetrics{m.sent.WithLabelValues(name), m.writes.WithLabelValues(name)}
		m.outputs[name] = o
	}
	return o
}
