// Package relay is what stands between the connections of chatshard run and the
// programs that read its chat: one log of envelopes, a cursor in it, and outputs
// that each go on where they were.
//
// # Entries and cursors
//
// An [Entry] is one envelope as JSON without its cursor. The [Log] gives it its
// place: a sequence number that grows with each entry, of an epoch that changes
// when history was lost. Outputs write the cursor into the envelope as they hand
// it out ([AppendEnvelope]): what is stored cannot know it.
//
// A live reader does not go through the log's engine. What was appended goes,
// once the log has acknowledged it, into a ring of entries that all outputs
// share; a reader that begins earlier reads the log until it has come to the
// ring, and goes on there: sequence numbers join without a seam.
package relay
