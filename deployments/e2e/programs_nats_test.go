package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/process"
	"sluice/shared/completion"
	"sluice/shared/testkit"
)

// TestNATS_TLS runs an installation whose NATS speaks TLS only.
func TestNATS_TLS(t *testing.T) {
	t.Parallel()
	cert, key := testkit.Certificate(t)
	n := initNATS(t, "--tls-cert", cert, "--tls-key", key)
	n.url, n.websocket, n.ca = strings.Replace(n.url, "nats:", "tls:", 1), strings.Replace(n.websocket, "ws:", "wss:", 1), cert
	n.begin(t)
	c := &cluster{upstream: startUpstream(t), database: testkit.PostgresSchema(t), redis: testkit.StartRedis(t), nats: n}
	c.env = []string{
		"SLUICE_DATABASE_URL=" + c.database, "SLUICE_REDIS_URL=" + c.redis.URL(), "SLUICE_NATS_URL=" + n.url, "SLUICE_NATS_CA=" + cert,
		"SLUICE_PUBLIC_WEBSOCKET_URL=" + n.websocket, "OPENAI_BASE_URL=" + c.url, "SLUICE_PRIVATE_ADDR=127.0.0.1:0",
	}
	c.migrate(t, "up")
	a := c.startAPI(t, "127.0.0.1:0")
	a.ready(t)
	c.startWorker(t)
	job := a.submit(t, mid)
	for _, url := range []string{job.Stream.NATSURL, job.Stream.WebSocketURL} {
		require.Regexp(t, `^(tls|wss)://`, url)
		_, err := nats.Connect(url, testkit.Bearer(job.Stream.Credential))
		require.ErrorContains(t, err, "certificate")
		nc, err := nats.Connect(url, testkit.Bearer(job.Stream.Credential), n.trust())
		require.NoError(t, err)
		t.Cleanup(nc.Close)
		whole(t, a, job, viewOn(t, nc, job).end(t, 0))
	}
}

// TestNATS_Cluster_I3 runs an installation on three servers that keep each event three times, and kills one in mid-stream.
func TestNATS_Cluster_I3(t *testing.T) {
	t.Parallel()
	servers := startNATSCluster(t)
	c := &cluster{upstream: startUpstream(t), database: testkit.PostgresSchema(t), redis: testkit.StartRedis(t), nats: servers[0]}
	c.env = []string{
		"SLUICE_DATABASE_URL=" + c.database, "SLUICE_REDIS_URL=" + c.redis.URL(), "OPENAI_BASE_URL=" + c.url, "SLUICE_EVENT_REPLICAS=3", "SLUICE_EVENT_BYTES=67108864", "SLUICE_PRIVATE_ADDR=127.0.0.1:0",
		"SLUICE_NATS_URL=" + servers[0].url + "," + servers[1].url + "," + servers[2].url,
	}
	setup := c.sluice("nats", "setup")
	setup.env = append(setup.env[:len(setup.env):len(setup.env)], c.nats.creds("setup")...)
	require.Contains(t, setup.succeed(t), "3 replicas")
	c.migrate(t, "up")
	a := c.startAPI(t, "127.0.0.1:0")
	a.ready(t)
	c.startWorker(t)
	for i, n := range servers {
		job := a.submit(t, mid)
		other := servers[(i+1)%len(servers)]
		v := native(t, job, other.url, 0)
		v.spoke(t, 1)
		n.kill()
		story := v.end(t, 0)
		whole(t, a, job, story)
		require.Equal(t, completion.EventCompleted, story[len(story)-1].Type)
		n.begin(t)
	}
}

// startNATSCluster starts three servers with the same accounts.
func startNATSCluster(t *testing.T) []*natsServer {
	t.Helper()
	routes := []string{process.FreeAddr(), process.FreeAddr(), process.FreeAddr()}
	first := initNATS(t, "--cluster", routes[0], "--routes", strings.Join(routes[1:], ","), "--server-name", "n0")
	text, err := os.ReadFile(filepath.Join(first.keys, "nats.conf"))
	require.NoError(t, err)
	servers := []*natsServer{first}
	for i := 1; i < len(routes); i++ {
		addr, websocket, dir := process.FreeAddr(), process.FreeAddr(), t.TempDir()
		conf := strings.NewReplacer(
			`"n0"`, fmt.Sprintf("%q", fmt.Sprintf("n%d", i)), strings.TrimPrefix(first.url, "nats://"), addr, strings.TrimPrefix(first.websocket, "ws://"), websocket,
			filepath.Join(filepath.Dir(first.keys), "jetstream"), filepath.Join(dir, "jetstream"), routes[0], routes[i], routes[i], routes[0],
		).Replace(string(text))
		file := filepath.Join(dir, "nats.conf")
		require.NoError(t, os.WriteFile(file, []byte(conf), 0o600))
		server := program{name: "nats-server", args: []string{"-c", file}}
		servers = append(servers, &natsServer{child: &child{program: server}, url: "nats://" + addr, websocket: "ws://" + websocket, keys: first.keys})
	}
	for _, n := range servers {
		n.begin(t)
	}
	return servers
}
