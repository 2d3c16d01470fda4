//go:build cluster

package queue_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"sluice/shared/queue"
	"sluice/shared/queue/queuetest"
	"sluice/shared/testkit"
)

// TestQueue_Cluster is the contract over a Redis Cluster, whose keys are spread over three masters. The tests take turns:
// a cluster has one database, which each finds empty.
func TestQueue_Cluster(t *testing.T) {
	queuetest.RunInTurn(t, empty(testkit.StartRedisCluster(t).URL()))
}

// TestQueue_Sentinel is the contract over a Redis that sentinels watch.
func TestQueue_Sentinel(t *testing.T) {
	queuetest.RunInTurn(t, empty(testkit.StartRedisSentinels(t).URL()))
}

// empty opens the Redis at url, as the programs do, and empties it.
func empty(url string) func(testing.TB) redis.UniversalClient {
	return func(t testing.TB) redis.UniversalClient {
		t.Helper()
		rc, err := queue.Open(url, 0)
		require.NoError(t, err)
		t.Cleanup(func() { _ = rc.Close() })
		require.NoError(t, queuetest.Empty(t.Context(), rc))
		return rc
	}
}
