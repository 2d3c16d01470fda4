package completion

import (
	"encoding/json"
	"time"
)

// ModelList is what an upstream says it serves.
type ModelList struct {
	Upstream string          // its name, never its address
	Models   json.RawMessage // an array of OpenAI's model objects, in the order of their ids; nil: it does not say what it serves
	Digest   string          // of Models: equal ones are the same; empty: it does not say what it serves
	Native   bool            // it is asked for Responses as such, not for chat completions that mean the same
	SeenAt   time.Time       // when it last said so
}

// ModelListAge is how long a list counts that the upstream has not repeated.
const ModelListAge = 24 * time.Hour
