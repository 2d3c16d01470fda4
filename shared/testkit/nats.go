package testkit

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/embedded"
)

// NATS starts a nats-server of the test's own, with free ports for TCP and WebSocket and files in a temporary folder,
// and stops it when the test ends.
func NATS(t testing.TB) *embedded.NATS {
	t.Helper()
	return StartNATS(t, embedded.NATSConfig{Addr: "127.0.0.1:0", WebSocketAddr: "127.0.0.1:0", Dir: t.TempDir()})
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

// Authority returns accounts for a server that is started more than once.
func Authority(t testing.TB) *credential.Authority {
	t.Helper()
	a, err := credential.New(credential.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Conn returns an in-process connection of n that may do everything, and closes it when the test ends.
func Conn(t testing.TB, n *embedded.NATS) *nats.Conn {
	t.Helper()
	nc, err := n.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// As lets a connection to n be a program's: it may do what the role may.
func As(t testing.TB, n *embedded.NATS, role credential.Role) nats.Option {
	t.Helper()
	options, err := credential.Options(n.Authority().Users[role])
	if err != nil {
		t.Fatal(err)
	}
	return all(options)
}

// Viewer lets a connection to n be a viewer's, who may read one job, or all of the tenant's if ref names none.
func Viewer(t testing.TB, n *embedded.NATS, ref completion.Ref) nats.Option {
	t.Helper()
	m, expires := Minter(t, n.Authority()), time.Now().Add(time.Hour)
	c, err := m.Tenant(ref.Tenant, expires)
	if ref.Job != "" {
		c, err = m.Stream(ref, expires)
	}
	if err != nil {
		t.Fatal(err)
	}
	return Bearer(c.Token)
}

// Minter mints credentials of a.
func Minter(t testing.TB, a *credential.Authority) *credential.Minter {
	t.Helper()
	m, err := credential.NewMinter(a.Signing)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Bearer lets a connection be whoever has the token.
func Bearer(token string) nats.Option {
	return all(credential.Bearer(func() (string, error) { return token, nil }))
}

func all(options []nats.Option) nats.Option {
	return func(o *nats.Options) error {
		for _, option := range options {
			if err := option(o); err != nil {
				return err
			}
		}
		return nil
	}
}
