// Package conductor brings batches from their files to their answers: it reads and checks the input, makes jobs of the lines
// a bounded window at a time, tells on the batch's subject what has become of them, and writes the files at the end.
//
// Every API process runs a Conductor. A live batch is held by one of them, under a lease that it renews; when it is not, any
// other takes the batch on from where its row says. Each taking has a new epoch, without which nothing is written.
//
// # What is exact, and why
//
// A line runs once: its job is made in the transaction that moves the checkpoint's Fed, and has an id that follows from the
// batch and the line. What Redis loses of it the sweeper enqueues again.
//
// A line is counted once its job was seen in a final state, and then told: the event log has it in an event of type lines.
// Counts and Usage of the row are those of the lines counted, Told has those told, and Seq is the event up to which Told takes
// account of the log. They are written together, but not together with the log. Therefore whoever takes the batch on
//
//   - takes the lines of all events above Seq into Told, and counts them;
//   - counts all lines anew from the store if Counts and Told disagree, which they do only where counting went on while the
//     log was away.
//
// It then appends an event of its own, of type started, from which on an earlier holder's events are refused; if the earlier
// one was faster, it looks again. So a line is told exactly once as long as the log keeps what it has.
//
// Without the log (NATS away, an event under way for more than two seconds) lines are fed and counted as ever, and told later:
// what is counted and not told is known by its number alone, and read from the store again. A log that has lost its events
// begins anew with started; lines told before are not told again, but can be read from the results. An ending batch waits some
// seconds for the log and then ends without it, and whoever follows it gets the end from the store.
//
// The files are written anew by whoever takes on a batch whose end was interrupted. Their ids are stored when they are whole,
// and only then do they become visible, so that there is one output. The counts of a batch that has ended are those of the
// rows in its files.
//
// A batch that is cancelled or expires before its input has passed its checks has no lines, no files, and counts of zero.
//
// Whatever fails that may succeed later, with a store or file storage that is away, is begun again from the row, after a pause.
//
// Left to others: running the jobs (workers), ending those of dead workers and enqueueing what was lost (sweeper), removing
// files that nobody has finished (package files), and the words of rows and errors (package line).
package conductor
