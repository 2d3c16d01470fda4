package e2e_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
)

const responsesPath = "/v1/responses"

// streamed are the events of a response after one.
func (a *apiProcess) streamed(t *testing.T, id string, after int) (events []gjson.Result) {
	t.Helper()
	query := "?stream=true"
	if after >= 0 {
		query += "&starting_after=" + strconv.Itoa(after)
	}
	got := a.get(t, responsesPath+"/"+id+query)
	require.Equal(t, http.StatusOK, got.status, got.body)
	for line := range strings.Lines(got.body) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			events = append(events, gjson.Parse(strings.TrimSpace(data)))
		}
	}
	return events
}

// TestNative_I3_WorkerKilled has an upstream that speaks Responses answer with a hosted tool, and kills the worker in the
// middle: another one begins anew, with items of its own, and whoever comes later sees all of that.
func TestNative_I3_WorkerKilled(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 0, "SLUICE_UPSTREAM_RESPONSES=native", "SLUICE_WORKER_TTL=3s")
	a := c.apis[0]
	const body = `{"model":"sim?search=1&tps=60&tokens=120&key=native","input":"hello","background":true,"tools":[{"type":"web_search"}]}`
	a.do(t, http.MethodPost, responsesPath, body).refused(t, http.StatusBadRequest, completion.CodeInvalidRequest, "tools[0].type")

	first := c.startWorker(t)
	var id string
	until(t, "the api to know of the upstream", func() bool {
		made := a.do(t, http.MethodPost, responsesPath, body)
		id = gjson.Get(made.body, "id").Str
		return made.status == http.StatusOK
	})
	job, _ := completion.Unalias("resp_", id)
	live := a.sse(t, client.Job{ID: job}, 0)
	live.until(t, func(e completion.Event) bool {
		return slices.ContainsFunc(e.Chunks, func(chunk json.RawMessage) bool {
			return gjson.GetBytes(chunk, "type").Str == "response.output_text.delta"
		})
	})
	first.kill()
	c.startWorker(t)
	live.end(t, 0)

	made := gjson.Parse(a.get(t, responsesPath+"/"+id).body)
	require.Equal(t, "completed", made.Get("status").Str, made.Raw)
	require.Equal(t, `["web_search_call","message"]`, made.Get("output.#.type").Raw)
	require.Equal(t, modelsim.AnswerOf(120, "hello"), made.Get("output.1.content.0.text").Str)
	require.Equal(t, 120, int(made.Get("usage.output_tokens").Int()))
	require.EqualValues(t, 2, c.Stats().Keys["native"])

	all, text := a.streamed(t, id, -1), ""
	begin := all[0].Get("sequence_number").Int()
	require.Positive(t, begin, "what the first worker said is not said again")
	for i, e := range all {
		require.Equal(t, begin+int64(i), e.Get("sequence_number").Int())
		if e.Get("type").Str == "response.output_text.delta" {
			text += e.Get("delta").Str
		}
	}
	require.Equal(t, made.Get("output.1.content.0.text").Str, text, "I4")
	require.JSONEq(t, made.Raw, all[len(all)-1].Get("response").Raw)
	for _, n := range []int{0, 1, len(all) / 2, len(all) - 2} {
		require.Equal(t, all[n+1:], a.streamed(t, id, int(begin)+n))
	}
	early := a.streamed(t, id, 1)
	require.Equal(t, "stream_diverged", early[len(early)-1].Get("code").Str, "who heard the first worker is told")
}
