//go:build linux || darwin || freebsd

package relay

import "golang.org/x/sys/unix"

// freeSpace returns the bytes that may still be written in a directory.
func freeSpace(dir string) (uint64, bool) {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0, false
	}
	return uint64(s.Bavail) * uint64(s.Bsize), true
}
