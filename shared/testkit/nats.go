package testkit

import (
	"testing"

	"github.com/nats-io/nats.go"

	"sluice/shared/embedded"
)

// NATS starts a nats-server of the test's own, with free ports for TCP and WebSocket and files in a temporary folder,
// and stops it when the test ends.
func NATS(t testing.TB) *embedded.NATS {
	t.Helper()
	return StartNATS(t, embedded.NATSConfig{Addr: "127.0.0.1:0", WebSocketAddr: "127.0.0.1:0", Dir: t.TempDir(), Password: "test"})
}

// StartNATS is NATS with a configuration of the caller's.
func StartNATS(t testing.TB, cfg embedded.NATSConfig) *embedded.NATS {
	t.Helper()
	n, err := embedded.StartNATS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// Conn returns an in-process connection of n's internal user and closes it when the test ends.
func Conn(t testing.TB, n *embedded.NATS) *nats.Conn {
	t.Helper()
	nc, err := n.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}
