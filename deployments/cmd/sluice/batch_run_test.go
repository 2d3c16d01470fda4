package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// script is an API with one batch, which a test can break in places that a real one seldom breaks in.
type script struct {
	t   *testing.T
	url string

	mu      sync.Mutex
	faults  map[string]int // requests to be dropped, by method and path, before they are served
	lost    map[string]int // the same, after they were served
	asked   []string       // requests that were served
	input   string         // content of file-in
	key     string
	created string // body of the creation
	batch   completion.Batch
	refuse  string // body of a refusal of the creation
	hold    chan struct{}
	output  map[string]string // files
}

func newScript(t *testing.T) *script {
	s := &script{
		t: t, faults: map[string]int{}, lost: map[string]int{}, output: map[string]string{"file-out": `{"custom_id":"a"}` + "\n", "file-err": ""},
		batch: completion.Batch{
			ID: "batch_1", Tenant: "local", State: completion.BatchCompleted, Output: "file-out", CreatedAt: time.Now(), EndedAt: time.Now(),
			Counts: completion.Counts{Total: 1, Completed: 1}, Usage: completion.BatchUsage{Input: 1200, Output: 34},
		},
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := r.Method + " " + r.URL.Path
	s.mu.Lock()
	if s.faults[at]--; s.faults[at] >= 0 {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.asked = append(s.asked, at)
	s.lost[at]--
	lost := s.lost[at] >= 0
	s.mu.Unlock()
	if lost {
		s.serve(httptest.NewRecorder(), r, at)
		panic(http.ErrAbortHandler)
	}
	s.serve(w, r, at)
}

func (s *script) serve(w http.ResponseWriter, r *http.Request, at string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch at {
	case "POST /v1/files":
		_, text, _ := strings.Cut(string(body), "octet-stream\r\n\r\n")
		s.input, _, _ = strings.Cut(text, "\r\n--")
		fmt.Fprint(w, `{"id":"file-in"}`)
	case "POST /v1/batches":
		if s.refuse != "" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, s.refuse)
			return
		}
		if s.key != "" && s.key != r.Header.Get("Idempotency-Key") {
			s.t.Error("two batches are made")
		}
		s.key, s.created = r.Header.Get("Idempotency-Key"), string(body)
		live := s.batch
		live.State = completion.BatchValidating
		fmt.Fprintf(w, "%s", live.Object())
	case "GET /v1/batches/batch_1":
		fmt.Fprintf(w, "%s", s.batch.Object())
	case "GET /v1/batches/batch_1/events":
		e := s.batch.FinalEvent()
		if e.Seq = 2; s.hold != nil {
			e.Type, e.Seq = completion.EventProgress, 1
		}
		text, _ := e.Encode()
		fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.Seq, text)
		if s.hold != nil {
			_ = http.NewResponseController(w).Flush()
			close(s.hold)
			s.mu.Unlock()
			<-r.Context().Done()
			s.mu.Lock()
		}
	case "GET /v1/files/file-out/content", "GET /v1/files/file-err/content":
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(s.output[strings.Split(at, "/")[3]]))
	default:
		fmt.Fprint(w, "{}")
	}
}

// change changes the script while it is served.
func (s *script) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// count is how often the script served that.
func (s *script) count(at string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, asked := range s.asked {
		if asked == at {
			n++
		}
	}
	return n
}

// desk is a folder with an input, and a command line in it.
type desk struct {
	*script
	dir, in, out string
	stdin        string
	said, told   bytes.Buffer // standard output and error
}

func newDesk(t *testing.T) *desk {
	dir := t.TempDir()
	d := &desk{script: newScript(t), dir: dir, in: filepath.Join(dir, "in.jsonl"), out: filepath.Join(dir, "out.jsonl")}
	d.write(d.in, `{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{}}`+"\n")
	return d
}

func (d *desk) write(path, text string) {
	require.NoError(d.t, os.WriteFile(path, []byte(text), 0o600))
}

func (d *desk) read(path string) string {
	text, err := os.ReadFile(path)
	require.NoError(d.t, err)
	return string(text)
}

// run runs sluice batch and returns its exit status.
func (d *desk) run(ctx context.Context, args ...string) int {
	d.said.Reset()
	d.told.Reset()
	in, err := os.Open(os.DevNull)
	require.NoError(d.t, err)
	if d.stdin != "" {
		d.write(filepath.Join(d.dir, "stdin"), d.stdin)
		require.NoError(d.t, in.Close())
		in, err = os.Open(filepath.Join(d.dir, "stdin"))
		require.NoError(d.t, err)
	}
	defer in.Close()
	err = run(ctx, append(append([]string{"batch"}, args...), "--api", d.url), &terminal{in: in, out: &d.said, err: &d.told})
	fmt.Fprintln(&d.told, err)
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.status
	}
	return 1
}

