package queue_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"sluice/shared/queue"
	"sluice/shared/testkit"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	open := func(address string) redis.UniversalClient {
		rc, err := queue.Open(address, 7)
		require.NoError(t, err)
		t.Cleanup(func() { _ = rc.Close() })
		return rc
	}
	o := open("redis://me:secret@host:1234/3?read_timeout=9s").(*redis.Client).Options()
	require.Equal(t, "host:1234", o.Addr)
	require.Equal(t, []any{"me", "secret", 3, 7}, []any{o.Username, o.Password, o.DB, o.PoolSize})
	require.Equal(t, []time.Duration{2 * time.Second, 9 * time.Second, 3 * time.Second}, []time.Duration{o.DialTimeout, o.ReadTimeout, o.WriteTimeout})
	require.Nil(t, o.TLSConfig)
	require.NotNil(t, open("rediss://host").(*redis.Client).Options().TLSConfig)
	require.Equal(t, 9, open("redis://host?pool_size=9").(*redis.Client).Options().PoolSize)

	c := open("rediss-cluster://u:p@a:1,b:2,c:3").(*redis.ClusterClient).Options()
	require.Equal(t, []string{"a:1", "b:2", "c:3"}, c.Addrs)
	require.Equal(t, []any{"u", "p", 7}, []any{c.Username, c.Password, c.PoolSize})
	require.NotNil(t, c.TLSConfig)

	s := open("redis-sentinel://a:1,b:2/5?master_name=m").(*redis.Client).Options()
	require.Equal(t, []any{"FailoverClient", 5}, []any{s.Addr, s.DB})

	require.NoError(t, open(testkit.StartRedis(t).URL()).Ping(t.Context()).Err())
}

func TestOpen_Refuses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"":                                   "no scheme",
		"localhost:6379":                     "no scheme",
		"http://host":                        "unknown scheme",
		"redis-ring://host":                  "unknown scheme",
		"unix-cluster://host":                "unknown scheme",
		"redis://a:1,b:2":                    "redis-cluster",
		"redis-sentinel://a:1":               "master_name",
		"redis://me:secret@host:x":           "malformed",
		"redis://me:secret@host/?nonsense=1": "nonsense",
	} {
		_, err := queue.Open(address, 0)
		require.ErrorContains(t, err, want, address)
		require.NotContains(t, err.Error(), "secret")
	}
}
