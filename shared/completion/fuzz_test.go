package completion_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func FuzzValidToken(f *testing.F) {
	for _, s := range []string{"", "a", "job_1", "A", "a.b", "*", ">", "é", "a\n", "a\x00", strings.Repeat("z", 64), strings.Repeat("z", 65), completion.NewJobID()} {
		f.Add(s)
	}
	token := regexp.MustCompile(`\A[a-z0-9_-]{1,64}\z`)
	f.Fuzz(func(t *testing.T, s string) {
		require.Equal(t, token.MatchString(s), completion.ValidToken(s))
	})
}

// FuzzEvent decodes an event and encodes it again: what both say is the same.
func FuzzEvent(f *testing.F) {
	for _, s := range []string{
		`{"type":"started","seq":1,"attempt":1,"at":"2026-01-02T02:04:05Z","model":"<m>","upstream":"u"}`,
		`{"type":"delta","seq":2,"attempt":1,"at":"2026-01-02T02:04:05.000000001+23:59","chunks":[{"a":"\ud83d"},null,7]}`,
		`{"type":"failed","at":"0001-01-01T00:00:00Z","retry_at":"2026-01-02T02:04:05Z","error":{"code":"x","message":"\u2028","retryable":true},"partial":null,"usage":{}}`,
		`{"type":"","chunks":[]}`, `null`, `{}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := completion.Record{Seq: 1, Data: data}.Event()
		if err != nil {
			require.ErrorContains(t, err, "decode event 1")
			return
		}
		if strings.ContainsFunc(string(e.Type), func(r rune) bool { return r < 'a' || r > 'z' }) {
			return // Encode writes the types of this package only
		}
		b, err := e.Encode()
		require.NoError(t, err)
		require.True(t, json.Valid(b), "%s", b)
		again, err := completion.Record{Data: b}.Event()
		require.NoError(t, err)
		twice, err := again.Encode()
		require.NoError(t, err)
		require.Equal(t, string(b), string(twice))
	})
}
