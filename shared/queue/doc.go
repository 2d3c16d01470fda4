// Package queue carries completion tasks over Redis with asynq.
//
// What it promises beyond asynq, each shown by the contract suite in queuetest:
//
//   - An idle server takes a task at once when woken, instead of at its next poll (park.go).
//   - A finished task whose acknowledgement failed is acknowledged later, not run again (ack.go).
//   - A task of a dead server is delivered again after seconds, and without costing a try (Client.Revive).
//   - A task is never given up: whatever the handler answers, short of done, it comes again. The store decides when a job
//     has failed for good.
//   - Tenants share a lane fairly: whoever has tasks waiting gets every turn that is theirs, one task each round, so
//     100,000 tasks of one tenant do not delay the first of another (fair.go, take.go).
//   - A tenant runs no more tasks of a lane at once than Client.SetRunning allows, on all servers together, and holds up
//     nobody else meanwhile; and no more of its tasks wait than Client.Admit allows, however many callers ask at once.
//   - The handler's context belongs to the handler: it ends when the server stops, not when asynq loses a lease.
//
// What it leaves to others: a task may be delivered twice, also at the same time, so the handler claims the job in the
// store first; and Redis may lose tasks, so the sweeper enqueues again what the store has and the queue does not.
//
// Waiting tasks lie in lists of ours, one for each tenant. Asynq's pending list is only where they arrive, so asynq's own
// tools (Inspector, asynqmon) show a waiting task until the first server or Admit has looked, and then no more;
// Client.Depth counts all of them. For the same reason every server of a lane has to be one of these: a plain asynq
// server would take tasks past the turns and limits, and never see those that are sorted.
//
// Delays are kept in whole seconds: a delayed task is never early, and late by up to two seconds.
//
// Leases are written with the clock of the server and judged with the clock of whoever calls Revive: keep the clocks of
// all machines within 5 seconds of each other.
package queue
