package discord

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestFileStore(t *testing.T) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "a", "b")
	s := FileStore(dir)
	if data, err := s.Load(ctx, "sessions"); data != nil || err != nil {
		t.Errorf("nothing saved: %q, %v", data, err)
	}
	for _, want := range []string{"one", "", strings.Repeat("x", 1<<20)} {
		if err := s.Save(ctx, "sessions", []byte(want)); err != nil {
			t.Fatal(err)
		}
		if data, err := s.Load(ctx, "sessions"); string(data) != want || data == nil || err != nil {
			t.Errorf("Load = %.10q, %v, want %.10q", data, err, want)
		}
	}
	for name, mode := range map[string]fs.FileMode{dir: 0o700 | fs.ModeDir, filepath.Join(dir, "sessions"): 0o600, filepath.Join(dir, ".lock"): 0o600} {
		if st, err := os.Stat(name); err != nil || st.Mode() != mode {
			t.Errorf("%s: %v, %v, want %v", name, st.Mode(), err, mode)
		}
	}
	if s.String() != dir {
		t.Errorf("String() = %q", s)
	}
}

// What a crash has left half written neither counts nor stays.
func TestFileStoreAfterACrash(t *testing.T) {
	dir := t.TempDir()
	s := FileStore(dir)
	if err := s.Save(t.Context(), "sessions", []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".sessions.new"), []byte("ha"), 0o666); err != nil {
		t.Fatal(err)
	}
	if data, err := s.Load(t.Context(), "sessions"); string(data) != "old" || err != nil {
		t.Errorf("Load = %q, %v", data, err)
	}
	if err := s.Save(t.Context(), "sessions", []byte("new")); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, ".*new"))
	if data, _ := s.Load(t.Context(), "sessions"); string(data) != "new" || len(files) != 0 {
		t.Errorf("Load = %q, left %q", data, files)
	}
	if st, err := os.Stat(filepath.Join(dir, "sessions")); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestStoreNames(t *testing.T) {
	for _, s := range []Store{FileStore(t.TempDir()), MemoryStore()} {
		for _, name := range []string{"", "a/b", `a\b`, "..", ".lock", "c:", "a\x00", strings.Repeat("a", 200)} {
			if err := s.Save(t.Context(), name, nil); err == nil || !strings.Contains(err.Error(), "is not a name") {
				t.Errorf("%s: Save(%q) = %v", s, name, err)
			}
		}
	}
}

func TestFileStoreErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := FileStore(file).Save(t.Context(), "sessions", nil)
	if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "name another") {
		t.Errorf("a file in place of the directory: %v", err)
	}
	if os.Getuid() != 0 { // whom nothing is denied
		closed := filepath.Join(dir, "closed")
		os.Mkdir(closed, 0o500)
		if err := FileStore(closed).Save(t.Context(), "sessions", nil); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "user") {
			t.Errorf("a directory of somebody else: %v", err)
		}
	}
	s := FileStore(filepath.Join(dir, "s"))
	if err := s.Save(t.Context(), "big", make([]byte, storeMost+1)); err == nil {
		t.Error("more than can be read was saved")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := s.Save(ctx, "sessions", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
}

// Nothing is lost between Stores of one directory, as processes have.
func TestStoreUpdate(t *testing.T) {
	dir, memory := t.TempDir(), MemoryStore()
	for _, stores := range [][]Store{{FileStore(dir), FileStore(dir), FileStore(dir)}, {memory, memory}} {
		var wg sync.WaitGroup
		for _, s := range stores {
			for range 4 {
				wg.Go(func() {
					for range 5 {
						err := s.(Updater).Update(t.Context(), "n", func(old []byte) ([]byte, error) {
							n, _ := strconv.Atoi(string(old))
							return fmt.Append(nil, n+1), nil
						})
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Wait()
		if data, err := stores[0].Load(t.Context(), "n"); string(data) != fmt.Sprint(20*len(stores)) || err != nil {
			t.Errorf("%s: %q, %v, want %d", stores[0], data, err, 20*len(stores))
		}
		stop := errors.New("no")
		err := stores[0].(Updater).Update(t.Context(), "n", func([]byte) ([]byte, error) { return []byte("lost"), stop })
		if data, _ := stores[0].Load(t.Context(), "n"); !errors.Is(err, stop) || string(data) == "lost" {
			t.Errorf("%s: saved in spite of %v", stores[0], err)
		}
	}
}

// The same between processes, of which this test starts three.
func TestStoreUpdateByProcesses(t *testing.T) {
	const env = "CHATSHARD_TEST_STORE"
	if dir := os.Getenv(env); dir != "" { // this is one of them
		for range 50 {
			err := FileStore(dir).(Updater).Update(t.Context(), "n", func(old []byte) ([]byte, error) {
				n, _ := strconv.Atoi(string(old))
				return fmt.Append(nil, n+1), nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	if runtime.GOOS == "windows" {
		t.Skip("no flock")
	}
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStoreUpdateByProcesses$", "-test.timeout=60s")
			c.Env = append(os.Environ(), env+"="+dir)
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	if data, err := FileStore(dir).Load(t.Context(), "n"); string(data) != "150" || err != nil {
		t.Errorf("%q, %v, want 150", data, err)
	}
}
