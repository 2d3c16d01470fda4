// Package answer folds the chunks of a chat completion stream, or of a text completion's, into the completion that they
// amount to, and the events of a response's stream into the Response; it cuts either into chunks again, and says what one
// completion adds to another that it begins with.
//
// It promises that no byte of what an upstream said is decoded or changed on the way (I4): strings are joined as they
// were escaped. It knows the shape of chunks (choices, deltas, indexed arrays) and of a response's items, not what their
// fields mean; limits on size are the caller's.
package answer
