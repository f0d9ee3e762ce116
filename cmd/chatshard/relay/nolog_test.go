package relay

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestNoLog(t *testing.T) {
	l := NewNoLog()
	if l.Epoch() == "" || l.Epoch() == NewNoLog().Epoch() || l.Healthy() != nil {
		t.Errorf("epoch %q, healthy %v", l.Epoch(), l.Healthy())
	}
	seqs := uint64(0) // guarded by the log, whose numbers come one at a time
	var wg sync.WaitGroup
	for c := range 4 {
		wg.Go(func() {
			for n := range 250 {
				for range 2 {
					if err := l.Append(entry(fmt.Sprint("c", c), n), func(seq uint64) error {
						if seqs++; seq != seqs {
							t.Errorf("number %d, want %d", seq, seqs)
						}
						return nil
					}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if seqs != 1000 {
		t.Errorf("%d entries, want 1000 of 2000, half of which are copies", seqs)
	}
	bad := errors.New("bad")
	if err := l.Append(entry("c", 1000), func(uint64) error { return bad }); !errors.Is(err, bad) {
		t.Errorf("got %v, want the error of who takes it", err)
	}
	if err := l.Append(entry("c", 1000), func(seq uint64) error { seqs = seq; return nil }); err != nil || seqs != 1001 {
		t.Errorf("number %d, %v after one that was not taken; want 1001", seqs, err)
	}
	late := entry("c", 1000)
	late.Time = late.Time.Add(2*noLogDedup + time.Second)
	if err := l.Append(late, func(seq uint64) error { seqs = seq; return nil }); err != nil || seqs != 1002 {
		t.Errorf("number %d, %v of a copy after the window; want 1002", seqs, err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.Append(entry("c", 1), nil); !errors.Is(err, ErrClosed) || !errors.Is(l.Healthy(), ErrClosed) {
		t.Errorf("after Close: %v, %v", err, l.Healthy())
	}
}

func ExampleNoLog() {
	l := NewNoLog()
	e := &Entry{ID: "1", Subject: Subject{Platform: "twitch", Channel: "22484632", Kind: "message"}, Body: []byte(`{"v":1,"id":"1"}`)}
	for range 2 {
		if err := l.Append(e, func(seq uint64) error {
			fmt.Printf("%s\n", AppendEnvelope(nil, Cursor{"e", seq}, e.Body))
			return nil
		}); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// {"v":1,"cursor":{"epoch":"e","seq":1},"id":"1"}
}
