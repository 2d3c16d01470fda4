package site_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/api/internal/site"
)

// budget is how many compressed bytes the page may be, with all that it needs at once.
const budget = 150 << 10

// serve returns a handler of the page alone.
func serve(t *testing.T, o site.Options) http.Handler {
	t.Helper()
	routes, err := site.Routes(o)
	require.NoError(t, err)
	mux := http.NewServeMux()
	for pattern, handler := range routes {
		mux.Handle(pattern, handler)
	}
	return mux
}

func get(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// parts are the files that the page names.
func parts(t *testing.T, index string) []string {
	t.Helper()
	var paths []string
	for _, m := range regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`).FindAllStringSubmatch(index, -1) {
		paths = append(paths, m[1])
	}
	require.Len(t, paths, 4)
	return paths
}

func TestRoutes_WholeAndSmall(t *testing.T) {
	t.Parallel()
	h := serve(t, site.Options{})
	index := get(h, "/")
	require.Equal(t, http.StatusOK, index.Code)
	require.Equal(t, "text/html; charset=utf-8", index.Header().Get("Content-Type"))
	require.Equal(t, "no-cache", index.Header().Get("Cache-Control"))
	sum := get(h, "/", "Accept-Encoding", "gzip").Body.Len()
	for _, path := range parts(t, index.Body.String()) {
		w := get(h, path, "Accept-Encoding", "gzip")
		require.Equal(t, http.StatusOK, w.Code, path)
		require.Contains(t, w.Header().Get("Cache-Control"), "immutable")
		sum += w.Body.Len()
	}
	require.Less(t, sum, budget)
	require.Equal(t, http.StatusNotFound, get(h, "/assets/other.js").Code)
	require.Equal(t, http.StatusNotFound, get(h, "/index.html").Code)
}

func TestRoutes_Compressed(t *testing.T) {
	t.Parallel()
	h := serve(t, site.Options{})
	plain := get(h, "/", "Accept-Encoding", "br, gzip;q=0")
	require.Empty(t, plain.Header().Get("Content-Encoding"))
	require.Equal(t, "Accept-Encoding", plain.Header().Get("Vary"))
	squeezed := get(h, "/", "Accept-Encoding", "br, gzip;q=0.5")
	require.Equal(t, "gzip", squeezed.Header().Get("Content-Encoding"))
	require.NotEqual(t, plain.Header().Get("ETag"), squeezed.Header().Get("ETag"))
	r, err := gzip.NewReader(squeezed.Body)
	require.NoError(t, err)
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, plain.Body.String(), string(text))
}

func TestRoutes_NotModified(t *testing.T) {
	t.Parallel()
	h := serve(t, site.Options{})
	tag := get(h, "/").Header().Get("ETag")
	require.Equal(t, http.StatusNotModified, get(h, "/", "If-None-Match", tag).Code)
	require.Equal(t, http.StatusOK, get(h, "/", "If-None-Match", `"other"`).Code)
}

func TestRoutes_Policy(t *testing.T) {
	t.Parallel()
	h := serve(t, site.Options{WebSockets: []string{"wss://nats.example.org:443/x", "ws://127.0.0.1:8081"}})
	index := get(h, "/")
	policy := index.Header().Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'self'; connect-src 'self' ws://127.0.0.1:8081 wss://nats.example.org:443;")
	require.Contains(t, policy, "frame-ancestors 'none'")
	require.NotContains(t, policy, "unsafe")
	require.NotRegexp(t, `(?i)<style|<script>| style=| on[a-z]+=|//`, strings.Replace(index.Body.String(), "<!doctype html>", "", 1))
	require.Contains(t, get(serve(t, site.Options{}), "/").Header().Get("Content-Security-Policy"), "connect-src 'self';")
	for _, bad := range []string{"http://127.0.0.1", "ws://", "ws://a b", "ws://a;script-src *", "ws://a'b,c"} {
		_, err := site.Routes(site.Options{WebSockets: []string{bad}})
		require.ErrorContains(t, err, "WebSocket address", bad)
	}
}

func TestRoutes_AsksForAKey(t *testing.T) {
	t.Parallel()
	require.Contains(t, get(serve(t, site.Options{}), "/").Body.String(), `data-keys="on"`)
	require.Contains(t, get(serve(t, site.Options{Open: true}), "/").Body.String(), `data-keys="off"`)
}
