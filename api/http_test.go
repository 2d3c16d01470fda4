package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzRequestID checks what is echoed to clients and written to logs.
func FuzzRequestID(f *testing.F) {
	for _, id := range []string{"", "a", "req 1", "é", "a\r\nSet-Cookie: x", "\x00", "\x7f", "~", strings.Repeat("x", maxRequestID), strings.Repeat("x", maxRequestID+1)} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, given string) {
		id := requestID(&http.Request{Header: http.Header{"X-Request-Id": {given}}})
		require.NotEmpty(t, id)
		require.LessOrEqual(t, len(id), maxRequestID)
		plain := !strings.ContainsFunc(given, func(r rune) bool { return r < '!' || r > '~' })
		require.Equal(t, plain && given != "" && len(given) <= maxRequestID, id == given)
		require.NotContains(t, id, "\n")
		require.True(t, id == given || strings.HasPrefix(id, "req_"))
	})
}
