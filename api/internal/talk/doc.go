// Package talk keeps conversations going: it takes in what is said, has it answered by jobs like any others, and looks after
// what follows from their ends. A conversation is a tree of messages, of which one path, down to the head, goes on; an answer
// has its job's id.
//
// # Invariants
//
// The tests that prove an invariant carry its number.
//
//   - C1 Order: a message gets its seq once, under the conversation's lock; of what was accepted no seq is missing and none is
//     there twice; what a message follows has a lower one.
//   - C2 Once: nothing that was accepted is there twice, however often its request is repeated with the same idempotency key.
//   - C3 One turn at a time: of a conversation's jobs at most one is in the queue or runs; the others are held, and begin in
//     the order of their messages.
//   - C4 All or nothing: the messages of a turn, its job, the head, and the ends of the turns that it cancels are written in one
//     transaction. A request that is refused has changed nothing.
//   - C5 Nothing comes back: what was deleted is in no list, no search and no prompt any more, however its job ends.
//   - C6 The prompt is the path: a turn is sent the texts of the path that it follows, the latest that fit, in their order and as
//     they stand when it begins; its job keeps what was sent.
//   - C7 Nothing waits for ever: a held turn begins when those before it have ended, whoever dies meanwhile.
//   - C8 An answer is its job's: state, text, usage and error are those of the job, at any time, and stay when it is gone.
//   - C9 Nothing is rewritten: a message that has ended changes no more, but for its rating. Another version is another message.
//
// What decides all of this is the store, in one transaction with the conversation locked (store.Converse). What is left for
// afterwards is told, and found again if nobody was told: the sweeper enqueues what was not, workers look for cancels, and the
// Keeper, of which every API process runs one, settles answers, names conversations and releases held turns.
package talk
