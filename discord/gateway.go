package discord

// Opcodes (topics/opcodes-and-status-codes, "Gateway Opcodes").
const (
	opDispatch       = 0
	opHeartbeat      = 1
	opIdentify       = 2
	opResume         = 6
	opReconnect      = 7
	opInvalidSession = 9
	opHello          = 10
	opHeartbeatACK   = 11
)

const (
	maxPayload = 64 << 20 // bytes of the largest payload taken in; Discord sets no limit
)
