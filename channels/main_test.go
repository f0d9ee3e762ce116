package channels

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// TestMain fails if a goroutine of this module outlives the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	buf := make([]byte, 1<<20)
	stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	for _, s := range stacks[1:] { // the first is this one
		if strings.Contains(s, "github.com/chatshard/") {
			fmt.Fprintf(os.Stderr, "left running: %s\n\n", s)
			code = 1
		}
	}
	os.Exit(code)
}
