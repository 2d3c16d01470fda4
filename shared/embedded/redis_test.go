package embedded_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/embedded"
)

func TestRedis_LongPipeline(t *testing.T) {
	t.Parallel()
	srv, err := embedded.StartRedis()
	require.NoError(t, err)
	defer srv.Close()
	rc := srv.Client(1)
	defer func() { require.NoError(t, rc.Close()) }()
	pipe, value := rc.Pipeline(), strings.Repeat("x", 10<<10)
	for range 1000 { // far more than any buffer, both ways
		pipe.Set(t.Context(), "key", value, 0)
		pipe.Get(t.Context(), "key")
	}
	cmds, err := pipe.Exec(t.Context())
	require.NoError(t, err)
	require.Len(t, cmds, 2000)
}

func TestRedis_KeysExpire(t *testing.T) {
	t.Parallel()
	srv, err := embedded.StartRedis()
	require.NoError(t, err)
	defer srv.Close()
	rc := srv.Client(0)
	defer func() { require.NoError(t, rc.Close()) }()
	require.NoError(t, rc.Set(t.Context(), "key", 1, 10*time.Millisecond).Err())
	require.Eventually(t, func() bool { return rc.Exists(t.Context(), "key").Val() == 0 }, time.Minute, 5*time.Millisecond)
}

func TestRedis_CloseEndsClients(t *testing.T) {
	t.Parallel()
	srv, err := embedded.StartRedis()
	require.NoError(t, err)
	rc := srv.Client(0)
	require.NoError(t, rc.Ping(t.Context()).Err())
	srv.Close()
	for range 3 {
		require.Error(t, rc.Ping(t.Context()).Err(), "nothing starts it again")
	}
	require.NoError(t, rc.Close())
}
