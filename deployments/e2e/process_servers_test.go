package e2e_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/process"
	"sluice/shared/credential"
	"sluice/shared/modelsim"
)

// web is the HTTP client of all tests. It keeps no connections, because the servers behind them are killed.
var web = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// upstream is a simulated model that the test serves.
type upstream struct {
	*modelsim.Sim
	url string
}

func startUpstream(t *testing.T) upstream {
	t.Helper()
	sim := modelsim.New(modelsim.Config{FirstToken: time.Millisecond, TokensPerSecond: 200})
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		sim.Close()
		server.Close()
	})
	return upstream{sim, server.URL + "/v1"}
}

// natsServer is a nats-server process with JetStream and WebSocket that can be restarted with what it had.
type natsServer struct {
	*child
	url, websocket string
	keys           string // the folder that sluice nats init has made
	ca             string // file with what its certificate is signed by; empty: it speaks no TLS
}

// creds is the environment of a program that connects as the role.
func (n *natsServer) creds(role string) []string {
	return []string{"SLUICE_NATS_CREDS=" + filepath.Join(n.keys, role+".creds"), "SLUICE_NATS_SIGNING_KEYS=" + filepath.Join(n.keys, "signing.json")}
}

// startNATS starts a server as sluice nats init sets it up, with further flags of that.
func startNATS(t *testing.T, flags ...string) *natsServer {
	t.Helper()
	n := initNATS(t, flags...)
	n.begin(t)
	return n
}

func initNATS(t *testing.T, flags ...string) *natsServer {
	t.Helper()
	return initNATSBy(t, "sluice", flags...)
}

// initNATSBy is initNATS by some release's sluice.
func initNATSBy(t *testing.T, sluice string, flags ...string) *natsServer {
	t.Helper()
	addr, websocket, dir := process.FreeAddr(), process.FreeAddr(), t.TempDir()
	keys := filepath.Join(dir, "keys")
	args := append([]string{"nats", "init", keys, "--listen", addr, "--websocket", websocket, "--store-dir", filepath.Join(dir, "jetstream")}, flags...)
	program{name: sluice, args: args}.succeed(t)
	server := program{name: "nats-server", args: []string{"-c", filepath.Join(keys, "nats.conf")}}
	return &natsServer{child: &child{program: server}, url: "nats://" + addr, websocket: "ws://" + websocket, keys: keys}
}

// begin starts the server, again after its end, and waits until it takes clients.
func (n *natsServer) begin(t *testing.T) {
	t.Helper()
	n.child = n.start(t)
	n.until(t, "take clients", func() bool {
		nc, err := nats.Connect(n.url, nats.UserCredentials(filepath.Join(n.keys, "setup.creds")), n.trust())
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
}

// trust lets a connection know the server's certificate.
func (n *natsServer) trust() nats.Option {
	if n.ca == "" {
		return nil
	}
	return nats.RootCAs(n.ca)
}

// connect returns a connection to url of a viewer who has the credential, which comes back by itself.
func connect(t *testing.T, url, token string) *nats.Conn {
	t.Helper()
	who := credential.Bearer(func() (string, error) { return token, nil })
	nc, err := nats.Connect(url, append(who, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.PermissionErrOnSubscribe(true),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...) // the tests ask for errors where they expect them
	require.NoError(t, err, url)
	t.Cleanup(nc.Close)
	return nc
}

// proxy is a TCP connection to a server that can be cut.
type proxy struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	fault fault
	open  map[net.Conn]bool
}

// fault is what a proxy does instead of passing bytes on.
type fault int

const (
	none    fault = iota
	refused       // connections are closed at once
	silent        // connections are taken and nothing ever comes back
)

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{target: target, listener: listener, open: map[net.Conn]bool{}}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close() // ends accept
		p.set(refused)
		p.running.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// set begins or ends a fault. Connections made before end.
func (p *proxy) set(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	for c := range p.open {
		_ = c.Close() // ends the copying
	}
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(c) })
	}
}

func (p *proxy) serve(client net.Conn) {
	defer p.forget(client)
	switch p.remember(client) {
	case refused:
	case silent:
		_, _ = io.Copy(io.Discard, client) // ends with the connection
	default:
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			return
		}
		defer p.forget(server)
		if p.remember(server) != none {
			return
		}
		var back sync.WaitGroup
		back.Go(func() {
			_, _ = io.Copy(client, server) // ends with either
			_ = client.Close()
		})
		_, _ = io.Copy(server, client) // ends with either
		_ = server.Close()
		back.Wait()
	}
}

func (p *proxy) remember(c net.Conn) fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	return p.fault
}

func (p *proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	_ = c.Close() // it may be closed already
}
