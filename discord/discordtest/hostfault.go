package discordtest

import (
	"fmt"
	"net/http"
	"strings"
)

// refuses reports whether a connection to the host is refused.
func (s *Server) refuses(host Host) bool {
	return len(s.take(func(w *standing) bool {
		return w.Kind == Refused && (w.Host == "" || w.Host == host) && w.Path == "" && (w.Share <= 0 || s.rnd.chance(w.Share))
	})) > 0
}

// hostSpoilsTLS reports whether the handshake is to fail.
func (s *Server) hostSpoilsTLS(c *conn) bool {
	return len(s.take(func(w *standing) bool { return w.Kind == BadTLS && s.fits(c, w.Target) })) > 0
}

// hostFault does to a request what its host suffers from, and reports whether
// that was all.
func (s *Server) hostFault(c *conn, r *http.Request) bool {
	hits := s.take(func(w *standing) bool {
		switch w.Kind {
		case Refused, Unavailable, BlackHole:
		case BadTLS:
			if !c.plain {
				return false
			}
		default:
			return false
		}
		return strings.HasSuffix(r.URL.Path, w.Path) && s.fits(c, w.Target)
	})
	if len(hits) == 0 {
		return false
	}
	switch f := hits[0]; f.Kind {
	case Unavailable:
		code := f.Code
		or(&code, http.StatusServiceUnavailable)
		fmt.Fprintf(c.nc, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", code, http.StatusText(code))
	case BlackHole:
		c.raw.AwaitClose()
	default:
		c.end(reset)
	}
	return true
}
