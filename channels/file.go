package channels

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	defaultInterval = time.Second
	maxFile         = 64 << 20 // bytes; some three million names
	// settled is how old a modification must be before stat alone is believed:
	// clocks of file systems are coarse.
	settled = 2 * time.Second
)

// File is a Source that watches a file of channels. The format, and what
// happens when the file changes, is described at the top of this package.
type File struct {
	Path     string
	Interval time.Duration // between polls; 0: 1 s
	// OnError is told what is wrong with the file, once for each thing, by the
	// goroutine of Watch; nil: nobody is. An error in the content joins one
	// [*LineError] for each bad line.
	OnError func(error)
}

// ReadFile reads a file of channels once.
func ReadFile(path string) (Set, error) {
	text, _, err := read(path)
	if err != nil {
		return Set{}, err
	}
	return ParseList(path, text)
}

// Watch implements [Source]. A file that is bad at the start counts as empty
// until it is mended. Watch never returns an error.
func (f File) Watch(ctx context.Context, changed func(Set)) error {
	w := watcher{path: f.Path, onError: f.OnError}
	w.start()
	changed(w.set)
	interval := f.Interval
	if interval <= 0 {
		interval = defaultInterval
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if w.poll() {
				changed(w.set)
			}
		}
	}
}

type watcher struct {
	path    string
	onError func(error)

	set     Set
	taken   [sha256.Size]byte // hash of the content that was last judged, good or bad
	pending [sha256.Size]byte // hash of a content seen once
	info    fs.FileInfo       // when last read; nil: read at the next poll
	failed  string            // the last error of reading, so that it is reported once
}

func (w *watcher) start() {
	text, info, err := read(w.path)
	if err != nil {
		w.unreadable(err)
		return
	}
	w.info, w.taken = info, sha256.Sum256(text)
	w.pending = w.taken
	if w.set, err = ParseList(w.path, text); err != nil {
		w.report(err)
	}
}

// poll looks at the file and reports whether w.set changed.
func (w *watcher) poll() bool {
	if w.unchanged() {
		return false
	}
	text, info, err := read(w.path)
	if err != nil {
		w.unreadable(err)
		return false
	}
	w.info, w.failed = info, ""
	sum := sha256.Sum256(text)
	once := w.pending != sum
	w.pending = sum
	if once || sum == w.taken {
		return false
	}
	w.taken = sum
	if len(text) == 0 && w.set.Len() > 0 {
		w.report(fmt.Errorf("%s: empty, as if cut off while being written: the %d channels that it listed stay; to want none, leave a comment in it", w.path, w.set.Len()))
		return false
	}
	set, err := ParseList(w.path, text)
	if err != nil {
		w.report(err)
		return false
	}
	old := w.set
	w.set = set
	return !Diff(old, set).Empty()
}

// unchanged reports whether stat alone shows that the file is as judged.
func (w *watcher) unchanged() bool {
	if w.info == nil || w.pending != w.taken {
		return false
	}
	info, err := os.Stat(w.path)
	return err == nil && os.SameFile(info, w.info) && info.Size() == w.info.Size() &&
		info.ModTime().Equal(w.info.ModTime()) && time.Since(info.ModTime()) > settled
}

func (w *watcher) unreadable(err error) {
	w.info = nil
	if w.failed != err.Error() {
		w.failed = err.Error()
		w.report(err)
	}
}

func (w *watcher) report(err error) {
	if w.onError != nil {
		w.onError(err)
	}
}

// read returns the content of a regular file and its state when it was opened.
func read(path string) ([]byte, fs.FileInfo, error) {
	// Opening a named pipe would block.
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: not a regular file; name a file of channels, one a line", path)
	}
	if err != nil {
		return nil, nil, unreadable(path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, unreadable(path, err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, nil, unreadable(path, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, unreadable(path, err)
	}
	if len(text) > maxFile {
		return nil, nil, fmt.Errorf("%s: larger than %d MiB; split the channels over several relays", path, maxFile>>20)
	}
	return text, info, nil
}

func unreadable(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s: cannot be read: %w; check the path and its permissions", path, err)
}
