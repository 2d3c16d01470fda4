package api

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/api/internal/meter"

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

// A handler that panics is answered for, or its connection breaks, if it asks for that.
func TestWrap_Panic(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			_, _ = w.Write([]byte("half")) // what follows matters
			panic(http.ErrAbortHandler)
		}
		panic("oops")
	}), meter.New(meter.View{}), slog.New(slog.DiscardHandler)))
	defer server.Close()
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	resp, err := server.Client().Get(server.URL + "/oops")
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	require.Contains(t, string(text), "internal_error")
	require.NotContains(t, string(text), "oops")
	if resp, err = server.Client().Get(server.URL + "/half"); err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	require.Error(t, err)
}
