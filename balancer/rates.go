package balancer

import (
	"math"
	"time"
)

// rateTau is the time over which rates are averaged.
const rateTau = time.Minute

// startMeasuring has every connection count events per key from now on.
func (b *Balancer) startMeasuring() {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.measure, b.sampled = now, now
	for _, s := range b.shards {
		for _, l := range s.all() {
			l.measure()
		}
	}
}

// sampleRates folds what was counted into each key's average. mu is held.
func (b *Balancer) sampleRates(now time.Time) {
	dt := now.Sub(b.sampled).Seconds()
	if b.measure.IsZero() || dt <= 0 {
		return
	}
	b.sampled = now
	keep := math.Exp(-dt / rateTau.Seconds())
	for _, s := range b.open {
		var sum Rate
		counts := make(map[Key]tally)
		for _, l := range s.all() {
			for k, t := range l.counted() {
				c := counts[k]
				counts[k] = tally{c.events + t.events, c.bytes + t.bytes}
			}
		}
		for _, e := range s.keys {
			c, ok := counts[e.key]
			if !ok && e.trouble == nil {
				continue
			}
			r := &e.bad().rate
			r.Events = r.Events*keep + (1-keep)*float64(c.events)/dt
			r.Bytes = r.Bytes*keep + (1-keep)*float64(c.bytes)/dt
			sum.Events += r.Events
			sum.Bytes += r.Bytes
		}
		b.views[s.view].Rate = sum
	}
}
