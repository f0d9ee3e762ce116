//go:build !unix || solaris || aix

package relay

import "os"

// lockDir opens the file: there is no flock here.
func lockDir(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_CREATE|os.O_RDONLY, 0o600)
}
