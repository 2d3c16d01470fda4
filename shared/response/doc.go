// Package response turns the body of POST /v1/responses into the chat completion body that means the same, which is what
// upstreams are asked. The field names are those of OpenAI's public types (openai-node, resources/responses).
//
// It promises that what it accepts becomes a chat completion with a model and messages, that what it refuses is named by its
// path, and that values which need no new shape keep their bytes. Parameters are the single list of what is done with which
// parameter. What a response looks like to its caller is left to the API.
package response
