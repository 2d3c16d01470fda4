package page_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/client"
	"sluice/shared/completion"
)

var tenants atomic.Int64

// patience ends what hangs. Nothing is measured by it.
const patience = time.Minute

// installation is one data folder and the addresses under which sluice up serves it.
type installation struct {
	dir  string
	http string // addresses of the process
	ws   string
	env  []string
	cmd  *exec.Cmd
	log  *bytes.Buffer // whole once done is closed
	done chan struct{}
}

// newInstallation is an installation that is not up yet. Its model answers at once, unless one is asked that is gated.
func newInstallation(dir string, env ...string) *installation {
	i := &installation{dir: dir, http: freeAddr(), ws: freeAddr()}
	i.env = append(environment(), "SLUICE_HTTP_ADDR="+i.http, "SLUICE_NATS_ADDR="+freeAddr(), "SLUICE_WEBSOCKET_ADDR="+i.ws, "SLUICE_DATA_DIR="+dir, "SLUICE_RETRY_BASE=100ms",
		"SLUICE_INTERACTIVE_SLOTS=32", "SLUICE_CHAT_NAMING=off", "OPENAI_BASE_URL="+model.server.URL+"/v1", "SLUICE_UPSTREAM_IDLE=10m", `SLUICE_CHAT_PARAMETERS={"model":"`+quick+`"}`)
	i.env = append(i.env, env...)
	return i
}

// quick is a model that answers at once.
const quick = "sim?tps=0"

// environment is the tests' own, without what would configure a child. The race detector of a child need not wait for
// long at its end.
func environment() []string {
	env := []string{"GORACE=atexit_sleep_ms=10"}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "SLUICE_") && !strings.HasPrefix(pair, "OPENAI_") {
			env = append(env, pair)
		}
	}
	return env
}

// up starts the process and waits until it serves.
func (i *installation) up() error {
	i.cmd, i.log, i.done = exec.Command(sluice, "up"), &bytes.Buffer{}, make(chan struct{})
	i.cmd.Env, i.cmd.Stdout, i.cmd.Stderr = i.env, i.log, i.log
	i.cmd.SysProcAttr = &syscall.SysProcAttr{}
	dieWithParent(i.cmd.SysProcAttr)
	if err := i.cmd.Start(); err != nil {
		return fmt.Errorf("start sluice up: %w", err)
	}
	go func() {
		defer close(i.done)
		_ = i.cmd.Wait() // how it ended is seen in what it does not do
	}()
	for limit := time.After(patience); ; {
		resp, err := http.Get("http://" + i.http + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-i.done:
			return fmt.Errorf("sluice up has ended: %s", i.log)
		case <-limit:
			return errors.New("sluice up does not come up")
		case <-time.After(10 * time.Millisecond): // there is nothing that tells
		}
	}
}

// kill ends the process as a crash does.
func (i *installation) kill() {
	if i.cmd == nil {
		return
	}
	_ = i.cmd.Process.Kill() // it may have ended
	<-i.done
}

// start brings up an installation for one test.
func start(t *testing.T, i *installation) *installation {
	t.Helper()
	require.NoError(t, i.up())
	t.Cleanup(func() {
		i.kill()
		if strings.Contains(i.log.String(), "DATA RACE") {
			t.Error("the race detector found something")
		}
		if t.Failed() {
			t.Logf("%s", i.log)
		}
	})
	return i
}

// tenant makes a key of a tenant that nobody else has.
func (i *installation) tenant(t *testing.T, scopes string) string {
	t.Helper()
	cmd := exec.Command(sluice, "keys", "create", "--tenant", fmt.Sprintf("t%d", tenants.Add(1)), "--scope", scopes)
	cmd.Env = i.env
	out, err := cmd.Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

func (i *installation) client(t *testing.T, key string) *client.Client {
	t.Helper()
	c, err := client.New("http://"+i.http, nil)
	require.NoError(t, err)
	return c.WithKey(key)
}

// shared is an installation that many tests use, each with a tenant of its own.
type shared struct {
	once sync.Once
	at   *installation
	err  error
}

var common shared

// get brings it up for the first test that asks.
func (s *shared) get(t *testing.T) *installation {
	t.Helper()
	s.once.Do(func() {
		dir, err := os.MkdirTemp("", "sluice-page-data-")
		if err != nil {
			s.err = err
			return
		}
		s.at = newInstallation(filepath.Join(dir, "data"))
		s.err = s.at.up()
	})
	require.NoError(t, s.err)
	return s.at
}

func (s *shared) stop() {
	if s.at != nil {
		s.at.kill()
		_ = os.RemoveAll(filepath.Dir(s.at.dir))
	}
}

// stored waits until the last message of a conversation is an answer that has ended, and returns it.
func stored(t *testing.T, api *client.Client, conversation string) client.Message {
	t.Helper()
	for {
		said, _, err := api.Messages(t.Context(), conversation, client.MessageQuery{Limit: 1})
		require.NoError(t, err)
		require.NotEmpty(t, said)
		if m := said[0]; m.Role == completion.RoleAssistant && m.State.Final() {
			return m
		}
		for _, err := range api.Follow(t.Context(), said[0].ID, 0) {
			require.NoError(t, err)
		}
	}
}

var ports = struct {
	sync.Mutex
	given map[int]bool
}{given: map[int]bool{}}

// freeAddr returns a loopback address that nobody has and nobody gets until the tests end, so that a server can come
// back to it: the port lies below those that the system gives to clients.
func freeAddr() string {
	ports.Lock()
	defer ports.Unlock()
	for {
		port := 15000 + rand.IntN(17000)
		if ports.given[port] {
			continue
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
		if err != nil {
			continue
		}
		_ = listener.Close()
		ports.given[port] = true
		return addr
	}
}
