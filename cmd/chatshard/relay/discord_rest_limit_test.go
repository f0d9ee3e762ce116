package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/disgoorg/disgo/rest"
)

func TestDiscordLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newDiscordLimits()
		ask := func(ctx context.Context, channel int, r *http.Response) error {
			e := rest.CreateMessage.Compile(nil, channel)
			if err := l.WaitBucket(ctx, e); err != nil {
				return err
			}
			return l.UnlockBucket(e, r)
		}
		forbidden := restReply(403, "", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset-After", "0.9")
		began := time.Now()
		for range 2 { // fractions of seconds count
			ask(t.Context(), 1, forbidden)
		}
		if d := time.Since(began); d != 900*time.Millisecond {
			t.Errorf("two requests took %v", d)
		}
		// A request that has no time for the limit leaves the bucket to others.
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var limit *limitError
		if err := ask(ctx, 1, nil); !errors.As(err, &limit) || limit.after != 900*time.Millisecond {
			t.Errorf("%v", err)
		}
		// 40 a second over all channels.
		time.Sleep(10 * time.Second)
		began = time.Now()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() { ask(t.Context(), 10+i, nil) })
		}
		wg.Wait()
		if d := time.Since(began); d < 2*time.Second || d > 2100*time.Millisecond {
			t.Errorf("100 requests took %v", d)
		}
		// The answers that get an address banned.
		n := 0
		for began = time.Now(); n < 5000; n++ {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // a turn of the 40 comes within one
			err := ask(ctx, n, restReply(403, ""))
			cancel()
			if err != nil {
				break
			}
		}
		if n < 1990 || n > 2001 || time.Since(began) > 5*time.Minute {
			t.Errorf("stopped after %d answers of 403 in %v", n, time.Since(began))
		}
		if len(l.buckets) > maxBucket {
			t.Errorf("%d buckets are kept", len(l.buckets))
		}
		time.Sleep(10 * time.Minute)
		if err := ask(t.Context(), 1, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestSecondsOf(t *testing.T) {
	for s, want := range map[string]string{"0": "0s true", "1": "1s true", "0.25": "250ms true", "1e300": "24h0m0s true", "": "0s false", "-1": "0s false", "NaN": "0s false", "soon": "0s false"} {
		if d, ok := secondsOf(s); fmt.Sprint(d, " ", ok) != want {
			t.Errorf("secondsOf(%q) = %v, %v, want %s", s, d, ok, want)
		}
	}
}
