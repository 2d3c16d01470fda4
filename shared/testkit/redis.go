package testkit

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// RedisServer is a real redis-server of one test's own, on a socket in a directory of its own. It keeps an append-only
// file, so that it comes back after Kill with what it had.
type RedisServer struct {
	dir  string
	args []string // beside those that all have
	cmd  *exec.Cmd
}

// StartRedis starts a redis-server and stops it at the end of the test. A missing binary fails the test.
func StartRedis(t testing.TB) *RedisServer {
	t.Helper()
	return startRedis(t, "--port", "0")
}

func startRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") // not t.TempDir: a socket's path is limited to some hundred bytes
	require.NoError(t, err)
	s := &RedisServer{dir: dir, args: args}
	t.Cleanup(func() {
		s.Kill(t)
		require.NoError(t, os.RemoveAll(dir))
	})
	s.Start(t)
	return s
}

// Redis returns a client of a new RedisServer, which is closed at the end of the test.
func Redis(t testing.TB) redis.UniversalClient {
	t.Helper()
	return StartRedis(t).Client(t)
}

// URL is the server's address.
func (s *RedisServer) URL() string { return "unix://" + s.socket() }

// Client returns a client that is closed at the end of the test.
func (s *RedisServer) Client(t testing.TB) redis.UniversalClient {
	t.Helper()
	rc := redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rc.Close() })
	return rc
}

// Start starts the server, again after Kill, and waits until it answers.
func (s *RedisServer) Start(t testing.TB) {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	require.NoError(t, err, "this test needs the program redis-server in PATH")
	s.cmd = exec.Command(bin, append([]string{"--unixsocket", s.socket(), "--dir", s.dir, "--save", "", //nolint:noctx // Kill ends it
		"--appendonly", "yes", "--appendfsync", "no", "--logfile", filepath.Join(s.dir, "log")}, s.args...)...)
	dieWithParent(s.cmd)
	require.NoError(t, s.cmd.Start())
	require.Eventually(t, s.answers, 30*time.Second, 5*time.Millisecond, "redis-server does not answer")
}

func (s *RedisServer) answers() bool {
	rc := redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket(), MaxRetries: -1})
	defer func() { _ = rc.Close() }()
	return rc.Ping(context.Background()).Err() == nil
}

// Kill ends the server at once, as a crash does. It does nothing if the server does not run.
func (s *RedisServer) Kill(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	require.NoError(t, s.cmd.Process.Kill())
	_ = s.cmd.Wait() // says that it was killed
	s.cmd = nil
}

func (s *RedisServer) socket() string { return filepath.Join(s.dir, "s") }
