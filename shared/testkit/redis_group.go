package testkit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// redisNode is a redis-server of a group, which the others reach over TCP.
type redisNode struct {
	*RedisServer
	port int
}

func (n redisNode) addr() string { return fmt.Sprintf("127.0.0.1:%d", n.port) }

// client returns a client of that server alone.
func (n redisNode) client(t testing.TB) *redis.Client {
	t.Helper()
	return n.Client(t).(*redis.Client)
}

// redisPort finds a port that is free, with that above it by 10,000 which Redis takes for its cluster bus. Both lie below
// those that the system gives to clients, so that a server can come back to them.
func redisPort(t testing.TB) int {
	t.Helper()
	free := func(port int) bool {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // at once
		return err == nil && l.Close() == nil
	}
	for range 1000 {
		if port := 15000 + rand.IntN(7000); free(port) && free(port+10000) {
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

func startRedisNode(t testing.TB, args ...string) redisNode {
	t.Helper()
	port := redisPort(t)
	args = append([]string{"--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"}, args...)
	return redisNode{startRedis(t, args...), port}
}

// RedisCluster is a Redis Cluster of one test's own: three masters and a replica of each.
type RedisCluster struct{ nodes []redisNode }

const (
	redisMasters = 3
	redisSlots   = 16384
	// groupLimit is how long servers may take to find each other, or to agree on another master.
	groupLimit = 30 * time.Second
	groupPoll  = 20 * time.Millisecond
)

// StartRedisCluster starts a cluster and stops it at the end of the test. It notices a dead master after two seconds.
func StartRedisCluster(t testing.TB) *RedisCluster {
	t.Helper()
	c := &RedisCluster{}
	for range 2 * redisMasters {
		c.nodes = append(c.nodes, startRedisNode(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000"))
	}
	ctx := t.Context()
	ids := make([]string, redisMasters)
	for i, n := range c.nodes {
		rc := n.client(t)
		if i < redisMasters {
			ids[i] = rc.ClusterMyID(ctx).Val()
			from, to := i*redisSlots/redisMasters, (i+1)*redisSlots/redisMasters-1
			require.NoError(t, rc.ClusterAddSlotsRange(ctx, from, to).Err())
		}
		require.NoError(t, rc.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
		require.NoError(t, c.nodes[0].client(t).ClusterMeet(ctx, "127.0.0.1", fmt.Sprint(n.port)).Err())
	}
	for i, n := range c.nodes[redisMasters:] {
		rc := n.client(t)
		require.Eventually(t, func() bool { return rc.ClusterReplicate(ctx, ids[i]).Err() == nil }, groupLimit, groupPoll)
	}
	for _, n := range c.nodes {
		require.Eventually(t, func() bool { return n.whole(ctx) }, groupLimit, groupPoll, "the cluster does not form")
	}
	return c
}

// whole reports whether the node knows all others, and who has which slots.
func (n redisNode) whole(ctx context.Context) bool {
	rc := redis.NewClient(&redis.Options{Addr: n.addr()})
	defer func() { _ = rc.Close() }()
	info := rc.ClusterInfo(ctx).Val()
	shards, err := rc.ClusterSlots(ctx).Result() //nolint:staticcheck // it says who serves; ClusterShards lists the dead too
	if err != nil || !strings.Contains(info, "cluster_state:ok") || len(shards) != redisMasters {
		return false
	}
	for _, s := range shards {
		if len(s.Nodes) != 2 {
			return false
		}
	}
	return true
}

// URL is the cluster's address.
func (c *RedisCluster) URL() string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, n.addr())
	}
	return "redis-cluster://" + strings.Join(addrs, ",")
}

// Client returns a client that is closed at the end of the test.
func (c *RedisCluster) Client(t testing.TB) redis.UniversalClient {
	t.Helper()
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, n.addr())
	}
	rc := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rc.Close() })
	return rc
}

// KillMaster kills the master that has the key, waits until its replica has taken over, and starts it again, as a replica.
func (c *RedisCluster) KillMaster(t testing.TB, key string) {
	t.Helper()
	ctx := t.Context()
	slot := int(c.nodes[0].client(t).ClusterKeySlot(ctx, key).Val())
	old := c.master(ctx, slot, "")
	require.NotNil(t, old, "nobody has the key")
	old.Kill(t)
	require.Eventually(t, func() bool { return c.master(ctx, slot, old.addr()) != nil }, groupLimit, groupPoll, "no replica takes over")
	old.Start(t)
	for _, n := range c.nodes {
		require.Eventually(t, func() bool { return n.whole(ctx) }, groupLimit, groupPoll, "the old master does not come back")
	}
}

