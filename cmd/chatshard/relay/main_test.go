package relay

import (
	"os"
	"testing"

	"github.com/chatshard/chatshard/balancer/balancertest"
)

// TestMain fails if a goroutine of this module outlives the tests.
func TestMain(m *testing.M) { os.Exit(balancertest.Main(m, "github.com/chatshard/")) }
