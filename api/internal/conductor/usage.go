package conductor

import (
	"encoding/json"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// use adds what an upstream says that a line has cost, in the words of any of the endpoints.
func use(u *completion.BatchUsage, said json.RawMessage) {
	usage := gjson.ParseBytes(said)
	tokens := func(paths ...string) int64 {
		for _, p := range paths {
			if n := usage.Get(p).Int(); n > 0 {
				return n
			}
		}
		return 0
	}
	u.Input += tokens("prompt_tokens", "input_tokens")
	u.Cached += tokens("prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens")
	u.Output += tokens("completion_tokens", "output_tokens")
	u.Reasoning += tokens("completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens")
}
