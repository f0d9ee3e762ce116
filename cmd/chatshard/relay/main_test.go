package relay

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails if a goroutine of this module outlives the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := running(); left != "" {
		fmt.Fprintf(os.Stderr, "left running:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// running returns the stacks of this module's goroutines that are still there
// after a while: one whose last deed was to tell that it is done may need one.
func running() string {
	var left []string
	for end := time.Now().Add(5 * time.Second); ; {
		left = left[:0]
		buf := make([]byte, 4<<20)
		stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
		for _, s := range stacks[1:] { // the first is this one
			if strings.Contains(s, "github.com/chatshard/") {
				left = append(left, s)
			}
		}
		if len(left) == 0 || time.Now().After(end) {
			return strings.Join(left, "\n\n")
		}
		runtime.Gosched()
	}
}
