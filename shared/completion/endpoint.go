package completion

import "strings"

// Endpoint says which of the OpenAI endpoints a job's request is a body of, by its path.
type Endpoint string

// The endpoints. What a job's events and its result look like follows from it: chat.completion chunks and objects for chat
// completions and responses, text_completion ones for completions, and for embeddings a list, without deltas.
const (
	EndpointChat        Endpoint = "/v1/chat/completions"
	EndpointCompletions Endpoint = "/v1/completions"
	EndpointEmbeddings  Endpoint = "/v1/embeddings"
	EndpointResponses   Endpoint = "/v1/responses"
)

// Endpoints are all endpoints.
var Endpoints = []Endpoint{EndpointChat, EndpointCompletions, EndpointEmbeddings, EndpointResponses}

// EndpointNames are the names of all endpoints, for people.
func EndpointNames() string {
	names := make([]string, len(Endpoints))
	for i, e := range Endpoints {
		names[i] = string(e)
	}
	return strings.Join(names, ", ")
}

// Streams reports whether an answer of this endpoint comes in parts.
func (e Endpoint) Streams() bool { return e != EndpointEmbeddings }
