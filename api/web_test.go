package api_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/api"
	"sluice/api/internal/blob"
	"sluice/shared/testkit"
)

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, path := range []string{"/v1/jobs", "/v1/nothing", "/healthz", "/docs"} {
		resp, _ := s.do(t, http.MethodGet, path, "")
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			require.Equal(t, want, resp.Header.Get(name), "%s of %s", name, path)
		}
		require.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'none'")
		require.NotEmpty(t, resp.Header.Get("X-Request-Id"))
		require.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"), "CORS is off")
		require.Empty(t, resp.Header.Get("Server"))
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	const good, evil = "https://app.example", "https://evil.example"
	closed := setup(t)
	s := setup(t, func(c *api.Config) { c.CORSOrigins = []string{good} })
	for _, c := range []struct {
		server  *server
		origin  string
		allowed bool
	}{{closed, good, false}, {s, good, true}, {s, evil, false}} {
		resp, _ := c.server.do(t, http.MethodOptions, "/v1/jobs", "", "Origin", c.origin, "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "authorization,content-type")
		require.Equal(t, c.allowed, resp.Header.Get("Access-Control-Allow-Origin") == c.origin, c.origin)
		resp, body := c.server.do(t, http.MethodPost, "/v1/jobs", chat, "Origin", c.origin, "Sec-Fetch-Site", "cross-site")
		require.Equal(t, c.allowed, resp.StatusCode == http.StatusAccepted, body)
		require.Equal(t, c.allowed, resp.Header.Get("Access-Control-Allow-Origin") == c.origin)
		require.Empty(t, resp.Header.Get("Access-Control-Allow-Credentials"))
	}
}

// Without keys, only this machine's own pages and programs get an answer.
func TestAuthOff(t *testing.T) {
	t.Parallel()
	s := setup(t, func(c *api.Config) { c.Auth = "off" })
	resp, body := s.do(t, http.MethodPost, "/v1/jobs", chat, "Authorization", "")
	require.Equal(t, http.StatusAccepted, resp.StatusCode, body)
	require.Contains(t, body, "completions.local.")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/jobs", http.NoBody)
	require.NoError(t, err)
	req.Host = "evil.example"
	resp, err = http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusForbidden, resp.StatusCode, "a name that was pointed here")
}

func TestConfig_Validate_Web(t *testing.T) {
	t.Parallel()
	err := api.Config{
		HTTPAddr: "0.0.0.0:8080", Auth: "off", TLSCert: "x", CORSOrigins: []string{"app.example", "https://a/b", "*"},
	}.Validate()
	for _, want := range []string{"loopback", "TLS", "credential TTL", `"app.example"`, `"https://a/b"`, `"*"`} {
		require.ErrorContains(t, err, want)
	}
	for _, addr := range []string{"127.0.0.1:1", "[::1]:1", "localhost:1"} {
		require.NotContains(t, api.Config{HTTPAddr: addr, Auth: "off"}.Validate().Error(), "loopback", addr)
	}
	for _, addr := range []string{":8080", "10.0.0.1:1", "example:1", "x"} {
		require.ErrorContains(t, api.Config{HTTPAddr: addr, Auth: "off"}.Validate(), "loopback", addr)
		require.NotContains(t, api.Config{HTTPAddr: addr, Auth: "on"}.Validate().Error(), "loopback", addr)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key := testkit.Certificate(t)
	pem, err := os.ReadFile(cert)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))
	s := setup(t, func(c *api.Config) { c.TLSCert, c.TLSKey = cert, key })
	require.Contains(t, s.url, "https://")
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/healthz", http.NoBody)
	require.NoError(t, err)
	resp, err := (&http.Client{Transport: transport}).Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NotEmpty(t, resp.Header.Get("Strict-Transport-Security"))
	_, err = api.New(api.Config{HTTPAddr: "127.0.0.1:0", TLSCert: key, TLSKey: cert, Files: blob.Config{Dir: t.TempDir()}}, s.back, nil)
	require.ErrorContains(t, err, "SLUICE_TLS_CERT")
}
