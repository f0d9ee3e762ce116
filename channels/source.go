package channels

import (
	"context"
	"sync"
)

// Source is where a wanted set comes from.
//
// Watch blocks until ctx ends and then returns nil. It calls changed with the
// whole set, once soon after the start and again after every change, from one
// goroutine at a time. An error ends it early; what may mend itself is not
// returned as one. A Source may be watched more than once.
type Source interface {
	Watch(ctx context.Context, changed func(Set)) error
}

// Fixed returns a Source that reports set and never changes.
func Fixed(set Set) Source { return fixed{set} }

type fixed struct{ set Set }

func (f fixed) Watch(ctx context.Context, changed func(Set)) error {
	changed(f.set)
	<-ctx.Done()
	return nil
}

// Merged returns a Source that reports the [Merge] of what sources report, as
// soon as each has reported once. It ends with the first error of a source.
func Merged(sources ...Source) Source { return merged(sources) }

type merged []Source

func (m merged) Watch(ctx context.Context, changed func(Set)) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	type report struct {
		source int
		set    Set
	}
	reports := make(chan report)
	failed := make(chan error, len(m)) // never full: each source fails once
	for i, src := range m {
		wg.Go(func() {
			err := src.Watch(ctx, func(s Set) {
				select {
				case reports <- report{i, s}:
				case <-ctx.Done():
				}
			})
			if err != nil {
				failed <- err
			}
		})
	}

	sets := make([]Set, len(m))
	waiting := make(map[int]bool, len(m))
	for i := range m {
		waiting[i] = true
	}
	if len(m) == 0 {
		changed(Set{})
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case r := <-reports:
			sets[r.source] = r.set
			delete(waiting, r.source)
			if len(waiting) == 0 {
				changed(Merge(sets...))
			}
		}
	}
}
