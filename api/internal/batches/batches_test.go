package batches_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file := b.upload(completion.PurposeBatch, inputs(1))
	resp, body := b.do(http.MethodPost, "/v1/batches", `{"input_file_id":"`+file+`","endpoint":"/v1/chat/completions","completion_window":"90m",
		"metadata":{"k":"v"},"output_expires_after":{"anchor":"created_at","seconds":3600},"deduplicate":true}`)
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	got := gjson.Parse(body)
	ref := completion.Ref{Tenant: "acme", Job: got.Get("id").Str}
	require.Equal(t, ref, b.ring())
	require.Equal(t, ref.Subject(), resp.Header.Get("X-Sluice-Subject"))
	require.Equal(t, "/v1/batches/"+ref.Job, resp.Header.Get("Location"))
	require.Empty(t, resp.Header.Get("Idempotent-Replayed"))
	for path, want := range map[string]string{
		"object": `"batch"`, "status": `"validating"`, "input_file_id": `"` + file + `"`, "endpoint": `"/v1/chat/completions"`, "completion_window": `"90m"`,
		"metadata": `{"k":"v"}`, "deduplicate": "true", "paused": "false", "expires_at": "null", "errors": "null", "output_file_id": "null", "error_file_id": "null",
		"request_counts": `{"total":0,"completed":0,"failed":0}`,
	} {
		require.Equal(t, want, got.Get(path).Raw, path)
	}
	stored, err := b.back.Store.Batch(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, 90*time.Minute, stored.Deadline.Sub(stored.CreatedAt))
	require.Equal(t, time.Hour, stored.OutputAge)
	_, again := b.do(http.MethodGet, "/v1/batches/"+ref.Job, "")
	require.JSONEq(t, body, again)
}

func TestCreate_Key(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file := b.upload(completion.PurposeBatch, inputs(1))
	body := `{"input_file_id":"` + file + `","endpoint":"/v1/chat/completions","completion_window":"24h"}`
	_, first := b.do(http.MethodPost, "/v1/batches", body, "Idempotency-Key", "k")
	b.ring()
	resp, second := b.do(http.MethodPost, "/v1/batches", body, "Idempotency-Key", "k")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "true", resp.Header.Get("Idempotent-Replayed"))
	require.JSONEq(t, first, second)
	resp, conflict := b.do(http.MethodPost, "/v1/batches", strings.Replace(body, "24h", "25h", 1), "Idempotency-Key", "k")
	require.Equal(t, http.StatusConflict, resp.StatusCode)
	require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
	require.Equal(t, "idempotency_key_conflict", gjson.Get(conflict, "error.code").Str)
	b.refused(http.StatusBadRequest, http.MethodPost, "/v1/batches", body, "Idempotency-Key", strings.Repeat("k", 256))
}

