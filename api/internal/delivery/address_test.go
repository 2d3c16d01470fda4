package delivery

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"https://example.org", "https://example.org:8443/a/b?c=d", "https://93.184.216.34/", "https://[2606:2800:220:1::1]/x", "https://xn--bcher-kva.example"} {
		require.NoError(t, CheckURL(good, false), good)
		require.NoError(t, CheckURL(good, true), good)
	}
	for _, private := range []string{"http://example.org", "https://127.0.0.1/x", "https://[::1]:1", "http://10.1.2.3", "https://169.254.169.254", "https://[::ffff:10.0.0.1]", "https://192.168.1.1:65535"} {
		require.Error(t, CheckURL(private, false), private)
		require.NoError(t, CheckURL(private, true), private)
	}
	for _, bad := range []string{
		"", "example.org", "//example.org", "https://", "https://:443", "https:example.org", "ftp://example.org", "file:///etc/passwd", "gopher://example.org", "javascript:x",
		"https://user@example.org", "https://user:pass@example.org", "https://example.org#x", "https://example.org:0", "https://example.org:70000", "https://example.org:x",
		"https://exa mple.org", "https://example.org/\n", "https://[::1", "https://" + strings.Repeat("x", maxURL),
	} {
		for _, private := range []bool{false, true} {
			err := CheckURL(bad, private)
			require.Error(t, err, bad)
			require.Equal(t, completion.CodeInvalidRequest, completion.AsError(err).Code)
			require.Equal(t, "url", completion.AsError(err).Param)
		}
	}
}

// FuzzCheckURL: what is accepted can be sent to, and names no address that is not public.
func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{"https://example.org/x?y#z", "http://127.0.0.1", "https://[::ffff:127.0.0.1]:1", "https://u:p@h", "https://[fe80::1%25eth0]/", "https://0x7f.1", "//h", "https://%00"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, raw string, private bool) {
		if CheckURL(raw, private) != nil {
			return
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, raw, http.NoBody)
		require.NoError(t, err)
		u, err := url.Parse(raw)
		require.NoError(t, err)
		require.Nil(t, u.User)
		require.NotEmpty(t, req.URL.Hostname())
		require.True(t, u.Scheme == "https" || private && u.Scheme == "http")
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !private {
			require.NoError(t, public.SafeAddr(ip))
		}
	})
}
