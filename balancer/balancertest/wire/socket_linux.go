package wire

import (
	"net"

	"golang.org/x/sys/unix"
)

// unacked returns how many bytes the kernel holds that the peer has not
// acknowledged.
func unacked(t *net.TCPConn) (int64, bool) {
	rc, err := t.SyscallConn()
	if err != nil {
		return 0, false
	}
	n, ok := 0, false
	err = rc.Control(func(fd uintptr) {
		var err error
		n, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ)
		ok = err == nil
	})
	return int64(n), ok && err == nil
}