func TestBatchRun(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.write(filepath.Join(d.dir, "out.errors.jsonl"), "of an earlier run")
	require.Zero(t, d.run(t.Context(), "run", d.in, "-o", d.out, "--metadata", "a=b;c", "--deduplicate", "--window", "30m"), d.told.String())
	require.Equal(t, d.output["file-out"], d.read(d.out))
	require.Equal(t, d.read(d.in), d.input)
	require.JSONEq(t, `{"input_file_id":"file-in","endpoint":"/v1/embeddings","completion_window":"30m","metadata":{"a":"b;c"},"deduplicate":true}`, d.created)
	require.Contains(t, d.told.String(), "batch_1 is completed: 1 of 1 lines completed, 0 failed; 1,200 tokens in, 34 out;")
	files, err := os.ReadDir(d.dir)
	require.NoError(t, err)
	require.Len(t, files, 2, "no state, no temporary files, no errors of an earlier run")
	require.Empty(t, d.said.String())
}

func TestBatchRun_Streams(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.stdin = "one\ntwo\n"
	require.Zero(t, d.run(t.Context(), "run", "-", "-o", "-", "--template", "{{.text}}?", "--model", "sim"), d.told.String())
	require.Equal(t, d.output["file-out"], d.said.String())
	require.Equal(t, []string{"line-1=one?", "line-2=two?"}, said(d.input))
	d.key = ""
	require.Zero(t, d.run(t.Context(), "run", d.in, "-o", os.DevNull), d.told.String())
	info, err := os.Stat(os.DevNull)
	require.NoError(t, err)
	require.False(t, info.Mode().IsRegular(), "a device is not replaced")
}

func TestBatchRun_LinesFailed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for i := range 7 {
		d.output["file-err"] += fmt.Sprintf(`{"custom_id":"x%d","response":{"status_code":400,"body":{"error":{"message":"No.","code":"bad"}}},"error":null}`+"\n", i)
	}
	d.batch.Faults, d.batch.Output, d.batch.Counts = "file-err", "", completion.Counts{Total: 7, Failed: 7}
	require.Equal(t, 1, d.run(t.Context(), "run", d.in))
	require.Empty(t, d.read(filepath.Join(d.dir, "in.out.jsonl")))
	require.Equal(t, d.output["file-err"], d.read(filepath.Join(d.dir, "in.errors.jsonl")))
	require.Contains(t, d.told.String(), "  x4: No. [400 bad]\n  and 2 more\n7 of 7 lines have no answer; sluice batch retry batch_1 tries them again")
	require.NoFileExists(t, filepath.Join(d.dir, "in.out.jsonl.sluice"))
}

func TestBatchRun_Invalid(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.batch.State, d.batch.Output = completion.BatchFailed, ""
	d.batch.Errors = []completion.LineError{{Code: "invalid_json", Message: "No JSON.", Param: "body", Line: 3}}
	require.Equal(t, 1, d.run(t.Context(), "run", d.in, "-o", d.out))
	require.Contains(t, d.told.String(), "  line 3: No JSON. (body) [invalid_json]\nbatch_1: its file is not valid, and nothing was run")
	require.NoFileExists(t, d.out)
	require.NoFileExists(t, d.out+".sluice", "so that the next run begins anew")
}

// TestBatchRun_Resume breaks runs in each place, and goes on with them.
func TestBatchRun_Resume(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*desk){
		"create not served":    func(d *desk) { d.faults["POST /v1/batches"] = 9 },
		"create served":        func(d *desk) { d.lost["POST /v1/batches"] = 9 },
		"killed before upload": func(d *desk) { d.faults["POST /v1/files"] = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			args := []string{"run", d.in, "-o", d.out, "--window", "1h"}
			cut(d)
			state := d.out + ".sluice"
			require.Equal(t, 1, d.run(t.Context(), args...), d.told.String())
			d.change(func() { d.faults, d.lost = map[string]int{}, map[string]int{} })
			if name == "killed before upload" {
				require.NoFileExists(t, state, "nothing is left to go on with")
				require.Zero(t, d.run(t.Context(), args...), d.told.String())
				return
			}
			require.Contains(t, d.told.String(), "--resume --api "+d.url)
			require.Equal(t, 2, d.run(t.Context(), args...))
			require.Contains(t, d.told.String(), "an earlier run has not ended. Go on with it:\n  sluice batch run "+d.in+" -o "+d.out+" --resume")
			require.Equal(t, 2, d.run(t.Context(), append(args, "--resume", "--window", "2h")...), "something else is asked for")
			before := d.read(d.in)
			d.write(d.in, before+before)
			require.Equal(t, 2, d.run(t.Context(), "run", d.in, "-o", d.out, "--resume"))
			require.Contains(t, d.told.String(), "is not what it was")
			d.write(d.in, before)
			require.Zero(t, d.run(t.Context(), append(args, "--resume")...), d.told.String())
			require.Equal(t, d.output["file-out"], d.read(d.out))
			require.Equal(t, "1h", gjson.Get(d.created, "completion_window").Str)
			require.Equal(t, 1, d.count("POST /v1/files"), "uploaded once")
			require.NoFileExists(t, state)
			require.Equal(t, 2, d.run(t.Context(), append(args, "--resume")...))
			require.Contains(t, d.told.String(), "nothing to resume")
		})
	}
}

