package discordtest

// Gateway close codes (topics/opcodes-and-status-codes).
const (
	CloseUnknown          = 4000
	CloseUnknownOpcode    = 4001
	CloseDecodeError      = 4002
	CloseNotAuthenticated = 4003
	CloseAuthFailed       = 4004
	CloseAlreadyAuth      = 4005
	CloseInvalidSeq       = 4007
	CloseRateLimited      = 4008
	CloseSessionTimedOut  = 4009
	CloseInvalidShard     = 4010
	CloseShardingRequired = 4011
	CloseInvalidVersion   = 4012
	CloseInvalidIntents   = 4013
	CloseDisallowed       = 4014
)

// closeText is the reason that goes with a code.
var closeText = map[int]string{
	CloseUnknown:          "Unknown error.",
	CloseUnknownOpcode:    "Unknown opcode.",
	CloseDecodeError:      "Error while decoding payload.",
	CloseNotAuthenticated: "Not authenticated.",
	CloseAuthFailed:       "Authentication failed.",
	CloseAlreadyAuth:      "Already authenticated.",
	CloseInvalidSeq:       "Invalid seq.",
	CloseRateLimited:      "Rate limited.",
	CloseSessionTimedOut:  "Session timed out.",
	CloseInvalidShard:     "Invalid shard.",
	CloseShardingRequired: "Sharding required.",
	CloseInvalidVersion:   "Invalid API version.",
	CloseInvalidIntents:   "Invalid intent(s).",
	CloseDisallowed:       "Disallowed intent(s).",
}

// ends reports whether a close with the code by the server ends the session.
func ends(code int) bool {
	switch code {
	case CloseNotAuthenticated, CloseAuthFailed, CloseInvalidSeq, CloseSessionTimedOut,
		CloseInvalidShard, CloseShardingRequired, CloseInvalidVersion, CloseInvalidIntents, CloseDisallowed:
		return true
	}
	return false
}
