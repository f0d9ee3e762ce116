package irc

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// dataDir returns the folder of captured traffic, which lies beside the
// repository and not in it: real people talk there. Without it a test is
// skipped; each has lines of its own as well.
func dataDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			tb.Skip("no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
	dir = filepath.Join(filepath.Dir(dir), "shared", "data")
	if _, err := os.Stat(dir); err != nil {
		tb.Skip("captured traffic is not on this machine: ", dir)
	}
	return dir
}

// recorded returns the lines of one captured file.
func recorded(tb testing.TB, name string) []string {
	tb.Helper()
	f, err := os.Open(filepath.Join(dataDir(tb), name))
	if os.IsNotExist(err) {
		tb.Skip("captured traffic is not on this machine: ", name)
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var lines []string
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if s.Text() != "" {
			lines = append(lines, s.Text())
		}
	}
	if err := s.Err(); err != nil {
		tb.Fatal(err)
	}
	return lines
}

// allRecorded returns the lines of all captured files.
func allRecorded(tb testing.TB) []string {
	tb.Helper()
	var lines []string
	for _, pattern := range []string{"twitch/*.txt", "irc/*.txt"} {
		names, err := filepath.Glob(filepath.Join(dataDir(tb), pattern))
		if err != nil {
			tb.Fatal(err)
		}
		for _, name := range names {
			lines = append(lines, recorded(tb, filepath.Join(filepath.Dir(pattern), filepath.Base(name)))...)
		}
	}
	return lines
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}
