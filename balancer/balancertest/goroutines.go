package balancertest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Main runs a package's tests and returns the code to exit with: 1 also if a
// goroutine that runs code of the module is left when they are over. module is the
// beginning of its import paths, as in "github.com/you/yourbot/".
func Main(m *testing.M, module string) int {
	code := m.Run()
	if left := left(module, 5*time.Second); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines left:\n%s\n", left)
		code = 1
	}
	return code
}

// left returns the stacks of goroutines of the module that are still there after d:
// one whose last deed was to tell that it is done may need a while.
func left(module string, d time.Duration) string {
	var left []string
	for end := time.Now().Add(d); ; {
		left = left[:0]
		buf := make([]byte, 4<<20)
		stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
		for _, s := range stacks[1:] { // the first is this one
			if strings.Contains(s, module) {
				left = append(left, s)
			}
		}
		if len(left) == 0 || time.Now().After(end) {
			return strings.Join(left, "\n\n")
		}
		runtime.Gosched()
	}
}
