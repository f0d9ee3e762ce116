package discord

import "testing"

// If this fails, crypto/tls has changed: idle connections take more memory
// until its buffers are found again.
func TestTLSBuffers(t *testing.T) {
	if !tlsBuffers.known {
		t.Error("crypto/tls.Conn has no rawInput, input and hand as they were")
	}
}