func TestCreate_Refuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file := b.upload(completion.PurposeBatch, inputs(1))
	with := func(endpoint, window, more string) string {
		return `{"input_file_id":"` + file + `","endpoint":` + endpoint + `,"completion_window":` + window + more + `}`
	}
	const chat, day = `"/v1/chat/completions"`, `"24h"`
	for name, c := range map[string]struct{ body, param string }{
		"no file":            {`{"endpoint":` + chat + `,"completion_window":` + day + `}`, "input_file_id"},
		"unknown file":       {strings.Replace(with(chat, day, ""), file, completion.NewFileID(), 1), "input_file_id"},
		"impossible file":    {strings.Replace(with(chat, day, ""), file, "../etc", 1), "input_file_id"},
		"other purpose":      {strings.Replace(with(chat, day, ""), file, b.upload(completion.PurposeUserData, "x"), 1), "input_file_id"},
		"no endpoint":        {`{"input_file_id":"` + file + `","completion_window":` + day + `}`, "endpoint"},
		"moderations":        {with(`"/v1/moderations"`, day, ""), "endpoint"},
		"endpoint number":    {with("1", day, ""), "endpoint"},
		"no window":          {`{"input_file_id":"` + file + `","endpoint":` + chat + `}`, "completion_window"},
		"window number":      {with(chat, "24", ""), "completion_window"},
		"window word":        {with(chat, `"soon"`, ""), "completion_window"},
		"window short":       {with(chat, `"59s"`, ""), "completion_window"},
		"window long":        {with(chat, `"8d"`, ""), "completion_window"},
		"window negative":    {with(chat, `"-24h"`, ""), "completion_window"},
		"window of no end":   {with(chat, `"`+strings.Repeat("1h", 80)+`"`, ""), "completion_window"},
		"metadata number":    {with(chat, day, `,"metadata":{"a":1}`), "metadata.a"},
		"anchor":             {with(chat, day, `,"output_expires_after":{"anchor":"now","seconds":3600}`), "output_expires_after.anchor"},
		"age short":          {with(chat, day, `,"output_expires_after":{"anchor":"created_at","seconds":3599}`), "output_expires_after.seconds"},
		"age fraction":       {with(chat, day, `,"output_expires_after":{"anchor":"created_at","seconds":3600.5}`), "output_expires_after.seconds"},
		"age text":           {with(chat, day, `,"output_expires_after":"1h"`), "output_expires_after"},
		"deduplicate text":   {with(chat, day, `,"deduplicate":"yes"`), "deduplicate"},
		"unknown field":      {with(chat, day, `,"dedupe":true`), "dedupe"},
		"twice":              {with(chat, day, `,"endpoint":`+chat), "endpoint"},
		"no object":          {`[]`, ""},
		"NUL in the file id": {strings.Replace(with(chat, day, ""), file, `\u0000`, 1), "input_file_id"},
	} {
		failure := b.refused(http.StatusBadRequest, http.MethodPost, "/v1/batches", c.body)
		require.Equal(t, c.param, failure.Get("param").String(), name)
		require.Equal(t, "invalid_request", failure.Get("code").Str, name)
	}
	require.Equal(t, "The endpoint must be one of /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses; others are not served here.",
		b.refused(http.StatusBadRequest, http.MethodPost, "/v1/batches", with(`"/v1/moderations"`, day, "")).Get("message").Str)
	require.Equal(t, "invalid_json", b.refused(http.StatusBadRequest, http.MethodPost, "/v1/batches", "{").Get("code").Str)
	b.refused(http.StatusUnsupportedMediaType, http.MethodPost, "/v1/batches", with(chat, day, ""), "Content-Type", "text/plain")
	b.refused(http.StatusRequestEntityTooLarge, http.MethodPost, "/v1/batches", strings.Repeat(" ", 129<<10))
	require.Empty(t, b.rings)
}

func TestCreate_Windows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file := b.upload(completion.PurposeBatch, inputs(1))
	for text, want := range map[string]time.Duration{
		"1m": time.Minute, "24h": 24 * time.Hour, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "168h": 7 * 24 * time.Hour, "1d": 24 * time.Hour, "90.5s": 90500 * time.Millisecond,
	} {
		_, body := b.do(http.MethodPost, "/v1/batches", `{"input_file_id":"`+file+`","endpoint":"/v1/embeddings","completion_window":"`+text+`","metadata":null,"output_expires_after":null,"deduplicate":null}`)
		require.Equal(t, text, gjson.Get(body, "completion_window").Str, body)
		stored, err := b.back.Store.Batch(t.Context(), completion.Ref{Tenant: "acme", Job: gjson.Get(body, "id").Str})
		require.NoError(t, err)
		require.Equal(t, want, stored.Deadline.Sub(stored.CreatedAt), text)
	}
}

