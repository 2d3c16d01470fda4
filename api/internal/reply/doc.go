// Package reply shows a job to callers of /v1/responses: Object renders it as a Response, Stream its log as the events of a
// response. Field names and shapes are those of OpenAI's public types (openai-node, resources/responses).
//
// It promises that the same log gives the same events with the same numbers however its chunks travelled together, so that
// a viewer can resume after any of them; that the deltas of a stream amount to the output of the object at its end (I4); and
// that text keeps the bytes that the upstream sent. Where jobs and logs come from, and how events reach a viewer, is left to
// the caller.
package reply
