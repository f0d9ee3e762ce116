package channels

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// watched runs a Source in a synctest bubble and keeps what it reported last.
type watched struct {
	mu     sync.Mutex // guards set, calls and errs
	set    Set
	calls  int
	errs   []error
	cancel context.CancelFunc
	done   chan error
}

func watch(src func(onError func(error)) Source) *watched {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watched{cancel: cancel, done: make(chan error, 1)}
	s := src(func(err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.errs = append(w.errs, err)
	})
	changed := func(s Set) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.set, w.calls = s, w.calls+1
	}
	go func() { w.done <- s.Watch(ctx, changed) }()
	synctest.Wait()
	return w
}

func (w *watched) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	if err := <-w.done; err != nil {
		t.Errorf("Watch = %v, want nil", err)
	}
}

func (w *watched) reports() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

func (w *watched) check(t *testing.T, when, want string, errs int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := list(w.set); got != want {
		t.Errorf("%s: set is %q, want %q", when, got, want)
	}
	if len(w.errs) != errs {
		t.Errorf("%s: %d errors, want %d: %v", when, len(w.errs), errs, w.errs)
	}
}

// after lets the fake clock run for a number of polls.
func after(polls int) {
	time.Sleep(time.Duration(polls)*time.Second + time.Millisecond)
	synctest.Wait()
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func file(path string) func(func(error)) Source {
	return func(onError func(error)) Source { return File{Path: path, OnError: onError} }
}

func TestFileIsFollowed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "channels.txt")
	synctest.Test(t, func(t *testing.T) {
		put(t, path, "twitch:a\n")
		w := watch(file(path))
		defer w.stop(t)
		w.check(t, "at the start", "a", 0)

		put(t, path, "twitch:a\ntwitch:b\n")
		after(1)
		w.check(t, "seen once", "a", 0)
		after(1)
		w.check(t, "seen twice", "a b", 0)
		after(10)
		if n := w.reports(); n != 2 {
			t.Errorf("%d reports, want 2", n)
		}

		// An editor's way: write beside, then rename.
		put(t, path+".tmp", "twitch:c\n")
		if err := os.Rename(path+".tmp", path); err != nil {
			t.Fatal(err)
		}
		after(2)
		w.check(t, "after a rename", "c", 0)
	})
}

func TestFileSeenHalfWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "channels.txt")
	synctest.Test(t, func(t *testing.T) {
		put(t, path, "twitch:forsen\ntwitch:xqc\n")
		w := watch(file(path))
		defer w.stop(t)
		for _, part := range []string{"", "twitch:for", "twitch:forsen\ntwit", "twitch:forsen\ntwitch:lirik\n"} {
			put(t, path, part)
			after(1)
			w.check(t, "while it is written", "forsen xqc", 0)
		}
		after(1)
		w.check(t, "when it stands still", "forsen lirik", 0)
	})
}

func TestFileThatGoesBadKeepsTheSet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "channels.txt")
	synctest.Test(t, func(t *testing.T) {
		put(t, path, "twitch:a\ntwitch:b\n")
		w := watch(file(path))
		defer w.stop(t)

		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		after(5)
		w.check(t, "gone", "a b", 1)
		if !errors.Is(w.errs[0], os.ErrNotExist) || !strings.HasPrefix(w.errs[0].Error(), path+": cannot be read") {
			t.Errorf("gone: %v", w.errs[0])
		}

		put(t, path, "twitch:a\nforsen\n")
		after(5)
		w.check(t, "bad line", "a b", 2)
		if want := path + ":2:1: "; !strings.HasPrefix(w.errs[1].Error(), want) {
			t.Errorf("bad line: %v, want %s…", w.errs[1], want)
		}

		put(t, path, "")
		after(5)
		w.check(t, "cut to nothing", "a b", 3)

		put(t, path, "# none today\n")
		after(5)
		w.check(t, "emptied on purpose", "", 3)

		put(t, path, "twitch:a\n")
		after(5)
		w.check(t, "mended", "a", 3)
	})
}

func TestFileMissingAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "channels.txt")
	synctest.Test(t, func(t *testing.T) {
		w := watch(file(path))
		defer w.stop(t)
		w.check(t, "missing", "", 1)
		if n := w.reports(); n != 1 {
			t.Errorf("%d reports, want 1", n)
		}
		put(t, path, "twitch:a\n")
		after(2)
		w.check(t, "there", "a", 1)
	})
}

func TestFileStatIsBelievedOnceItIsOld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "channels.txt")
	old := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) // the bubble's clock starts in 2000
	synctest.Test(t, func(t *testing.T) {
		put(t, path, "twitch:a\n")
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		w := watch(file(path))
		defer w.stop(t)
		put(t, path, "twitch:b\n")
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		after(5)
		w.check(t, "same size, same old time", "a", 0)
		if err := os.Chtimes(path, old, old.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		after(5)
		w.check(t, "another time", "b", 0)
	})
}

func TestReadFileRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "none"), "/dev/null"} {
		if _, err := ReadFile(path); err == nil || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("ReadFile(%s): %v", path, err)
		}
	}
}

func TestMerged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "channels.txt")
	synctest.Test(t, func(t *testing.T) {
		put(t, path, "twitch:b account=two\ntwitch:c\n")
		w := watch(func(onError func(error)) Source {
			return Merged(Fixed(set(t, "twitch:a", "twitch:b")), File{Path: path, OnError: onError})
		})
		defer w.stop(t)
		w.check(t, "at the start", "a b c", 0)
		if n := w.reports(); n != 1 {
			t.Errorf("%d reports, want 1: only when all have reported", n)
		}
		if e, _ := w.set.Lookup(Name{Twitch, "", "b"}); e.Settings.Account != "" {
			t.Errorf("b has the settings of the second source: %+v", e)
		}
		put(t, path, "twitch:d\n")
		after(2)
		w.check(t, "after a change", "a b d", 0)
	})
}

type failing struct{ err error }

func (f failing) Watch(context.Context, func(Set)) error { return f.err }

func TestMergedEndsWithTheFirstError(t *testing.T) {
	broken := errors.New("broken")
	err := Merged(Fixed(Set{}), failing{broken}).Watch(context.Background(), func(Set) {})
	if err != broken {
		t.Errorf("Watch = %v, want %v", err, broken)
	}
}

func TestMergedOfNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(func(func(error)) Source { return Merged() })
		defer w.stop(t)
		w.check(t, "at the start", "", 0)
		if n := w.reports(); n != 1 {
			t.Errorf("%d reports, want 1", n)
		}
	})
}
