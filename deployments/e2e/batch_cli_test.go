package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/modelsim"
)

const batchID = `batch_[0-9a-f]{32}`

// batchDesk is a folder with inputs of batches, and command lines in it.
type batchDesk struct {
	*installation
	dir string
}

func (i *installation) desk(t *testing.T) batchDesk {
	t.Helper()
	return batchDesk{i, t.TempDir()}
}

// batch is a command line sluice batch in the folder.
func (d batchDesk) batch(args ...string) program {
	p := d.sluice(append([]string{"batch"}, args...)...)
	p.dir = d.dir
	return p
}

func (d batchDesk) write(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600))
}

// rows are the lines of a file in the folder.
func (d batchDesk) rows(t *testing.T, name string) (rows []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, name))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		require.True(t, gjson.Valid(line), line)
		rows = append(rows, strings.TrimSpace(line))
	}
	return rows
}

// chatLine is a request of a batch.
func chatLine(id, model, text string) string {
	return fmt.Sprintf(`{"custom_id":%q,"method":"POST","url":"/v1/chat/completions","body":{"model":%q,"messages":[{"role":"user","content":%q}]}}`+"\n", id, model, text)
}

// requireAnswered says that a row has the answer to that text.
func requireAnswered(t *testing.T, row, id, text string) {
	t.Helper()
	require.Equal(t, id, gjson.Get(row, "custom_id").Str, row)
	require.EqualValues(t, 200, gjson.Get(row, "response.status_code").Int(), row)
	require.Equal(t, modelsim.Answer(text), gjson.Get(row, "response.body.choices.0.message.content").Str)
}

// TestBatchCLI runs batches against one running installation.
func TestBatchCLI(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.up(t)
	t.Run("Run_JSONL", i.batchRuns)
	t.Run("Run_CSV", i.batchOfCSV)
	t.Run("Run_LinesFail_Retry", i.batchFails)
	t.Run("Run_Invalid", i.batchInvalid)
	t.Run("Pause_Resume_Cancel", i.batchPaused)
}

func (i *installation) batchRuns(t *testing.T) {
	t.Parallel()
	d := i.desk(t)
	var in strings.Builder
	for n := range 300 {
		in.WriteString(chatLine(fmt.Sprint("ask-", n), "sim?tps=0", fmt.Sprint("question ", n)))
	}
	d.write(t, "in.jsonl", in.String())
	p := d.batch("run", "in.jsonl", "--metadata", "who=me").run(t)
	require.Zero(t, p.code(t), "%s", p)
	rows := d.rows(t, "in.out.jsonl")
	require.Len(t, rows, 300)
	for n, row := range rows {
		requireAnswered(t, row, fmt.Sprint("ask-", n), fmt.Sprint("question ", n))
	}
	require.NotContains(t, p.err.String(), "\x1b", "no control codes where there is no terminal")
	require.Contains(t, p.err.String(), "is completed: 300 of 300 lines completed, 0 failed")
	files, err := os.ReadDir(d.dir)
	require.NoError(t, err)
	require.Len(t, files, 2, "the input and the answers")

	id := p.await(t, batchID)[0]
	require.Regexp(t, `(?m)^`+id+` +completed +300/300 +0 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +sim\?tps=0$`, d.batch("list").succeed(t))
	shown := d.batch("get", id).succeed(t)
	require.Regexp(t, `(?m)^lines +300 of 300, 0 failed$`, shown)
	require.Regexp(t, `(?m)^metadata +who=me$`, shown)
	require.Equal(t, "completed", gjson.Get(d.batch("get", "--json", id).succeed(t), "status").Str)
	require.Equal(t, strings.Join(rows, "\n")+"\n", d.batch("follow", id, "-o", "-").succeed(t))
}

