//go:build cluster

package e2e_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/testkit"
)

// TestCluster_PostgreSQL_I2 restarts and pauses PostgreSQL while jobs run and come: none is lost, and no generation is
// paid for twice. While it is away the api says so, and when to come again.
func TestCluster_PostgreSQL_I2(t *testing.T) {
	c := &cluster{redis: testkit.StartRedis(t), nats: startNATS(t)}
	in := startRuin(t, c, "SLUICE_REDIS_URL="+c.redis.URL(), "SLUICE_EVENT_BYTES=67108864")
	in.endure(t, 1, []blow{
		{"PostgreSQL stopped: fast", false, func(in *ruin, t *testing.T) time.Time { return in.restartDatabase(t, syscall.SIGINT) }},
		{"PostgreSQL stopped: immediate", false, func(in *ruin, t *testing.T) time.Time { return in.restartDatabase(t, syscall.SIGQUIT) }},
		{"PostgreSQL paused for 3 s", false, func(in *ruin, t *testing.T) time.Time { return in.pauseDatabase(t, deadAfter-2*time.Second) }},
		{"PostgreSQL paused for 7 s", false, func(in *ruin, t *testing.T) time.Time { return in.pauseDatabase(t, deadAfter+2*time.Second) }},
		{"PostgreSQL paused for 12 s", false, func(in *ruin, t *testing.T) time.Time { return in.pauseDatabase(t, storeLimit+2*time.Second) }},
	})
}

// storeLimit is how long a call of the store may take.
const storeLimit = 10 * time.Second

func (in *ruin) restartDatabase(t *testing.T, sig syscall.Signal) time.Time {
	t.Helper()
	in.database.End(sig)
	in.away(t)
	pause(t.Context(), outage)
	require.NoError(t, in.database.Start(t.Context()))
	back := time.Now()
	in.apis[0].ready(t)
	return back
}

// pauseDatabase stops all processes of PostgreSQL for so long, as a machine that hangs does: connections stay, and nobody
// answers.
func (in *ruin) pauseDatabase(t *testing.T, d time.Duration) time.Time {
	t.Helper()
	require.NoError(t, syscall.Kill(in.database.PID(), syscall.SIGSTOP)) // it makes no more children
	processes := family(t, in.database.PID())
	signal := func(sig syscall.Signal) {
		for _, pid := range processes {
			_ = syscall.Kill(pid, sig) // it may have ended
		}
	}
	defer signal(syscall.SIGCONT)
	signal(syscall.SIGSTOP)
	begun := time.Now()
	if d > storeLimit {
		in.away(t)
	}
	pause(t.Context(), d-time.Since(begun))
	signal(syscall.SIGCONT)
	back := time.Now()
	in.apis[0].ready(t)
	return back
}

// away checks what an api says of a database that does not answer.
func (in *ruin) away(t *testing.T) {
	t.Helper()
	for _, a := range in.apis {
		refusal := a.do(t, http.MethodPost, "/v1/jobs", body("sim"))
		refusal.refused(t, http.StatusServiceUnavailable, completion.CodeUnavailable, "")
		require.Equal(t, "1", refusal.header.Get("Retry-After"))
	}
}

// family is a process and its children.
func family(t *testing.T, pid int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	all := []int{pid}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := bytes.Cut(text, []byte(") ")) // behind the name: state, parent
		if fields := strings.Fields(string(rest)); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			require.NoError(t, err)
			all = append(all, child)
		}
	}
	require.Greater(t, len(all), 1, "children of %d", pid)
	return all
}
