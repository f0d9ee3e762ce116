package discord

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"sync"
	"unsafe"
)

// crypto/tls keeps the memory that it has read the largest record into, and the
// longest message of the handshake, for as long as the connection lives: after
// one GUILD_CREATE that is 36 KiB, twice what an idle connection takes otherwise.
// There is no way to say that it is not needed. So it is taken out while the
// connection waits, and lent again when something has arrived. If a later
// crypto/tls has no such fields all stays where it is; TestTLSBuffers tells.
var tlsBuffers = func() (f struct {
	known              bool
	raw, input, handed uintptr
}) {
	t := reflect.TypeFor[tls.Conn]()
	raw, ok1 := t.FieldByName("rawInput")
	input, ok2 := t.FieldByName("input")
	hand, ok3 := t.FieldByName("hand")
	f.raw, f.input, f.handed = raw.Offset, input.Offset, hand.Offset
	f.known = ok1 && ok2 && ok3 && raw.Type == reflect.TypeFor[bytes.Buffer]() &&
		input.Type == reflect.TypeFor[bytes.Reader]() && hand.Type == reflect.TypeFor[bytes.Buffer]()
	return f
}()

// rawBytes is a record of the largest size, and what crypto/tls and
// bytes.Buffer want beside.
const rawBytes = 18 << 10

var raws = sync.Pool{New: func() any { return new([rawBytes]byte) }}

// lendRaw gives c memory to read records into. Only who reads c may call it.
func lendRaw(c *tls.Conn) {
	if !tlsBuffers.known {
		return
	}
	if raw := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), tlsBuffers.raw)); raw.Cap() == 0 {
		*raw = *bytes.NewBuffer(raws.Get().(*[rawBytes]byte)[:0])
	}
}

// takeRaw takes the memory back where nothing stands in it. Only who reads c may
// call it.
func takeRaw(c *tls.Conn) {
	if !tlsBuffers.known {
		return
	}
	raw := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), tlsBuffers.raw))
	input := (*bytes.Reader)(unsafe.Add(unsafe.Pointer(c), tlsBuffers.input)) // stands in raw
	if hand := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), tlsBuffers.handed)); hand.Len() == 0 {
		*hand = bytes.Buffer{}
	}
	if raw.Len() > 0 || input.Len() > 0 || raw.Cap() == 0 {
		return
	}
	input.Reset(nil)
	raw.Reset()
	if b := raw.AvailableBuffer(); cap(b) >= rawBytes {
		raws.Put((*[rawBytes]byte)(b[:rawBytes]))
	}
	*raw = bytes.Buffer{}
}