func (i *installation) batchOfCSV(t *testing.T) {
	t.Parallel()
	d := i.desk(t)
	d.write(t, "prompts.csv", "\ufeffid,text\r\nx,\"one\r\ntwo\"\r\ny,\"say \"\"hi\"\"\"\r\n")
	p := d.batch("run", "prompts.csv", "--template", "Summarise: {{.text}}", "--model", "sim?tps=0", "-o", "-").run(t)
	require.Zero(t, p.code(t), "%s", p)
	rows := strings.Split(strings.TrimSpace(p.out.String()), "\n")
	require.Len(t, rows, 2)
	requireAnswered(t, rows[0], "x", "Summarise: one\ntwo")
	requireAnswered(t, rows[1], "y", `Summarise: say "hi"`)

	piped := d.batch("run", "-", "--template", "{{.text}}", "--model", "sim?tps=0")
	piped.in = "hello\n\nbye"
	rows = strings.Split(strings.TrimSpace(piped.succeed(t)), "\n")
	require.Len(t, rows, 2)
	requireAnswered(t, rows[0], "line-1", "hello")
	requireAnswered(t, rows[1], "line-3", "bye")
}

func (i *installation) batchFails(t *testing.T) {
	t.Parallel()
	d := i.desk(t)
	d.write(t, "in.jsonl", chatLine("good", "sim?tps=0", "a")+chatLine("bad", "sim?fail=400", "b")+chatLine("fine", "sim?tps=0", "c"))
	p := d.batch("run", "in.jsonl").run(t)
	require.Equal(t, 1, p.code(t), "%s", p)
	rows := d.rows(t, "in.out.jsonl")
	require.Len(t, rows, 2)
	requireAnswered(t, rows[0], "good", "a")
	requireAnswered(t, rows[1], "fine", "c")
	failed := d.rows(t, "in.errors.jsonl")
	require.Len(t, failed, 1)
	require.Equal(t, "bad", gjson.Get(failed[0], "custom_id").Str)
	require.Contains(t, p.err.String(), "  bad: ")
	require.Contains(t, p.err.String(), "1 of 3 lines have no answer; sluice batch retry ")

	id := p.await(t, batchID)[0]
	again := strings.TrimSpace(d.batch("retry", id).succeed(t))
	require.Regexp(t, "^"+batchID+"$", again)
	require.NotEqual(t, id, again)
	require.Equal(t, again+"\n", d.batch("retry", id).succeed(t), "once")
	p = d.batch("follow", again).run(t)
	require.Equal(t, 1, p.code(t), "%s", p)
	require.Empty(t, d.rows(t, again+".out.jsonl"))
	require.Len(t, d.rows(t, again+".errors.jsonl"), 1)
}

func (i *installation) batchInvalid(t *testing.T) {
	t.Parallel()
	d := i.desk(t)
	d.write(t, "in.jsonl", chatLine("a", "sim?tps=0", "a")+"no json\n"+chatLine("a", "sim?tps=0", "again"))
	p := d.batch("run", "in.jsonl").run(t)
	require.Equal(t, 1, p.code(t), "%s", p)
	require.Regexp(t, `line 2: .*\[invalid_json_line\]`, p.err.String())
	require.Regexp(t, `line 3: .*\[duplicate_custom_id\]`, p.err.String())
	require.Contains(t, p.err.String(), "its file is not valid, and nothing was run")
	require.NoFileExists(t, filepath.Join(d.dir, "in.out.jsonl.sluice"))
}

// Whoever follows a batch may leave it, or die, and come back: here before the upstream has answered more than a few lines.
func TestBatchCLI_InterruptLeaves_ResumeFetches(t *testing.T) {
	t.Parallel()
	const lines, early = 40, 4
	sim, later, asked := modelsim.New(modelsim.Config{}), make(chan struct{}), atomic.Int32{}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && asked.Add(1) > early {
			select {
			case <-later:
			case <-r.Context().Done():
			}
		}
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(upstream.Close)
	i := newInstallation(t, "OPENAI_BASE_URL="+upstream.URL+"/v1", "SLUICE_UPSTREAM_HEADER=10m")
	i.up(t)
	d := i.desk(t)
	var in strings.Builder
	for n := range lines {
		in.WriteString(chatLine(fmt.Sprint(n), "sim?tps=0", fmt.Sprint(n)))
	}
	d.write(t, "in.jsonl", in.String())
	first := d.batch("run", "in.jsonl", "-o", "out.jsonl").start(t)
	first.await(t, `validating|/40 lines`)
	first.signal(t, syscall.SIGINT)
	require.Equal(t, 130, first.code(t), "%s", first)
	require.Contains(t, first.err.String(), "goes on by itself. To follow it again:\n  sluice batch run in.jsonl -o out.jsonl --resume --api "+i.url+"\n")
	id := first.await(t, batchID)[0]

	again := d.batch("run", "in.jsonl", "-o", "out.jsonl").run(t)
	require.Equal(t, 2, again.code(t), "%s", again)
	second := d.batch("run", "in.jsonl", "-o", "out.jsonl", "--resume").start(t)
	second.await(t, `validating|/40 lines`)
	second.kill()
	close(later)
	d.batch("run", "in.jsonl", "-o", "out.jsonl", "--resume").succeed(t)
	require.Len(t, d.rows(t, "out.jsonl"), lines)
	require.NoFileExists(t, filepath.Join(d.dir, "out.jsonl.sluice"))
	b, err := i.api(t).Batch(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, completion.Counts{Total: lines, Completed: lines}, b.Counts)
}

