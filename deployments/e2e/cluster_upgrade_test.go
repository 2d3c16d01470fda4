//go:build cluster

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/testkit"
)

// previousFile names the commit of the release before this one, whose programs must work beside today's.
const previousFile = "testdata/previous"

// previous builds the programs of the release before this one from the history, and returns their folder.
func previous(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(previousFile)
	require.NoError(t, err)
	commit, source, into := strings.TrimSpace(string(text)), t.TempDir(), t.TempDir()
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").CombinedOutput()
	require.NoError(t, err, "the release before this one is built from the git history, and this is no git repository: %s", root)
	archive := filepath.Join(source, "previous.tar")
	said, err := exec.Command("git", "-C", strings.TrimSpace(string(root)), "archive", "-o", archive, commit).CombinedOutput()
	require.NoError(t, err, "commit %s of %s is not in the history: if the clone is shallow, git fetch --unshallow brings it. %s", commit, previousFile, said)
	said, err = exec.Command("tar", "-xf", archive, "-C", source).CombinedOutput()
	require.NoError(t, err, "%s", said)
	build := exec.Command("go", "build", "-o", into+string(filepath.Separator),
		"sluice/deployments/cmd/sluice", "sluice/api/cmd/api", "sluice/worker/cmd/worker", "sluice/migrations/cmd/migrate")
	build.Dir = source
	said, err = build.CombinedOutput()
	require.NoError(t, err, "%s", said)
	return into
}

// TestCluster_Upgrade_I1_I2 has the programs of the release before this one replaced by today's under load, one after the
// other, and then a worker and an api put back, as somebody does who regrets it. The keys of NATS, the schema and what lies
// in Redis and in the log are the old release's at first. No running job is handed over: each program may end what it does.
func TestCluster_Upgrade_I1_I2(t *testing.T) {
	old := previous(t)
	server := initNATSBy(t, filepath.Join(old, "sluice"))
	server.begin(t)
	c := &cluster{redis: testkit.StartRedis(t), nats: server, programs: old}
	in := startRuin(t, c, "SLUICE_REDIS_URL="+c.redis.URL(), "SLUICE_EVENT_BYTES=67108864", "SLUICE_DRAIN_LIMIT=20s")
	const lines = 5000
	batch := ""
	in.endure(t, 1, []blow{{"all programs replaced in turn", false, func(in *ruin, t *testing.T) time.Time {
		at := time.Now()
		batch = in.apis[0].startBatch(t, writeLines(t, lines))
		c.programs = "" // today's
		c.migrate(t, "up")
		for i := range in.workers {
			in.replaceWorker(t, i)
		}
		for i := range in.apis {
			in.replaceAPI(t, i)
		}
		c.programs = old
		in.replaceWorker(t, 0)
		in.replaceAPI(t, 0)
		return at
	}}})
	in.apis[1].whole(t, batch, lines)
}

// replaceWorker starts a worker and then stops one.
func (in *ruin) replaceWorker(t *testing.T, i int) {
	t.Helper()
	next := in.startWorker(t)
	pause(t.Context(), lull) // both take jobs
	in.workers[i].stop(t, syscall.SIGTERM)
	in.workers[i] = next
}

// replaceAPI stops an api and starts another at its address.
func (in *ruin) replaceAPI(t *testing.T, i int) {
	t.Helper()
	in.apis[i].stop(t, syscall.SIGTERM)
	in.apis[i] = in.startAPI(t, in.addrs[i])
	in.apis[i].ready(t)
	pause(t.Context(), lull) // both are asked
}
