package relay

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/disgoorg/disgo/rest"

	"github.com/chatshard/chatshard/balancer"
)

// discordLimits is the rate limiter of disgo's REST client, in the place that
// it has for others than its own. That one (0.18.15 and 0.19.2) starts a
// goroutine that never ends, rounds Reset-After down to whole seconds, reads
// the global limit without a lock, makes a request again at once after a 429
// that names no bucket, as Cloudflare's do, and in 0.18.15 never gives a bucket
// back if its reset lies behind the deadline of a request.
//
// Requests of one bucket go one after the other, so that the messages of a
// channel keep their order.
type discordLimits struct {
	mu      sync.Mutex // guards all below; never held while waiting
	buckets map[string]*restBucket
	global  time.Time        // nothing is sent before it
	second  *balancer.Window // requests
	invalid *balancer.Window // answers that Cloudflare counts
}

type restBucket struct {
	turn  chan struct{} // of one
	users int
	none  bool // nothing is left until reset
	reset time.Time
}

const (
	restTries = 5 // of a request that gets 429
	maxBucket = 1024
)

// limitError says that there was no time to wait for a limit.
type limitError struct{ after time.Duration }

func (e *limitError) Error() string {
	return fmt.Sprintf("Discord's rate limit leaves no room for another %v", e.after.Round(time.Millisecond))
}

func newDiscordLimits() *discordLimits {
	return &discordLimits{
		buckets: make(map[string]*restBucket),
		// 50 a second (topics/rate-limits), of which some are left to others.
		second: balancer.NewWindow(40, time.Second),
		// 10,000 answers of 401, 403 or 429 in 10 minutes get the address
		// banned; it may be shared.
		invalid: balancer.NewWindow(2000, 10*time.Minute),
	}
}

// MaxRetries implements [rest.RateLimiter].
func (*discordLimits) MaxRetries() int { return restTries }

// Close implements [rest.RateLimiter]. There is nothing to end.
func (*discordLimits) Close(context.Context) {}

// Reset implements [rest.RateLimiter]. The client calls it before the first request.
func (*discordLimits) Reset() {}

// WaitBucket implements [rest.RateLimiter].
func (l *discordLimits) WaitBucket(ctx context.Context, e *rest.CompiledEndpoint) error {
	l.mu.Lock()
	b := l.bucket(e)
	b.users++
	l.mu.Unlock()
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		l.leave(b)
		return &limitError{max(l.due(b, 0), time.Second)}
	}
	for {
		d := l.due(b, 1)
		if d == 0 {
			return nil
		}
		if !pause(ctx, d) {
			<-b.turn
			l.leave(b)
			return &limitError{d}
		}
	}
}

// due returns how long to wait for a request; if not at all, it counts n.
func (l *discordLimits) due(b *restBucket, n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	d := l.global.Sub(now)
	if b.none {
		d = max(d, b.reset.Sub(now))
	}
	if d > 0 {
		return d
	}
	d, _ = l.second.Take(now, n)
	return max(d, 0)
}

// left returns how many requests may be made now without waiting, and how many
// answers may still count as invalid.
func (l *discordLimits) left(now time.Time) (requests, invalid int) {
	l.mu.Lock()
	held := now.Before(l.global)
	l.mu.Unlock()
	if !held {
		requests = l.second.Left(now)
	}
	return requests, l.invalid.Left(now)
}

// pace returns how long a request would have to wait now.
func (l *discordLimits) pace(e *rest.CompiledEndpoint) time.Duration {
	l.mu.Lock()
	b := l.bucket(e)
	l.mu.Unlock()
	return l.due(b, 0)
}

// UnlockBucket implements [rest.RateLimiter]. r is nil where there is no answer.
func (l *discordLimits) UnlockBucket(e *rest.CompiledEndpoint, r *http.Response) error {
	l.mu.Lock()
	b := l.bucket(e)
	if r != nil {
		l.learn(b, r, time.Now())
	}
	l.mu.Unlock()
	<-b.turn
	l.leave(b)
	return nil
}

// learn takes in what an answer says about limits. mu is held.
func (l *discordLimits) learn(b *restBucket, r *http.Response, now time.Time) {
	h := r.Header
	if n, err := strconv.Atoi(h.Get("X-RateLimit-Remaining")); err == nil {
		if after, ok := secondsOf(h.Get("X-RateLimit-Reset-After")); ok {
			b.none, b.reset = n <= 0, now.Add(after)
		}
	}
	switch r.StatusCode {
	case http.StatusTooManyRequests:
		until := now.Add(l.retryAfter(r))
		scope := h.Get("X-RateLimit-Scope")
		if h.Get("X-RateLimit-Global") != "" || scope == "global" || scope == "" && h.Get("X-RateLimit-Bucket") == "" {
			if until.After(l.global) {
				l.global = until
			}
		} else {
			b.none, b.reset = true, until
		}
	case http.StatusUnauthorized, http.StatusForbidden:
	default:
		return
	}
	if d, _ := l.invalid.Take(now, 1); d > 0 {
		if until := now.Add(d); until.After(l.global) {
			l.global = until
		}
	}
}

// retryAfter returns for how long a 429 asks to wait.
func (*discordLimits) retryAfter(r *http.Response) time.Duration {
	for _, name := range []string{"Retry-After", "X-RateLimit-Reset-After"} {
		if d, ok := secondsOf(r.Header.Get(name)); ok && d > 0 {
			return d
		}
	}
	return time.Second
}

func secondsOf(s string) (time.Duration, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0) {
		return 0, false
	}
	return time.Duration(min(f, 24*3600) * float64(time.Second)), true
}

// bucket returns the bucket of a route and its channel. mu is held.
func (l *discordLimits) bucket(e *rest.CompiledEndpoint) *restBucket {
	key := e.Endpoint.Method + " " + e.Endpoint.Route + " " + e.MajorParams
	b := l.buckets[key]
	if b == nil {
		if now := time.Now(); len(l.buckets) >= maxBucket {
			for k, old := range l.buckets {
				if old.users == 0 && !old.reset.After(now) {
					delete(l.buckets, k)
				}
			}
		}
		b = &restBucket{turn: make(chan struct{}, 1)}
		l.buckets[key] = b
	}
	return b
}

// leave ends what WaitBucket began.
func (l *discordLimits) leave(b *restBucket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.users--
}
