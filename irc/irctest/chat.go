package irctest

import (
	"context"
	"math"
	"math/rand/v2"
	"sort"
	"sync/atomic"
	"time"
)

// Load is a stream of chat.
type Load struct {
	Rate     float64  // messages a second, over all channels
	Channels []string // where; the first ones get most
	Zipf     float64  // exponent of the distribution over channels: 0 spreads evenly, 1 is what chat is like
	Source   Source   // of the lines; nil: [Synthetic]

	sent atomic.Int64
}

// Sent returns how many messages have been sent so far.
func (l *Load) Sent() int64 { return l.sent.Load() }

// tick is how often a Load sends.
const tick = 5 * time.Millisecond

// Chat sends l until ctx ends or the Server is closed; it blocks for that
// long. What a slow machine could not send in time is sent later, up to a
// second's worth.
func (s *Server) Chat(ctx context.Context, l *Load) {
	if l.Rate <= 0 || len(l.Channels) == 0 {
		return
	}
	chans := make([]*channel, len(l.Channels))
	for i, name := range l.Channels {
		chans[i] = s.channel(name)
	}
	source := l.Source
	if source == nil {
		source = Synthetic()
	}
	rnd := rand.New(rand.NewPCG(s.cfg.Seed, 0x6c6f6164))
	pick := zipf(len(chans), l.Zipf)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var scratch []byte
	var owed float64
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.done:
			return
		case <-ticker.C:
		}
		now := time.Now()
		owed = min(owed+now.Sub(last).Seconds()*l.Rate, l.Rate)
		last = now
		for ; owed >= 1; owed-- {
			s.post(chans[pick(rnd)], source.next(rnd), nil, &scratch)
			l.sent.Add(1)
		}
	}
}

// zipf returns a choice among n with weights 1/rank^e.
func zipf(n int, e float64) func(*rand.Rand) int {
	if e <= 0 {
		return func(r *rand.Rand) int { return r.IntN(n) }
	}
	sums := make([]float64, n)
	total := 0.0
	for i := range sums {
		total += math.Pow(float64(i+1), -e)
		sums[i] = total
	}
	return func(r *rand.Rand) int {
		return min(sort.SearchFloat64s(sums, r.Float64()*total), n-1)
	}
}
