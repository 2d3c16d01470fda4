// Package queue carries completion tasks over Redis with asynq.
//
// What it promises beyond asynq, each shown by the contract suite in queuetest:
//
//   - An idle server takes a task at once when woken, instead of at its next poll (park.go).
//   - A finished task whose acknowledgement failed is acknowledged later, not run again (ack.go).
//   - A task of a dead server is delivered again after seconds, and without costing a try (Client.Revive).
//   - A task is never given up: whatever the handler answers, short of done, it comes again. The store decides when a job
//     has failed for good.
//   - The handler's context belongs to the handler: it ends when the server stops, not when asynq loses a lease.
//
// What it leaves to others: a task may be delivered twice, also at the same time, so the handler claims the job in the
// store first; and Redis may lose tasks, so the sweeper enqueues again what the store has and the queue does not.
//
// Delays are kept in whole seconds: a delayed task is never early, and late by up to two seconds.
//
// Leases are written with the clock of the server and judged with the clock of whoever calls Revive: keep the clocks of
// all machines within 5 seconds of each other.
package queue
