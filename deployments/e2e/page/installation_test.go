package page_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/process"
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
	now  *process.Process // nil before it is up
}

// newInstallation is an installation that is not up yet. Its model answers at once, unless one is asked that is gated.
func newInstallation(dir string, env ...string) *installation {
	i := &installation{dir: dir, http: process.FreeAddr(), ws: process.FreeAddr()}
	i.env = append([]string{
		"SLUICE_HTTP_ADDR=" + i.http, "SLUICE_NATS_ADDR=" + process.FreeAddr(), "SLUICE_WEBSOCKET_ADDR=" + i.ws, "SLUICE_DATA_DIR=" + dir, "SLUICE_RETRY_BASE=100ms",
		"SLUICE_INTERACTIVE_SLOTS=32", "SLUICE_CHAT_NAMING=off", "OPENAI_BASE_URL=" + model.server.URL + "/v1", "SLUICE_UPSTREAM_IDLE=10m", `SLUICE_CHAT_PARAMETERS={"model":"` + quick + `"}`,
	}, env...)
	return i
}

// quick is a model that answers at once.
const quick = "sim?tps=0"

// up starts the process and waits until it serves.
func (i *installation) up() (err error) {
	if i.now, err = process.Start(sluice, i.env, "up"); err != nil {
		return err
	}
	return i.now.Await(context.Background(), func() bool {
		resp, err := http.Get("http://" + i.http + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// kill ends the process as a crash does.
func (i *installation) kill() {
	if i.now != nil {
		i.now.Kill()
	}
}

// start brings up an installation for one test.
func start(t *testing.T, i *installation) *installation {
	t.Helper()
	require.NoError(t, i.up())
	t.Cleanup(func() {
		i.kill()
		if t.Failed() {
			t.Logf("%s", &i.now.Out)
		}
	})
	return i
}

// tenant makes a key of a tenant that nobody else has.
func (i *installation) tenant(t *testing.T, scopes string) string {
	t.Helper()
	cmd := exec.Command(sluice, "keys", "create", "--tenant", fmt.Sprintf("t%d", tenants.Add(1)), "--scope", scopes)
	cmd.Env = process.Environment(i.env...)
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
