package discord

import (
	"reflect"
	"testing"
)

// A glance says what peek says otherwise.
func FuzzGlance(f *testing.F) {
	for _, s := range []string{
		`{"t":"A","s":1,"op":0,"d":{}}`, `{"t":"A","s":1,"op":0,"d": {}}`, `{"t":"A\"","s":1,"op":0,"d":1}`, `{"t":"","s":18446744073709551615,"op":0,"d":1}`,
		`{"t":"A","s":,"op":0,"d":1}`, `{"t":"A","s":1,"op":0,"d":`, `{"t":"A`, `{"t":"A","s":1,"op":0,"d":}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := glance(b)
		if !ok {
			return
		}
		long, err := peek(append([]byte{' '}, b...)) // a space that it does not expect
		long.d--
		if err != nil || !reflect.DeepEqual(p, long) {
			t.Errorf("glance(%q) = %+v, peek %+v %v", b, p, long, err)
		}
	})
}
