package discord

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// storeMost is the most bytes that a file of a FileStore may have.
const storeMost = 16 << 20

// FileStore returns a Store that keeps one file per name in a directory, which
// it creates when it first saves. Files are for this user alone (0600, the
// directory 0700) and replaced as a whole: a crash leaves the old or the new
// one. Several processes of one machine may share a directory where the system
// has flock (not on Windows); on a network's file system that is up to it.
func FileStore(dir string) Store {
	s := &fileStore{dir: dir, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s
}

type fileStore struct {
	dir  string
	turn chan struct{} // holds a token while nobody in this process writes
}

func (s *fileStore) String() string { return s.dir }

func (s *fileStore) path(name string) string { return filepath.Join(s.dir, name) }

func (s *fileStore) Load(ctx context.Context, name string) ([]byte, error) {
	if err := storable(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.read(name)
}

func (s *fileStore) read(name string) ([]byte, error) {
	f, err := os.Open(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, storeError("reading", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, storeMost+1))
	if err != nil {
		return nil, storeError("reading", err)
	}
	if len(data) > storeMost {
		return nil, fmt.Errorf("discord: store: reading %s: over %d bytes, which nothing saved here has; move it away", s.path(name), storeMost)
	}
	if data == nil {
		data = []byte{} // there, and empty
	}
	return data, nil
}

func (s *fileStore) Save(ctx context.Context, name string, data []byte) error {
	return s.locked(ctx, name, func() error { return s.replace(name, data) })
}

// Update implements [Updater].
func (s *fileStore) Update(ctx context.Context, name string, change func([]byte) ([]byte, error)) error {
	return s.locked(ctx, name, func() error {
		old, err := s.read(name)
		if err != nil {
			return err
		}
		data, err := change(old)
		if err != nil || data == nil {
			return err
		}
		return s.replace(name, data)
	})
}

// locked runs do while no other process and nobody in this one writes here.
func (s *fileStore) locked(ctx context.Context, name string, do func() error) error {
	if err := storable(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return storeError("creating the directory", err)
	}
	f, err := os.OpenFile(s.path(".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return storeError("locking", err)
	}
	defer f.Close() // unlocks
	for {
		ok, err := tryLock(f)
		if err != nil {
			return storeError("locking", &fs.PathError{Op: "flock", Path: f.Name(), Err: err})
		}
		if ok {
			return do()
		}
		t := time.NewTimer(5 * time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("discord: store: another process holds %s: %w", f.Name(), ctx.Err())
		case <-t.C:
		}
	}
}

// replace writes a file beside the old one and puts it in its place.
func (s *fileStore) replace(name string, data []byte) (err error) {
	if len(data) > storeMost {
		return fmt.Errorf("discord: store: writing %s: %d bytes, %d at most", s.path(name), len(data), storeMost)
	}
	next := s.path("." + name + ".new") // one name: what a crash leaves is overwritten
	defer func() {
		if err != nil {
			os.Remove(next)
			err = storeError("writing", err)
		}
	}()
	os.Remove(next) // it might have other permissions, or be a link
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err := os.Rename(next, s.path(name)); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// storeError says what to do about a file that cannot be used.
func storeError(doing string, err error) error {
	do := "see to the file, or name another directory"
	switch {
	case errors.Is(err, fs.ErrPermission):
		do = "give it to the user that this program runs as, or name another directory"
	case errors.Is(err, fs.ErrExist), errors.Is(err, errNotDir):
		do = "a directory is needed: move away what is in its place, or name another"
	case errors.Is(err, errNoSpace):
		do = "make room on the disk"
	}
	return fmt.Errorf("discord: store: %s: %w; %s", doing, err, do)
}
