package relay

import "net/http"

// Caller returns the name of the token that a request came with, "" without
// one. It is for handlers given to [Server.Handle].
func Caller(r *http.Request) string {
	if who, ok := r.Context().Value(guestKey{}).(*guest); ok && who != nil {
		return who.name
	}
	return ""
}
