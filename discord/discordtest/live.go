package discordtest

import "slices"

// Live returns the numbers of the connections that have a session, in the
// order of dialling: for [Target].Conn.
func (s *Server) Live() []int {
	var ids []int
	for _, c := range s.live() {
		c.mu.Lock()
		if c.sess != nil && !c.ended {
			ids = append(ids, c.id)
		}
		c.mu.Unlock()
	}
	slices.Sort(ids)
	return ids
}
