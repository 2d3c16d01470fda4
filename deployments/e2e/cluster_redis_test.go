//go:build cluster

package e2e_test

import (
	"testing"
	"time"

	"sluice/shared/testkit"
)

// TestCluster_Sentinel_I1 kills the Redis that the sentinels call master, while jobs run and come. What was not copied yet
// is lost, and brought back from the database.
func TestCluster_Sentinel_I1(t *testing.T) {
	redis := testkit.StartRedisSentinels(t)
	c := &cluster{nats: startNATS(t)}
	in := startRuin(t, c, "SLUICE_REDIS_URL="+redis.URL(), "SLUICE_EVENT_BYTES=67108864")
	in.endure(t, 2, []blow{{"Redis master killed", false, func(_ *ruin, t *testing.T) time.Time {
		redis.KillMaster(t)
		return time.Now()
	}}})
}

// TestCluster_Redis_I1 kills the masters of a Redis Cluster that have a lane, while jobs run and come, of a tenant with
// limits, and a batch goes on beside them.
func TestCluster_Redis_I1(t *testing.T) {
	redis := testkit.StartRedisCluster(t)
	c := &cluster{nats: startNATS(t)}
	in := startRuin(t, c, "SLUICE_REDIS_URL="+redis.URL(), "SLUICE_EVENT_BYTES=67108864")
	limits := []string{"tenants", "set", "local", "--submits-per-second", "1000", "--queued", "100000", "--running", "40"}
	program{name: "sluice", args: limits, env: c.env}.succeed(t)
	const lines = 3000
	batch := in.apis[0].startBatch(t, writeLines(t, lines))
	in.endure(t, 1, []blow{
		{"master of the interactive lane killed", false, func(_ *ruin, t *testing.T) time.Time {
			redis.KillMaster(t, "{interactive}")
			return time.Now()
		}},
		{"master of the batch lane killed", false, func(_ *ruin, t *testing.T) time.Time {
			redis.KillMaster(t, "{batch}")
			return time.Now()
		}},
	})
	in.apis[1].whole(t, batch, lines)
}
