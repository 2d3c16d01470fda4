package completion_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func TestMessage_Text(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ content, want string }{
		"Nothing":  {``, ""},
		"Null":     {`null`, ""},
		"String":   {`"h\u00e9\n"`, "hé\n"},
		"Parts":    {`[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u"}},{"type":"text","text":"b"}]`, "a\nb"},
		"Odd part": {`[{"text":7},{"text":"b"}]`, "b"},
		"Strings":  {`["a"]`, ""},
		"Number":   {`7`, ""},
		"Broken":   {`"a`, ""},
	} {
		m := completion.Message{Content: json.RawMessage(row.content)}
		require.Equal(t, row.want, m.Text(), name)
	}
}