func (i *installation) batchPaused(t *testing.T) {
	t.Parallel()
	d := i.desk(t)
	d.write(t, "in.txt", strings.Repeat("slow\n", 200))
	id := strings.TrimSpace(d.batch("run", "in.txt", "--model", "sim?tps=20&tokens=400", "--detach").succeed(t))
	require.Equal(t, id+" is paused\n", d.batch("pause", id).succeed(t))
	require.Regexp(t, `(?m)^`+id+` +paused `, d.batch("list").succeed(t))
	require.Regexp(t, id+" is (validating|in_progress)\n", d.batch("resume", id).succeed(t))
	require.Regexp(t, id+" is cancell(ing|ed)\n", d.batch("cancel", id).succeed(t))
	p := d.batch("run", "in.txt", "--resume").run(t)
	require.Equal(t, 1, p.code(t), "%s", p)
	require.Contains(t, p.err.String(), id+" is cancelled")
	require.NoFileExists(t, filepath.Join(d.dir, "in.out.jsonl.sluice"))
	for _, command := range []string{"get", "follow", "cancel", "pause", "resume", "retry"} {
		p := d.batch(command, "batch_none").run(t)
		require.Equal(t, 1, p.code(t))
		require.Contains(t, p.err.String(), "not_found", command)
	}
}

// TestBatchCLI_ServerRestarts: a run that is followed goes on when the server does.
func TestBatchCLI_ServerRestarts(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	server := i.up(t)
	d := i.desk(t)
	var in strings.Builder
	for n := range 60 {
		in.WriteString(chatLine(fmt.Sprint(n), "sim?tps=20&tokens=20", fmt.Sprint(n)))
	}
	d.write(t, "in.jsonl", in.String())
	p := d.batch("run", "in.jsonl").start(t)
	p.await(t, `/60 lines`)
	server.kill()
	i.up(t)
	require.Zero(t, p.code(t), "%s", p)
	rows := d.rows(t, "in.out.jsonl")
	require.Len(t, rows, 60)
	for n, row := range rows {
		require.Equal(t, fmt.Sprint(n), gjson.Get(row, "custom_id").Str)
		require.Equal(t, modelsim.AnswerOf(20, fmt.Sprint(n)), gjson.Get(row, "response.body.choices.0.message.content").Str)
	}
}

// TestBatchesPage_CommandsDoRun follows docs/batches.md on another port, in a folder of its own.
func TestBatchesPage_CommandsDoRun(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.up(t)
	d := i.desk(t)
	var said []string
	for _, block := range shellBlocks(t, "deployments/docs/batches.md") {
		p := shell(i.here(block))
		p.dir, p.env = d.dir, []string{"SLUICE_API_URL=" + i.url, "SLUICE_DATA_DIR=" + i.dir}
		said = append(said, p.succeed(t))
	}
	require.Len(t, said, 3, "a new block needs its lines here")
	for name, want := range map[string][]string{"answers.jsonl": {"a=one", "b=two"}, "summaries.jsonl": {"news-1=Summarise: It rained, again.", "news-2=Summarise: It snowed."}} {
		rows := d.rows(t, name)
		require.Len(t, rows, len(want))
		for n, row := range rows {
			id, text, _ := strings.Cut(want[n], "=")
			requireAnswered(t, row, id, text)
		}
	}
	require.Contains(t, said[2], "event: completed")
	require.Regexp(t, `(?m)^\{.*"custom_id":"b".*"line":2\}$`, said[2], "the results")
}
