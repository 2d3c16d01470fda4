package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// TestQuickstartPage_CommandsDoRun follows docs/quickstart.md on another port, and kills the server where it says so.
func TestQuickstartPage_CommandsDoRun(t *testing.T) {
	t.Parallel()
	i, dir := newInstallation(t), t.TempDir()
	blocks := shellBlocks(t, "deployments/docs/quickstart.md")
	require.Len(t, blocks, 4, "a new block needs its lines here")
	server := i.up(t)
	run := func(block string) string {
		block = strings.NewReplacer("words.txt", filepath.Join(dir, "words.txt"), "answers.jsonl", filepath.Join(dir, "answers.jsonl")).Replace(block)
		p := shell(i.here(block))
		p.env = []string{"SLUICE_API_URL=" + i.url, "SLUICE_DATA_DIR=" + i.dir}
		return p.succeed(t)
	}

	said := run(blocks[0])
	require.Contains(t, said, "What is a sluice?")
	require.Contains(t, said, "completed")

	job := gjson.Get(run(blocks[1]), "id").Str
	require.NotEmpty(t, job)
	api := i.api(t)
	until(t, "the job's start", func() bool { return api.read(t, job).State == completion.Running })
	server.signal(t, syscall.SIGKILL)
	server.code(t)
	i.up(t)
	require.NotEmpty(t, strings.TrimSpace(run(blocks[2])))
	require.Equal(t, completion.Completed, api.finished(t, job).State)

	run(blocks[3])
	answers, err := os.ReadFile(filepath.Join(dir, "answers.jsonl"))
	require.NoError(t, err)
	require.Equal(t, 3, strings.Count(string(answers), "\n"))
}
