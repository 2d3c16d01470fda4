// Package completion is the domain: what a completion job is, which states it may pass through, which events it emits
// and which errors it may end with. It imports the standard library only; adapters (store, queue, eventlog) depend on
// it and never the other way round.
//
// # Invariants
//
// The tests that prove an invariant carry its number.
//
//   - I1 Accepted is never lost: an accepted job reaches exactly one final state, whichever single part dies.
//   - I2 Stored once, paid once: a finished generation is stored once and never generated again.
//   - I3 A viewer sees it all: every event after a starting point, once, in order, ending with one final event, for as long as it
//     is retained.
//   - I4 The stream and the store agree: the text of the last attempt's deltas is the stored message, byte for byte.
//   - I5 No zombie speaks: once attempt n+1 has started, nothing of attempt n is published or stored.
//   - I6 Read your writes: a final event is published only after the result is stored.
//   - I7 Same key, same job: an idempotency key with the same body joins the existing job.
//   - I8 Tenants are walls: nothing lets one tenant reach another's jobs.
//   - I9 Cancel means cancel: from any process, in any state; partial text and usage are kept.
//   - I10 Batch never delays interactive.
package completion
