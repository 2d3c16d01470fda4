package golden

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLacks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ want, have, lacks string }{
		"same":            {`{"a":[1,{"b":"x"}],"c":null}`, `{"c":null,"a":[1,{"b":"x"}]}`, ""},
		"more":            {`{"a":[{"b":1}]}`, `{"a":[{"b":1,"new":2}],"new":{}}`, ""},
		"field gone":      {`{"a":{"b":1}}`, `{"a":{}}`, "x.a.b is not there"},
		"another value":   {`{"a":1}`, `{"a":2}`, "x.a is 2"},
		"another type":    {`{"a":1}`, `{"a":"1"}`, "x.a is 1"},
		"null is no text": {`{"a":""}`, `{"a":null}`, "x.a is"},
		"no object":       {`{"a":{}}`, `{"a":[]}`, "no object"},
		"longer list":     {`{"a":[1]}`, `{"a":[1,2]}`, "x.a has not"},
		"no list":         {`{"a":[1]}`, `{"a":1}`, "x.a has not"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want, have any
			require.NoError(t, json.Unmarshal([]byte(c.want), &want))
			require.NoError(t, json.Unmarshal([]byte(c.have), &have))
			err := lacks(want, have, "x")
			if c.lacks == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.lacks)
		})
	}
}

// TestCheck reads a format that has two versions.
func TestCheck(t *testing.T) {
	t.Parallel()
	var read []string
	Check(t, "sample", []byte(`{"a":1,"b":2}`), func(_ testing.TB, data []byte) { read = append(read, string(data)) })
	require.Equal(t, []string{`{"a":1}`, `{"a":1,"b":2}`}, read)
}
