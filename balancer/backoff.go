package balancer

import (
	"cmp"
	"math/rand/v2"
	"time"
)

// Backoff paces what failed: delays double from Min to Max, each drawn at
// random from [half, whole] so that shards that failed together do not come
// back together.
type Backoff struct {
	Min   time.Duration // the first delay; default 1 s
	Max   time.Duration // the longest; default 1 min
	Reset time.Duration // a connection that lasted this long starts over at Min; default 1 min
}

func (b Backoff) withDefaults() Backoff {
	b.Min = cmp.Or(b.Min, time.Second)
	b.Max = max(cmp.Or(b.Max, time.Minute), b.Min)
	b.Reset = cmp.Or(b.Reset, time.Minute)
	return b
}

// delay is how long to wait after the n-th failure in a row, n from 1.
func (b Backoff) delay(n int) time.Duration {
	d := b.Min
	for range n - 1 {
		if d *= 2; d >= b.Max {
			d = b.Max
			break
		}
	}
	return d/2 + rand.N(d/2+1)
}
