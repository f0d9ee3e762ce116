package main

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"
)

const benchSupported = true

// cpuTime returns the time that this process has spent on CPUs, in the kernel
// too.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory returns how many bytes were resident at most.
func peakMemory() float64 { return procStatus("VmHWM:") }

// residentMemory returns how many bytes are resident now.
func residentMemory() float64 { return procStatus("VmRSS:") }

func procStatus(name string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, text, _ = bytes.Cut(text, []byte(name))
	fields := bytes.Fields(text)
	if len(fields) == 0 {
		return 0
	}
	kb, err := strconv.ParseFloat(string(fields[0]), 64)
	if err != nil {
		return 0
	}
	return kb * 1024
}

// maxFiles returns how many files the process may have open.
func maxFiles() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return int(min(l.Cur, 1<<30))
}

// nap sleeps for a tenth of a millisecond, which Go's timers make one or two.
func nap() {
	_ = syscall.Nanosleep(&syscall.Timespec{Nsec: 100_000}, nil) // to wake early does no harm
}

// readSocket reads what is there without waiting.
func readSocket(fd uintptr, p []byte) (n int, again bool, err error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, true, nil
		}
		return n, false, err
	}
}
