//go:build !linux

package main

import (
	"errors"
	"time"
)

// benchSupported: CPU time and memory of a process are asked for in Linux's ways.
const benchSupported = false

func nap() { time.Sleep(100 * time.Microsecond) }

func cpuTime() time.Duration  { return 0 }
func peakMemory() float64     { return 0 }
func residentMemory() float64 { return 0 }
func maxFiles() int           { return 0 }

func readSocket(uintptr, []byte) (n int, again bool, err error) {
	return 0, false, errors.ErrUnsupported
}