// master is the node that has the slot, by what another than not says; nil if nobody has.
func (c *RedisCluster) master(ctx context.Context, slot int, not string) *redisNode {
	for _, asked := range c.nodes {
		if asked.addr() == not {
			continue
		}
		rc := redis.NewClient(&redis.Options{Addr: asked.addr(), MaxRetries: -1})
		shards := rc.ClusterSlots(ctx).Val() //nolint:staticcheck // as in whole
		_ = rc.Close()
		for _, s := range shards {
			if slot < s.Start || slot > s.End || s.Nodes[0].Addr == not {
				continue
			}
			for i := range c.nodes {
				if c.nodes[i].addr() == s.Nodes[0].Addr {
					return &c.nodes[i]
				}
			}
		}
	}
	return nil
}

// RedisSentinels are a Redis with two replicas of one test's own, and three sentinels that watch it.
type RedisSentinels struct {
	nodes     []redisNode
	sentinels []string // their addresses
}

// masterName is what the sentinels call the Redis.
const masterName = "sluice"

// StartRedisSentinels starts the servers and stops them at the end of the test. The sentinels notice a dead master after
// a second.
func StartRedisSentinels(t testing.TB) *RedisSentinels {
	t.Helper()
	s := &RedisSentinels{nodes: []redisNode{startRedisNode(t)}}
	for range 2 {
		s.nodes = append(s.nodes, startRedisNode(t, "--replicaof", fmt.Sprintf("127.0.0.1 %d", s.nodes[0].port)))
	}
	for range 3 {
		s.sentinels = append(s.sentinels, startSentinel(t, s.nodes[0].port))
	}
	for _, addr := range s.sentinels {
		require.Eventually(t, func() bool { return s.agreed(t.Context(), addr) }, groupLimit, groupPoll, "the sentinels do not find each other")
	}
	return s
}

func startSentinel(t testing.TB, master int) (addr string) {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	require.NoError(t, err, "this test needs the program redis-server in PATH")
	dir, port := t.TempDir(), redisPort(t)
	conf := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nlogfile log\nsentinel monitor %[3]s 127.0.0.1 %d 2\n"+
		"sentinel down-after-milliseconds %[3]s 1000\nsentinel failover-timeout %[3]s 5000\n", port, dir, masterName, master)
	path := filepath.Join(dir, "sentinel.conf")
	require.NoError(t, os.WriteFile(path, []byte(conf), 0o600))
	cmd := exec.Command(bin, path, "--sentinel") //nolint:noctx // killed at the end of the test
	dieWithParent(cmd)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // says that it was killed
	})
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// agreed reports whether the sentinel knows the other two, and both replicas of a master that lives.
func (s *RedisSentinels) agreed(ctx context.Context, addr string) bool {
	rc := redis.NewSentinelClient(&redis.Options{Addr: addr})
	defer func() { _ = rc.Close() }()
	m := rc.Master(ctx, masterName).Val()
	return m["flags"] == "master" && m["num-other-sentinels"] == "2" && m["num-slaves"] == "2"
}

// URL is the address by way of the sentinels.
func (s *RedisSentinels) URL() string {
	return "redis-sentinel://" + strings.Join(s.sentinels, ",") + "?master_name=" + masterName
}

// Client returns a client that is closed at the end of the test.
func (s *RedisSentinels) Client(t testing.TB) redis.UniversalClient {
	t.Helper()
	rc := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: masterName, SentinelAddrs: s.sentinels, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rc.Close() })
	return rc
}

// KillMaster kills the master, waits until the sentinels have made another of a replica, and starts it again, as a replica.
func (s *RedisSentinels) KillMaster(t testing.TB) {
	t.Helper()
	old := s.master(t.Context())
	require.NotNil(t, old, "there is no master")
	old.Kill(t)
	require.Eventually(t, func() bool {
		m := s.master(t.Context())
		return m != nil && m.port != old.port
	}, groupLimit, groupPoll, "no replica takes over")
	old.Start(t)
}

func (s *RedisSentinels) master(ctx context.Context) *redisNode {
	rc := redis.NewSentinelClient(&redis.Options{Addr: s.sentinels[0]})
	defer func() { _ = rc.Close() }()
	addr := rc.GetMasterAddrByName(ctx, masterName).Val()
	for i := range s.nodes {
		if strings.Join(addr, ":") == s.nodes[i].addr() {
			return &s.nodes[i]
		}
	}
	return nil
}
