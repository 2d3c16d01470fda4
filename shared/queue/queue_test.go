package queue_test

import (
	"os"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/embedded"
	"sluice/shared/queue/queuetest"
	"sluice/shared/testkit"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(victimEnv); address != "" {
		victim(address)
		return
	}
	goleak.VerifyTestMain(m)
}

func TestQueue_Embedded(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, openEmbedded)
}

func TestQueue_Redis(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, testkit.Redis)
}

func openEmbedded(t testing.TB) redis.UniversalClient {
	t.Helper()
	srv, err := embedded.StartRedis()
	require.NoError(t, err)
	t.Cleanup(srv.Close)
	rc := srv.Client(0)
	t.Cleanup(func() { _ = rc.Close() })
	return rc
}
