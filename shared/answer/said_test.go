package answer_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/answer"
)

func TestSaid(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ result, want string }{
		"Nothing":       {``, ``},
		"No choice":     {`{"choices":[]}`, ``},
		"Content":       {`{"choices":[{"message":{"role":"assistant","content":"a\u00e9\ud83d \n"}},{"message":{"content":"b"}}]}`, `"a\u00e9\ud83d \n"`},
		"Empty":         {`{"choices":[{"message":{"content":""}}]}`, `""`},
		"Null":          {`{"choices":[{"message":{"content":null,"tool_calls":[]}}]}`, ``},
		"Refusal":       {`{"choices":[{"message":{"content":null,"refusal":"no"}}]}`, `"no"`},
		"Refusal below": {`{"choices":[{"message":{"content":"","refusal":"no"}}]}`, `"no"`},
		"Said anyway":   {`{"choices":[{"message":{"content":"a","refusal":"no"}}]}`, `"a"`},
		"Parts":         {`{"choices":[{"message":{"content":[{"type":"thinking"},{"type":"text","text":"a\n"},{"type":"text","text":"b"}]}}]}`, `"a\nb"`},
		"No texts":      {`{"choices":[{"message":{"content":[]}}]}`, ``},
		"Number":        {`{"choices":[{"message":{"content":7}}]}`, ``},
		"Raw newline":   {"{\"choices\":[{\"message\":{\"content\":\"a\nb\"}}]}", `"a\nb"`},
	} {
		require.Equal(t, row.want, string(answer.Said(json.RawMessage(row.result))), name)
	}
}

func FuzzSaid(f *testing.F) {
	f.Add([]byte(`{"choices":[{"message":{"content":[{"text":"a"}],"refusal":"b"}}]}`))
	f.Fuzz(func(t *testing.T, result []byte) {
		said := answer.Said(result)
		if said == nil {
			return
		}
		var text string
		require.NoError(t, json.Unmarshal(said, &text), "%q", said)
	})
}
