//go:build cluster

package e2e_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/shared/backend"
	"sluice/shared/eventlog"
	"sluice/shared/testkit"
)

// natsNodes are the servers of a NATS cluster that keeps each event three times.
type natsNodes struct {
	servers []*natsServer
	js      jetstream.JetStream
}

// startNATSNodes starts a cluster, and returns it also as the one server that the programs and viewers take it for.
func startNATSNodes(t *testing.T) (*natsNodes, *natsServer) {
	t.Helper()
	n := &natsNodes{servers: startNATSCluster(t)}
	var urls, websockets []string
	for _, s := range n.servers {
		urls, websockets = append(urls, s.url), append(websockets, s.websocket)
	}
	whole := &natsServer{url: strings.Join(urls, ","), websocket: strings.Join(websockets, ","), keys: n.servers[0].keys}
	options, err := backend.NATS{Creds: filepath.Join(whole.keys, "setup.creds")}.Options()
	require.NoError(t, err)
	nc, err := nats.Connect(whole.url, append(options, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	n.js, err = jetstream.New(nc)
	require.NoError(t, err)
	return n, whole
}

// TestCluster_NATS_I3 kills servers of a NATS cluster while jobs run and are watched. With one gone nothing waits for it;
// with two gone everything waits, and nothing is lost.
func TestCluster_NATS_I3(t *testing.T) {
	n, whole := startNATSNodes(t)
	c := &cluster{nats: whole, redis: testkit.StartRedis(t)}
	in := startRuin(t, c, "SLUICE_REDIS_URL="+c.redis.URL(), "SLUICE_EVENT_REPLICAS=3", "SLUICE_EVENT_BYTES=67108864",
		"SLUICE_PUBLIC_WEBSOCKET_URL="+n.servers[0].websocket)
	for _, s := range n.state(t) {
		require.Equal(t, 3, s.Config.Replicas, s.Config.Name)
	}
	sum := in.endure(t, 1, []blow{
		{"NATS: a leader killed", false, func(_ *ruin, t *testing.T) time.Time { return n.strike(t, n.leader(t)) }},
		{"NATS: another killed", false, func(_ *ruin, t *testing.T) time.Time { return n.strike(t, (n.leader(t)+1)%3) }},
		{"NATS: two killed", false, func(_ *ruin, t *testing.T) time.Time {
			leader := n.leader(t)
			return n.strike(t, leader, (leader+1)%3)
		}},
	})
	require.Zero(t, sum.jumps, "the log has lost nothing")
}

// strike kills servers and starts them again, and returns when they have caught up. The installation can recover at
// once if two are left, and otherwise when they are back.
func (n *natsNodes) strike(t *testing.T, which ...int) time.Time {
	t.Helper()
	back := time.Now()
	for _, i := range which {
		n.servers[i].kill()
	}
	pause(t.Context(), outage)
	if len(which) > 1 {
		back = time.Now()
	}
	for _, i := range which {
		n.servers[i].child = n.servers[i].start(t)
	}
	until(t, "all servers to have caught up", func() bool {
		return !slices.ContainsFunc(n.state(t), func(s *jetstream.StreamInfo) bool {
			return s.Cluster.Leader == "" || len(s.Cluster.Replicas) != 2 ||
				slices.ContainsFunc(s.Cluster.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current || p.Offline || p.Lag > 0 })
		})
	})
	return back
}

// leader is the server that leads most of the streams.
func (n *natsNodes) leader(t *testing.T) int {
	t.Helper()
	leads := make([]int, len(n.servers))
	for _, s := range n.state(t) {
		for i := range leads {
			if s.Cluster.Leader == fmt.Sprintf("n%d", i) && s.State.Msgs > 0 {
				leads[i]++
			}
		}
	}
	most := slices.Max(leads)
	require.Positive(t, most, "some stream with events has a leader")
	return slices.Index(leads, most)
}

// state is that of all streams. While one of them has no leader, it is asked for again.
func (n *natsNodes) state(t *testing.T) []*jetstream.StreamInfo {
	t.Helper()
	var all []*jetstream.StreamInfo
	for k := range eventlog.Shards {
		until(t, fmt.Sprintf("the state of stream %d", k), func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			s, err := n.js.Stream(ctx, fmt.Sprintf("C%d", k))
			if err != nil {
				return false
			}
			all = append(all, s.CachedInfo())
			return true
		})
	}
	return all
}
