package response

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func TestCheckNative(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		`{"model":"m","input":"hi"}`, `{"model":"m","previous_response_id":"resp_1"}`, `{"model":"m","prompt":{"id":"p"}}`,
		`{"model":"m","input":[{"type":"web_search_call","id":"ws_1"},{"role":"user","content":5}],"tools":[{"type":"web_search"}],"truncation":"auto","n":2,"conversation":null,"tools2":1}`,
		`{"model":"m","input":"hi","context_management":[{"type":"compaction"}],"background":null}`,
	} {
		require.NoError(t, CheckNative(json.RawMessage(good)), good)
	}
	for bad, param := range map[string]string{
		`[]`: "", `{"input":"hi"}`: "model", `{"model":" ","input":"hi"}`: "model", `{"model":null,"input":"hi"}`: "model", `{"model":"m"}`: "input",
		`{"model":"m","input":5}`: "input", `{"model":"m","input":"a","input":"b"}`: "input", `{"model":"m","input":"a","conversation":"c"}`: "conversation",
		`{"model":"m","input":["a"]}`: "input[0]", `{"model":"m","input":[{"role":"user"},{"type":"item_reference","id":"rs_1"}]}`: "input[1].id",
		`{"model":"m","input":"a","tools":{}}`: "tools", `{"model":"m","input":"a","temperature":"hot"}`: "temperature",
	} {
		var e *completion.Error
		require.ErrorAs(t, CheckNative(json.RawMessage(bad)), &e, bad)
		require.Equal(t, completion.CodeInvalidRequest, e.Code)
		require.Equal(t, param, e.Param, bad)
	}
	require.Equal(t, completion.CodeInvalidJSON, completion.AsError(CheckNative(json.RawMessage(`{`))).Code)
}
