package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestMemoryLog(t *testing.T) {
	l := NewMemoryLog(&MemoryLogConfig{Entries: 100})
	if epoch, first, last, err := l.Bounds(t.Context()); epoch == "" || first != 1 || last != 0 || err != nil {
		t.Errorf("Bounds = %q, %d, %d, %v of an empty log", epoch, first, last, err)
	}
	g := newLedger()
	var wg sync.WaitGroup
	for c := range 4 {
		wg.Go(func() {
			for n := range 250 {
				g.append(t, l, entry(fmt.Sprint("c", c), n))
				g.append(t, l, entry(fmt.Sprint("c", c), n))
			}
		})
	}
	wg.Wait()
	g.wait(t)
	if len(g.seqs) != 1000 || g.dups != 1000 {
		t.Errorf("%d entries, %d copies; want 1000, 1000", len(g.seqs), g.dups)
	}
	if _, first, last, _ := l.Bounds(t.Context()); first != 901 || last != 1000 {
		t.Errorf("Bounds = %d, %d; want 901, 1000", first, last)
	}
	if n := len(readAll(t, l)); n != 100 {
		t.Errorf("%d entries, want 100", n)
	}
	var pruned *PrunedError
	if at, err := l.Read(t.Context(), 10, 1000, nil); !errors.As(err, &pruned) || pruned.First != 901 || at != 10 {
		t.Errorf("Read of what is gone = %d, %v", at, err)
	}
	if at, err := l.Read(t.Context(), 990, 2000, func(seq uint64, _ []byte) bool { return seq < 995 }); at != 995 || err != nil {
		t.Errorf("Read = %d, %v; want 995", at, err)
	}
	if at, err := l.At(t.Context(), time.Now().Add(time.Hour)); at != 1000 || err != nil {
		t.Errorf("At(later) = %d, %v", at, err)
	}
	if at, err := l.At(t.Context(), time.Now().Add(-time.Hour)); at != 900 || err != nil {
		t.Errorf("At(before) = %d, %v", at, err)
	}
	closeLog(t, l)
	if err := l.Append(t.Context(), entry("c", 1), nil); !errors.Is(err, ErrClosed) || !errors.Is(l.Healthy(), ErrClosed) {
		t.Errorf("after Close: %v, %v", err, l.Healthy())
	}
}

func TestMemoryLogBytes(t *testing.T) {
	l := NewMemoryLog(&MemoryLogConfig{Bytes: 1000})
	for range 50 {
		if err := l.Append(context.Background(), &Entry{Body: make([]byte, 300)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, first, last, _ := l.Bounds(t.Context()); last-first+1 != 3 {
		t.Errorf("%d entries of 300 bytes are kept in 1000, want 3", last-first+1)
	}
}

func ExampleMemoryLog() {
	ctx := context.Background()
	l := NewMemoryLog(nil)
	e := &Entry{ID: "1", Subject: Subject{Platform: "twitch", Channel: "22484632", Kind: "message"}, Body: []byte(`{"v":1,"id":"1"}`)}
	for range 2 {
		if err := l.Append(ctx, e, func(seq uint64, dup bool, err error) { fmt.Println(seq, dup, err) }); err != nil {
			fmt.Println(err)
		}
	}
	l.Read(ctx, 0, 1, func(seq uint64, body []byte) bool {
		fmt.Printf("%s\n", AppendEnvelope(nil, Cursor{"e", seq}, body))
		return true
	})
	// Output:
	// 1 false <nil>
	// 0 true <nil>
	// {"v":1,"cursor":{"epoch":"e","seq":1},"id":"1"}
}
