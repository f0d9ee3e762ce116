//go:build unix && !aix && !solaris

package discord

import (
	"errors"
	"os"
	"syscall"
)

const (
	errNotDir  = syscall.ENOTDIR
	errNoSpace = syscall.ENOSPC
)

// tryLock locks a file against other processes until it is closed.
func tryLock(f *os.File) (bool, error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		default:
			return err == nil, err
		}
	}
}

// syncDir makes a rename in a directory last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
