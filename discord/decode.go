package discord

import (
	"errors"
	"fmt"

	"github.com/goccy/go-json"
)

// DecodeError says which event could not be turned into which type.
type DecodeError struct {
	Type string // "MESSAGE_CREATE"
	Into string // "*discord.Message"
	Err  error
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("discord: decode %.40s into %s: %v", e.Type, e.Into, e.Err)
}

func (e *DecodeError) Unwrap() error { return e.Err }

var errNoData = errors.New("the event has no data")

// Decode unmarshals the event's data into what into points to: one of this
// package's types, or a struct of discordgo, disgo or the caller's own. It is as
// fast as goccy/go-json, and what it decoded shares no memory with the Dispatch:
// it may be kept, also where balancer.Config.Reuse is set.
//
// Data that is missing or null is an error, and so is one field of the wrong
// type; the other fields may have been set by then. Nothing that Discord sends
// makes it panic. The error is a [*DecodeError].
func (d *Dispatch) Decode(into any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = d.undecoded(into, fmt.Errorf("decoder panicked: %v", r))
		}
	}()
	if len(d.Data) == 0 || string(d.Data) == "null" {
		return d.undecoded(into, errNoData)
	}
	// Each decoded string is a copy, so nothing refers to Data afterwards. It would
	// with DecodeNoCopyString.
	if err := json.Unmarshal(d.Data, into); err != nil {
		return d.undecoded(into, err)
	}
	return nil
}

func (d *Dispatch) undecoded(into any, err error) error {
	return &DecodeError{d.Type, fmt.Sprintf("%T", into), err}
}
