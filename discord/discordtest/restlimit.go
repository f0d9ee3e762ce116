package discordtest

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// limit books a request and reports whether it may go on; if not, it has
// answered 429 (topics/rate-limits).
func (a *restAPI) limit(w http.ResponseWriter, r *http.Request, b *bot) bool {
	if a.s.cfg.NoLimits {
		return true
	}
	a.mu.Lock()
	now := time.Now()
	if len(a.buckets) > 10_000 {
		for k, win := range a.buckets {
			if n, _ := win.left(now); n == win.max || len(win.at) > 0 && now.Sub(win.at[len(win.at)-1]) > win.span {
				delete(a.buckets, k)
			}
		}
	}
	major := r.PathValue("channel")
	if major == "" {
		major = r.PathValue("hook")
	}
	who := "hook"
	if b != nil {
		who = b.Name
		if wait, ok := a.bucket("global "+who, globalLimit, time.Second).take(now); !ok {
			a.mu.Unlock()
			a.refuse(w, r, b, wait, "global")
			return false
		}
	}
	n, span := globalLimit, time.Second
	if major != "" {
		n, span = channelLimit, channelWindow
	}
	win := a.bucket(who+" "+r.Pattern+" "+major, n, span)
	wait, ok := win.take(now)
	left, reset := win.left(now)
	a.mu.Unlock()
	h := w.Header()
	h.Set("X-RateLimit-Limit", strconv.Itoa(n))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(left))
	h.Set("X-RateLimit-Reset", strconv.FormatFloat(float64(now.Add(reset).UnixMilli())/1000, 'f', 3, 64))
	h.Set("X-RateLimit-Reset-After", strconv.FormatFloat(reset.Seconds(), 'f', 3, 64))
	h.Set("X-RateLimit-Bucket", fmt.Sprintf("%016x%016x", mix(hash(r.Pattern)), mix(hash(r.Pattern)+1)))
	if !ok {
		a.refuse(w, r, b, wait, "user")
	}
	return ok
}

// bucket returns the window of a key. The caller holds a.mu.
func (a *restAPI) bucket(key string, n int, span time.Duration) *window {
	win := a.buckets[key]
	if win == nil {
		win = &window{max: n, span: span}
		a.buckets[key] = win
	}
	return win
}

// refuse answers 429.
func (a *restAPI) refuse(w http.ResponseWriter, r *http.Request, b *bot, wait time.Duration, scope string) {
	a.s.violate(RESTLimit, b, [2]int{}, fmt.Sprintf("%s: %s %s", scope, r.Method, r.URL.Path))
	h := w.Header()
	h.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	h.Set("X-RateLimit-Scope", scope)
	if scope == "global" {
		h.Set("X-RateLimit-Global", "true")
	}
	send(w, http.StatusTooManyRequests, `{"message":"You are being rate limited.","retry_after":%.3f,"global":%t}`, wait.Seconds(), scope == "global")
}
