package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// smallDisk mounts a disk that can be filled.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("no disk can be mounted to fill it: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// The disk of the log is full for a while: what people say waits, and arrives
// once there is room.
func TestRunDiskFull(t *testing.T) {
	disk := smallDisk(t)
	s := newSick(t, true, fmt.Sprintf("  log: {dir: %s, max_bytes: 64MiB}\n", filepath.Join(disk, "log")))
	fill, err := os.Create(filepath.Join(disk, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = fill.Write(make([]byte, 4096))
	}
	fill.Close()
	s.notReady(t, "no space left on device: make room")
	s.more(t, 300)
	if err := os.Remove(fill.Name()); err != nil {
		t.Fatal(err)
	}
	s.ready(t)
	s.more(t, 300)
	s.end(t)
}

// A disk that cannot be written ends the relay at the start, with one line.
func TestRunDiskReadOnly(t *testing.T) {
	disk := smallDisk(t)
	w := newWorld(t, fmt.Sprintf("  log: {dir: %s}\n", filepath.Join(disk, "log")))
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("the disk cannot be made read-only: %v", err)
	}
	code, _, stderr := chatshard(t, "run", "-c", w.file)
	if code != exitFailure || !strings.Contains(stderr, "read-only file system: mount it writable") || w.twitch.Stats().Dialled > 0 {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
