package main

import (
	"strconv"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
)

// appendEvent appends what the balancer says.
func appendEvent(dst []byte, data any) []byte {
	switch d := data.(type) {
	case balancer.Up:
		dst = append(dst, `,"kind":"up"`...)
		if d.Resumed {
			dst = append(dst, `,"flags":["resumed"]`...)
		}
		return dst
	case balancer.Down:
		dst = append(dst, `,"kind":"down"`...)
		return appendError(dst, d.Err)
	case balancer.Joined:
		return append(dst, `,"kind":"join","flags":["self"]`...)
	case balancer.Parted:
		dst = append(dst, `,"kind":"part","flags":["self"]`...)
		return appendError(dst, d.Err)
	case balancer.Refused:
		dst = append(dst, `,"kind":"refused"`...)
		dst = appendError(dst, d.Err)
		return appendTime(dst, `,"until":`, d.Until)
	case balancer.CutOver:
		return append(dst, `,"kind":"cut_over"`...)
	case discord.Available:
		dst = append(dst, `,"kind":"ready","guilds":{"all":`...)
		dst = strconv.AppendInt(dst, int64(d.Guilds), 10)
		dst = append(dst, `,"missing":`...)
		dst = strconv.AppendInt(dst, int64(d.Missing), 10)
		return append(dst, '}')
	case balancer.Gap:
		dst = append(dst, `,"kind":"gap","gap":{`...)
		n := len(dst)
		dst = appendTime(dst, `"from":`, d.From)
		if !d.To.IsZero() {
			if len(dst) > n {
				dst = append(dst, ',')
			}
			dst = appendTime(dst, `"to":`, d.To)
		}
		if len(dst) > n {
			dst = append(dst, ',')
		}
		dst = append(dst, `"dropped":`...)
		dst = strconv.AppendInt(dst, int64(d.Dropped), 10)
		dst = append(dst, '}')
		return appendError(dst, d.Err)
	case balancer.Settled:
		return append(dst, `,"kind":"other","type":"settled"`...)
	}
	return append(dst, `,"kind":"other","type":"unknown"`...)
}

func appendError(dst []byte, err error) []byte {
	if err == nil {
		return dst
	}
	return appendField(dst, `,"error":`, err.Error())
}
