package relay

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Policy says what happens to a reader that is slower than the chat.
type Policy uint8

const (
	Block      Policy = iota // its cursor waits; what it missed is read from the log
	DropOldest               // it goes on with newer entries, after a gap that says what is missing
	Disconnect               // it ends with a *SlowError after a grace
)

var policyNames = [...]string{"block", "drop_oldest", "disconnect"}

func (p Policy) String() string { return policyNames[p] }

// ParsePolicy reads what String wrote; "" is Block.
func ParsePolicy(s string) (Policy, error) {
	for i, name := range policyNames {
		if s == name {
			return Policy(i), nil
		}
	}
	if s == "" {
		return Block, nil
	}
	return 0, fmt.Errorf("%w: policy=%.32q: want block, drop_oldest or disconnect", ErrOptions, s)
}

// SubscribeOptions say where a reader begins and what it wants. The zero value
// begins with the next entry and wants all. At most one of From, Since, Last
// and LastFor is set.
type SubscribeOptions struct {
	From    Cursor        // after this; one of another epoch begins at the oldest entry, after a gap
	Since   time.Time     // with the first entry received then or later
	Last    int           // with the last n entries that pass the filter, marked "backfill"; of the newest 65,536
	LastFor time.Duration // with the entries of that long ago, marked likewise

	Filter Filter
	Policy Policy
	Queue  int           // bytes of chat that a reader which was live may be behind; default 4 MiB, and no more than half the ring
	Grace  time.Duration // of Disconnect; default 10 s
	Idle   time.Duration // Next returns ErrIdle after it; 0: never
	Name   string        // for metrics and errors

	output string // for metrics: ws, sse, …
	// claim is asked after the filter: an entry that it refuses is another
	// reader's. handed is told of each that is handed out, before pos is.
	claim  func(seq uint64, line []byte, meta *Meta) bool
	handed *atomic.Uint64
}

const (
	maxLast     = 10_000
	lastWindow  = 65_536
	backfillTag = `"backfill"`
)
