package discord

import (
	"errors"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-json"
)

// ID is a snowflake in decimal, "" if there is none (reference, "Snowflakes").
type ID string

// idEpoch is the first second of 2015, where snowflakes begin, in milliseconds.
const idEpoch = 1420070400000

// Time returns when the ID was made, to the millisecond: the zero Time if it is
// not a snowflake.
func (id ID) Time() time.Time {
	n, err := strconv.ParseUint(string(id), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(n>>22) + idEpoch)
}

// UnmarshalJSON takes a string, a whole number or null.
func (id *ID) UnmarshalJSON(b []byte) error {
	s, err := textOrNumber(b)
	if err == nil && s != nil {
		*id = ID(*s)
	}
	return err
}

// Permissions are what a role or an overwrite allows (topics/permissions).
// Bits beyond the 64th, of which there are none yet, are left out.
type Permissions uint64

// UnmarshalJSON takes a string with a number, a whole number or null.
func (p *Permissions) UnmarshalJSON(b []byte) error {
	s, err := textOrNumber(b)
	if err != nil || s == nil || *s == "" {
		return err
	}
	if n, err := strconv.ParseUint(*s, 10, 64); err == nil {
		*p = Permissions(n)
		return nil
	}
	n, ok := new(big.Int), len(*s) < 100
	if ok {
		_, ok = n.SetString(*s, 10)
	}
	if !ok {
		return errors.New("permissions are no number")
	}
	n.And(n, new(big.Int).SetUint64(1<<64-1))
	*p = Permissions(n.Uint64())
	return nil
}

// textOrNumber returns the text of a JSON string or whole number, nil for null.
func textOrNumber(b []byte) (*string, error) {
	switch {
	case string(b) == "null":
		return nil, nil
	case len(b) >= 2 && b[0] == '"':
		s := string(b[1 : len(b)-1])
		if strings.IndexByte(s, '\\') >= 0 {
			if err := json.Unmarshal(b, &s); err != nil {
				return nil, err
			}
		}
		return &s, nil
	case wholeNumber(b):
		s := string(b)
		return &s, nil
	}
	return nil, errors.New("neither a string nor a whole number")
}

func wholeNumber(b []byte) bool {
	if len(b) > 1 && b[0] == '-' {
		b = b[1:]
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}
