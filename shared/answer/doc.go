// Package answer folds the chunks of a chat completion stream into the chat.completion that they amount to, and cuts a
// completion into chunks again.
//
// It promises that no byte of what an upstream said is decoded or changed on the way (I4): strings are joined as they
// were escaped. It knows the shape of chunks (choices, deltas, indexed arrays), not what their fields mean; limits on
// size are the caller's.
package answer
