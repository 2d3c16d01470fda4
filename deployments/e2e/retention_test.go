package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// TestRetention: what has ended goes by itself, and what was promised stays.
func TestRetention(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "SLUICE_JOB_RETENTION=2s", "SLUICE_BATCH_RETENTION=2s", "SLUICE_DELETED_RETENTION=2s", "SLUICE_CHAT_NAMING=off")
	server := i.up(t)
	a := i.api(t)
	gone := func(path string) {
		t.Helper()
		until(t, path+" to be gone", func() bool { return a.get(t, path).status == http.StatusNotFound })
	}
	json := func(method, path, body string) gjson.Result {
		t.Helper()
		said := a.do(t, method, path, body, "Content-Type", "application/json")
		require.Less(t, said.status, 300, said.body)
		return gjson.Parse(said.body)
	}

	job := a.submit(t, "")
	viewer := a.sse(t, job, 0)
	viewer.end(t, 0)
	keyed := a.hand(t, client.Submission{Request: chat("sim"), Key: "k"})
	stored := json(http.MethodPost, "/v1/chat/completions", `{"model":"sim","store":true,"messages":[{"role":"user","content":"hello"}]}`).Get("id").Str
	running := a.submit(t, "tps=1&tokens=1000")
	conversation := "/v1/conversations/" + json(http.MethodPost, "/v1/conversations", `{}`).Get("id").Str
	turn := json(http.MethodPost, conversation+"/messages", `{"content":"hello","parameters":{"model":"sim"}}`)
	answer := turn.Get("id").Str
	require.NotEmpty(t, answer, turn.Raw)
	input := filepath.Join(t.TempDir(), "in.jsonl")
	line := `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":` + string(chat("sim")) + "}\n"
	require.NoError(t, os.WriteFile(input, []byte(line), 0o600))
	batch := a.startBatch(t, input)
	var output string
	until(t, "the batch's end", func() bool {
		output = gjson.Get(a.get(t, "/v1/batches/"+batch).body, "output_file_id").Str
		return output != ""
	})
	first := completion.Batch{ID: batch}

	for _, path := range []string{"/v1/jobs/" + job.ID, "/v1/jobs/" + job.ID + "/events", "/v1/jobs/" + answer, "/v1/batches/" + batch, "/v1/jobs/" + first.LineJobID(1)} {
		gone(path)
	}
	a.get(t, "/v1/jobs/"+job.ID).refused(t, http.StatusNotFound, completion.CodeNotFound, "")
	path := json(http.MethodGet, conversation+"/messages", "")
	require.Equal(t, answer, path.Get("data.1.id").Str)
	require.Contains(t, path.Get("data.1.content").Str, "hello", path.Raw)
	require.Contains(t, a.get(t, "/v1/files/"+output+"/content").body, `"custom_id":"a"`)
	require.Equal(t, http.StatusOK, a.get(t, "/v1/chat/completions/"+stored).status)
	require.Equal(t, completion.Running, a.read(t, running.ID).State)
	again, err := a.Submit(t.Context(), client.Submission{Request: chat("sim"), Key: "k"})
	require.NoError(t, err)
	require.Equal(t, keyed.ID, again.ID, "its key is young")
	require.Regexp(t, `part=pruner .*jobs=\d`, server.err.String())

	json(http.MethodDelete, conversation, "")
	log := `part=pruner .*messages=2 conversations=1`
	until(t, "the conversation to be erased", func() bool { return regexp.MustCompile(log).MatchString(server.err.String()) })
	require.Regexp(t, `KIND +WOULD GO\nbatches +0\n`, i.sluice("prune", "--dry-run").succeed(t))
}

// TestRetentionPage_CommandsDoRun follows docs/retention.md.
func TestRetentionPage_CommandsDoRun(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.up(t)
	blocks := shellBlocks(t, "deployments/docs/retention.md")
	require.Len(t, blocks, 1, "a new block needs its lines here")
	p := shell(blocks[0])
	p.env = append(p.env, "SLUICE_DATA_DIR="+i.dir)
	require.Regexp(t, `(?s)^KIND +WOULD GO\nbatches +0\n.*KIND +WOULD GO\nbatches +0\n.*KIND +PRUNED\n$`, p.succeed(t))
}
