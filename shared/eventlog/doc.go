// Package eventlog is the event log on NATS: what has happened to a job, stored by JetStream, republished live, and
// replayed to whoever comes late.
//
// # Subjects
//
//   - in.<k>.<tenant>.<job>: writers append here; k is the job's shard (see Shards). Stream C<k> stores it.
//   - completions.<tenant>.<job>: viewers listen here. Only the streams publish to it, and only what they have stored.
//   - replay.<tenant>.<job>: viewers ask here for the past; ServeReplay answers below rp.<tenant>.<job>.
//
// # Promises
//
//   - Writing (Open): one message in flight per job, each naming the stream position of the one before
//     (Nats-Expected-Last-Subject-Sequence). That one rule orders, de-duplicates and fences: a writer whose log has moved on
//     is refused, and what is refused is neither stored nor seen by anybody (I5).
//   - Reading (Follow, Subscribe, View): subscribe first, then read the past, then deliver whatever has the next seq; a
//     hole, a dropped message, a reconnect or long silence makes the reader look at the past again (I3). Nothing is kept
//     on the server for a reader.
//   - A log whose server lost its data begins anew with a higher seq; readers accept the jump onto a started or final
//     event. A log whose oldest part was discarded for size is read from what is left.
//   - A job that ended without its final event reaching the log (its worker died in between) gets it from the store
//     through Options.Fallback.
//
// Left to others: who may connect to NATS with which permissions, and whether a job exists at all.
package eventlog
