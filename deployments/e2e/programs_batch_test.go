package e2e_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/deployments/internal/process"
	"sluice/shared/modelsim"
)

var batchLines = flag.Int("batch.lines", 10_000, "lines of the batch that is struck; make faults has more")

// TestBatch_I1_Struck runs a long batch while its parts are killed and Redis is wiped. Each line is answered once, in its
// place and with its own text, and told once on the batch's subject.
func TestBatch_I1_Struck(t *testing.T) {
	t.Parallel()
	c := startLoaded(t)
	apis := []string{process.FreeAddr(), process.FreeAddr()}
	for _, addr := range apis {
		c.startAPI(t, addr).ready(t)
	}
	workers := []*child{c.startWorker(t), c.startWorker(t)}
	batch := c.apis[0].startBatch(t, writeLines(t, *batchLines))

	for i, s := range []struct {
		name   string
		strike func()
	}{
		{"the first api is killed", func() { c.apis[0].signal(t, syscall.SIGKILL); c.startAPI(t, apis[0]).ready(t) }},
		{"a worker is killed", func() { workers[0].signal(t, syscall.SIGKILL); c.startWorker(t) }},
		{"Redis is wiped", func() { require.NoError(t, c.redis.Client(t).FlushAll(t.Context()).Err()) }},
		{"the second api is killed", func() { c.apis[1].signal(t, syscall.SIGKILL); c.startAPI(t, apis[1]).ready(t) }},
		{"the other worker is killed", func() { workers[1].signal(t, syscall.SIGKILL); c.startWorker(t) }},
	} {
		until(t, s.name, func() bool {
			b := c.last().get(t, "/v1/batches/"+batch)
			require.NotContains(t, []string{"failed", "completed"}, gjson.Get(b.body, "status").Str, "%s: too late in %s", s.name, b.body)
			return gjson.Get(b.body, "request_counts.completed").Int() >= int64(*batchLines*(i+1)/8)
		})
		s.strike()
	}
	c.last().whole(t, batch, *batchLines)
	stats := newAPI(t, strings.TrimSuffix(c.url, "/v1"), "").get(t, "/sim/stats").body
	require.LessOrEqual(t, gjson.Get(stats, "requests").Int(), int64(*batchLines+1000), "what was under way when a worker died is asked again, and nothing else")
}

// last is the api that was started last.
func (c *cluster) last() *apiProcess { return c.apis[len(c.apis)-1] }

// writeLines makes a file of chat completions, each with a text of its own, that take a while, so that there is time to strike.
func writeLines(t *testing.T, lines int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.jsonl")
	f, err := os.Create(path)
	require.NoError(t, err)
	w := bufio.NewWriter(f)
	for n := 1; n <= lines; n++ {
		fmt.Fprintf(w, `{"custom_id":"line-%d","method":"POST","url":"/v1/chat/completions","body":{"model":"sim-instant?first=200ms","messages":[{"role":"user","content":"%s"}]}}`+"\n", n, ask(n))
	}
	require.NoError(t, w.Flush())
	require.NoError(t, f.Close())
	return path
}

// ask is what a line asks.
func ask(line int) string { return fmt.Sprintf("this is question %d", line) }

// upload sends a file with a multipart form and returns its id.
func (a *apiProcess) upload(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	body, form := io.Pipe()
	parts := multipart.NewWriter(form)
	go func() {
		err := parts.WriteField("purpose", "batch")
		part, bad := parts.CreateFormFile("file", filepath.Base(path))
		if err == nil && bad == nil {
			_, err = io.Copy(part, f)
		}
		if err == nil {
			err = parts.Close()
		}
		_ = form.CloseWithError(err) // never fails
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url+"/v1/files", body)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+a.key)
	req.Header.Set("Content-Type", parts.FormDataContentType())
	resp, err := web.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", text)
	return gjson.GetBytes(text, "id").Str
}

// startBatch uploads a file and has it run.
func (a *apiProcess) startBatch(t *testing.T, path string) string {
	t.Helper()
	body := fmt.Sprintf(`{"input_file_id":%q,"endpoint":"/v1/chat/completions","completion_window":"24h"}`, a.upload(t, path))
	made := a.do(t, http.MethodPost, "/v1/batches", body, "Content-Type", "application/json")
	require.Equal(t, http.StatusOK, made.status, made.body)
	return gjson.Get(made.body, "id").Str
}

// whole waits for the end of a batch that writeLines has made, and checks that all of it is there.
func (a *apiProcess) whole(t *testing.T, batch string, lines int) {
	t.Helper()
	var b string
	until(t, "the end of "+batch, func() bool {
		b = a.get(t, "/v1/batches/"+batch).body
		return gjson.Get(b, "completed_at").Int() > 0
	})
	require.JSONEq(t, fmt.Sprintf(`{"total":%d,"completed":%d,"failed":0}`, lines, lines), gjson.Get(b, "request_counts").Raw)
	require.Equal(t, gjson.Null, gjson.Get(b, "error_file_id").Type, b)

	n := 0
	output := a.get(t, "/v1/files/"+gjson.Get(b, "output_file_id").Str+"/content")
	for row := range strings.Lines(output.body) {
		n++
		answer := gjson.GetMany(row, "custom_id", "response.status_code", "response.body.choices.0.message.content", "error")
		require.Equal(t, fmt.Sprintf("line-%d", n), answer[0].Str, "in input order, each once")
		require.Equal(t, int64(http.StatusOK), answer[1].Int(), row)
		require.Equal(t, modelsim.Answer(ask(n)), answer[2].Str)
		require.Equal(t, gjson.Null, answer[3].Type, row)
	}
	require.Equal(t, lines, n)
	a.told(t, batch, lines)
}

// told checks that the batch's events tell of each line once, in a chain without holes that ends once.
func (a *apiProcess) told(t *testing.T, batch string, lines int) {
	t.Helper()
	events := a.get(t, "/v1/batches/"+batch+"/events")
	require.Equal(t, http.StatusOK, events.status, events.body)
	told, seq, last := map[int64]bool{}, int64(0), ""
	for frame := range strings.Lines(events.body) {
		data, ok := bytes.CutPrefix([]byte(frame), []byte("data:"))
		if !ok {
			continue
		}
		seq++
		require.Equal(t, seq, gjson.GetBytes(data, "seq").Int())
		last = gjson.GetBytes(data, "type").Str
		for _, line := range gjson.GetBytes(data, "lines.#.line").Array() {
			require.False(t, told[line.Int()], "line %d is told twice", line.Int())
			told[line.Int()] = true
		}
	}
	require.Equal(t, "completed", last)
	require.Len(t, told, lines)
}
