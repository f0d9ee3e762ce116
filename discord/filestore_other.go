//go:build !unix || aix || solaris

package discord

import (
	"os"
	"syscall"
)

const (
	errNotDir  = syscall.ENOTDIR
	errNoSpace = syscall.ENOSPC
)

// tryLock does nothing: the standard library has no lock of files here.
func tryLock(*os.File) (bool, error) { return true, nil }

// syncDir does nothing: a directory cannot be synced everywhere.
func syncDir(string) error { return nil }