// A client that pages sees each batch once, and comes to an end.
func TestList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, body := b.do(http.MethodGet, "/v1/batches", "")
	require.JSONEq(t, `{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}`, body)
	var want, got []string
	for range 5 {
		want = append([]string{b.create(inputs(1), "").Job}, want...)
	}
	for after := ""; ; {
		_, body := b.do(http.MethodGet, "/v1/batches?limit=2&after="+after, "")
		for _, item := range gjson.Get(body, "data").Array() {
			got = append(got, item.Get("id").Str)
		}
		require.Equal(t, got[len(got)-1], gjson.Get(body, "last_id").Str)
		if !gjson.Get(body, "has_more").Bool() {
			break
		}
		after = gjson.Get(body, "last_id").Str
	}
	require.Equal(t, want, got)
	for _, query := range []string{"limit=0", "limit=101", "limit=x", "after=*", "after=" + strings.Repeat("a", 65)} {
		b.refused(http.StatusBadRequest, http.MethodGet, "/v1/batches?"+query, "")
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ref := b.create(inputs(1), "")
	require.Equal(t, ref, b.ring())
	for range 2 {
		resp, body := b.do(http.MethodPost, "/v1/batches/"+ref.Job+"/cancel", "")
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Equal(t, "cancelling", gjson.Get(body, "status").Str)
		require.Equal(t, ref, b.ring())
	}
	ended := b.create(inputs(1), "")
	b.run(ended, completion.BatchCompleted, 1, completion.Completed)
	_, before := b.do(http.MethodGet, "/v1/batches/"+ended.Job, "")
	resp, body := b.do(http.MethodPost, "/v1/batches/"+ended.Job+"/cancel", "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.JSONEq(t, before, body, "as it is")
}

func TestPause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ref := b.create(inputs(2), "")
	require.Equal(t, ref, b.ring())
	for _, act := range []struct {
		name   string
		paused bool
	}{{"pause", true}, {"pause", true}, {"resume", false}, {"resume", false}} {
		resp, body := b.do(http.MethodPost, "/v1/batches/"+ref.Job+"/"+act.name, "")
		require.Equal(t, http.StatusOK, resp.StatusCode, body)
		require.Equal(t, act.paused, gjson.Get(body, "paused").Bool())
		require.Equal(t, ref, b.ring())
	}
	b.run(ref, completion.BatchCompleted, 2, completion.Completed, completion.Completed)
	for _, act := range []string{"pause", "resume"} {
		require.Equal(t, "batch_not_live", b.refused(http.StatusConflict, http.MethodPost, "/v1/batches/"+ref.Job+"/"+act, "").Get("code").Str)
	}
}

// Another tenant's batch, and one that cannot be, are answered like none (I8).
func TestNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, id := range []string{completion.NewBatchID(), "job_1", "*", strings.Repeat("a", 65)} {
		for _, what := range []string{"", "/events", "/results"} {
			require.Equal(t, "not_found", b.refused(http.StatusNotFound, http.MethodGet, "/v1/batches/"+id+what, "").Get("code").Str)
		}
		for _, what := range []string{"/cancel", "/pause", "/resume", "/retry", "/credential"} {
			require.Equal(t, "not_found", b.refused(http.StatusNotFound, http.MethodPost, "/v1/batches/"+id+what, "").Get("code").Str)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ref := b.create(inputs(1), "")
	tail, err := b.back.Log.Open(t.Context(), ref)
	require.NoError(t, err)
	batch, err := b.back.Store.Batch(t.Context(), ref)
	require.NoError(t, err)
	for _, kind := range []completion.EventType{completion.EventStarted, completion.EventProgress, completion.EventCompleted} {
		require.NoError(t, tail.Append(t.Context(), completion.Event{Type: kind, Attempt: 1, At: time.Now(), Batch: batch.Brief()}))
	}
	resp, body := b.do(http.MethodGet, "/v1/batches/"+ref.Job+"/events", "")
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	require.Equal(t, 3, strings.Count(body, "\ndata: "), body)
	_, rest := b.do(http.MethodGet, "/v1/batches/"+ref.Job+"/events", "", "Last-Event-ID", "2")
	require.Contains(t, rest, "id: 3\nevent: completed\n")
	require.NotContains(t, rest, "id: 2\n")
	require.Equal(t, "after", b.refused(http.StatusBadRequest, http.MethodGet, "/v1/batches/"+ref.Job+"/events?after=x", "").Get("param").Str)
}
