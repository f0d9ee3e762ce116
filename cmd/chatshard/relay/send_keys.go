package relay

import (
	"crypto/sha256"
	"strings"
	"sync"
	"time"
)

const (
	keyLife = 10 * time.Minute // for which an answer is kept, from when it was given
	maxKeys = 50_000           // that are kept; with more, requests with new keys are refused
)

// digest stands for strings of any length.
type digest [16]byte

func digestOf(parts ...string) digest {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strings.ReplaceAll(p, "\x00", "\x00\x01")))
		h.Write([]byte{0, 0})
	}
	return digest(h.Sum(nil)[:16])
}

// keyed is a request with a key that is under way or has been answered.
type keyed struct {
	id, content digest
	done        chan struct{} // closed when answered
	result      SendResult    // valid then
	at          time.Time     // when
}

// keyWindow knows the requests with keys of the last 10 minutes.
type keyWindow struct {
	mu       sync.Mutex // guards all below
	entries  map[digest]*keyed
	answered []*keyed // oldest first
}

// begin returns the entry of a key, and whether it is new: then the caller
// answers it with end. nil: there is no room, for the time returned.
func (w *keyWindow) begin(id, content digest, now time.Time) (k *keyed, isNew bool, full time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < len(w.answered) && now.Sub(w.answered[n].at) >= keyLife {
		delete(w.entries, w.answered[n].id)
		w.answered[n] = nil
		n++
	}
	w.answered = w.answered[n:]
	if k := w.entries[id]; k != nil {
		return k, false, 0
	}
	if len(w.entries) >= maxKeys {
		if len(w.answered) == 0 {
			return nil, false, time.Second
		}
		return nil, false, w.answered[0].at.Add(keyLife).Sub(now)
	}
	if w.entries == nil {
		w.entries = make(map[digest]*keyed)
	}
	k = &keyed{id: id, content: content, done: make(chan struct{})}
	w.entries[id] = k
	return k, true, 0
}

// end answers an entry, and everybody who waits for it. What is not to be kept
// is forgotten.
func (w *keyWindow) end(k *keyed, r SendResult, keep bool, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k.result, k.at = r, now
	if keep {
		w.answered = append(w.answered, k)
	} else {
		delete(w.entries, k.id)
	}
	close(k.done)
}