// TestBatchRun_ServerAway: what is lost on the way after the batch was made is asked for again.
func TestBatchRun_ServerAway(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.output["file-out"] = strings.Repeat("x", 1<<20)
	for _, at := range []string{"GET /v1/batches/batch_1/events", "GET /v1/batches/batch_1", "GET /v1/files/file-out/content"} {
		d.faults[at] = 2
	}
	require.Zero(t, d.run(t.Context(), "run", d.in, "-o", d.out), d.told.String())
	require.Equal(t, d.output["file-out"], d.read(d.out))
}

func TestBatchRun_Refused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.refuse = `{"error":{"message":"No such window.","param":"completion_window","code":"invalid"}}`
	require.Equal(t, 1, d.run(t.Context(), "run", d.in, "-o", d.out, "--window", "9y"))
	require.Contains(t, d.told.String(), "No such window. (completion_window) [400 invalid]")
	require.NoFileExists(t, d.out+".sluice")
	require.Equal(t, 1, d.count("DELETE /v1/files/file-in"))
}

func TestBatchRun_Interrupted(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.write(d.in, "one\n")
	d.batch.State, d.hold = completion.BatchInProgress, make(chan struct{})
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		<-d.hold
		interrupt()
	}()
	require.Equal(t, interrupted, d.run(ctx, "run", d.in, "-o", d.out, "--template", "{{.text}}", "--model", "sim"))
	require.Contains(t, d.told.String(), "batch_1 goes on by itself. To follow it again:\n  sluice batch run "+d.in+" -o "+d.out+" --resume --api "+d.url+"\n")
	require.Zero(t, d.count("POST /v1/batches/batch_1/cancel"))
	var s batchState
	require.NoError(t, json.Unmarshal([]byte(d.read(d.out+".sluice")), &s))
	require.Equal(t, "batch_1", s.Batch)
	d.change(func() { d.batch.State, d.hold = completion.BatchCompleted, nil })
	require.Zero(t, d.run(t.Context(), "run", d.in, "-o", d.out, "--resume"), d.told.String())
	require.Equal(t, d.output["file-out"], d.read(d.out))
}

func TestBatchRun_Detach(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	require.Zero(t, d.run(t.Context(), "run", d.in, "-o", d.out, "--detach"))
	require.Equal(t, "batch_1\n", d.said.String())
	require.NoFileExists(t, d.out)
	require.Zero(t, d.run(t.Context(), "run", d.in, "-o", d.out, "--resume"), d.told.String())
	require.FileExists(t, d.out)
	require.Zero(t, d.run(t.Context(), "follow", "batch_1", "-o", d.out+"2"), d.told.String())
	require.Equal(t, d.read(d.out), d.read(d.out+"2"))
}

func TestBatchRun_WrongUsage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.write(d.dir+"/a.csv", "a\n1\n")
	d.write(d.dir+"/empty.jsonl", " \n")
	for want, args := range map[string][]string{
		"2 must be different files": {d.in, "-o", d.in},
		"2 --template":              {d.dir + "/a.csv", "--model", "x"},
		"1 no such file":            {d.dir + "/none"},
		"1 it is empty":             {d.dir + "/empty.jsonl"},
		"1 does not begin with":     {d.dir + "/a.csv", "--format", "jsonl"},
		"1 no entry for key":        {d.dir + "/a.csv", "--model", "x", "--template", "{{.b}}"},
		"2 --format":                {d.in, "--format", "xml"},
		"2 cannot be resumed":       {"-", "--resume"},
		"2 nothing to resume":       {d.in, "--resume"},
	} {
		status := d.run(t.Context(), append([]string{"run"}, args...)...)
		require.Equal(t, want[:1], fmt.Sprint(status), "%s: %s", want, d.told.String())
		require.Contains(t, d.told.String(), want[2:])
	}
	d.write(d.in+"x.sluice", "{}")
	require.Equal(t, 1, d.run(t.Context(), "run", d.in, "-o", d.in+"x", "--resume"))
	require.Contains(t, d.told.String(), "is not the state of a run")
	require.Empty(t, d.asked)
}

func TestQuote(t *testing.T) {
	t.Parallel()
	require.Equal(t, `sluice a 'b c' 'it'\''s' --api http://x:1 --key-file k`, remote{API: "http://x:1", KeyFile: "k"}.command("a", "b c", "it's"))
	require.Equal(t, "sluice a", remote{API: defaultAPI}.command("a"))
}
