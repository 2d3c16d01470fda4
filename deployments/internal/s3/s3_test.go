package s3

import (
	"net/http"
	"net/url"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServer_Answers(t *testing.T) {
	t.Parallel()
	path, err := Build(t.Context())
	require.NoError(t, err)
	again, err := Build(t.Context())
	require.NoError(t, err)
	require.Equal(t, path, again)
	s, err := New(t.Context(), path)
	require.NoError(t, err)
	u, err := url.Parse(s.URL())
	require.NoError(t, err)
	require.NotEmpty(t, u.User.Username())
	u.User = nil
	resp, err := http.Get(u.String())
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusForbidden, resp.StatusCode, "without a key")
	require.NoError(t, s.Close())
	require.NoDirExists(t, s.dir)
	_, err = http.Get(u.String())
	require.Error(t, err)
}

func TestNew_NoServer(t *testing.T) {
	t.Parallel()
	_, err := New(t.Context(), os.Args[0]+".none")
	require.ErrorContains(t, err, "start S3")
}
