package api_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// speaksResponses has the server know an upstream for the model m that speaks Responses itself.
func (s *server) speaksResponses(t *testing.T) {
	t.Helper()
	list := completion.ModelList{Upstream: "main", Models: []byte(`[{"id":"m","object":"model"}]`), Native: true, SeenAt: time.Now()}
	require.NoError(t, s.back.Store.SetModels(t.Context(), list))
}

const (
	hosted    = `,"tools":[{"type":"web_search"}]`
	searching = `{"type":"response.output_item.done","output_index":0,"item":{"id":"ws_1","type":"web_search_call","status":"completed"}}`
	thinking  = `{"type":"response.output_item.done","output_index":1,"item":{"id":"rs_1","type":"reasoning","encrypted_content":"x","summary":[]}}`
	speaking  = `{"type":"response.output_item.done","output_index":2,"item":{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"hello","annotations":[{"type":"url_citation","url":"u"}]}]}}`
	ending    = `{"type":"response.completed","response":{"id":"resp_up","object":"response","status":"completed","model":"m-2026","usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}}`
)

func TestResponses_Native(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.speaksResponses(t)

	asked := s.ask(t, responsesPath, question(hosted+`,"stream":true`))
	w := s.act(t)
	require.JSONEq(t, question(hosted+`,"stream":true`), string(w.job.Request))
	w.say(searching)
	w.say(thinking, speaking, ending)
	w.end(completion.Completed, nil)
	events := asked.events()
	var names []string
	for i, e := range events {
		names = append(names, strings.TrimPrefix(e.Get("type").Str, "response."))
		require.Equal(t, int64(i), e.Get("sequence_number").Int())
	}
	require.Equal(t, []string{"created", "in_progress", "output_item.done", "output_item.done", "output_item.done", "completed"}, names)
	id := events[0].Get("response.id").Str
	o := s.response(t, id)
	require.Equal(t, id, o.Get("id").Str)
	require.Equal(t, `["ws_1","rs_1","msg_1"]`, o.Get("output.#.id").Raw)
	require.Equal(t, "x", o.Get("output.1.encrypted_content").Str)
	require.Equal(t, "u", o.Get("output.2.content.0.annotations.0.url").Str)
	require.Equal(t, "3", o.Get("usage.total_tokens").Raw)
	require.JSONEq(t, o.Raw, events[5].Get("response").Raw)
	for n := range events {
		require.Equal(t, events[n+1:], append([]gjson.Result{}, s.watch(t, id, "&starting_after="+strconv.Itoa(n))...))
	}

	next, w := s.respond(t, `{"model":"m","input":"more","background":true,"previous_response_id":"`+id+`"}`)
	require.Equal(t, `["message","web_search_call","reasoning","message","message"]`, gjson.GetBytes(w.job.Request, "input.#.type").Raw)
	require.Equal(t, "x", gjson.GetBytes(w.job.Request, "input.2.encrypted_content").Str)
	w.say(`{"type":"response.output_item.added","output_index":0,"item":{"id":"msg_2","type":"message","role":"assistant","content":[]}}`)
	w.end(completion.Cancelled, completion.NewError(completion.CodeCancelled, ""))
	o = s.response(t, next)
	require.Equal(t, `"cancelled"["msg_2"]`, o.Get("status").Raw+o.Get("output.#.id").Raw)
	for _, bad := range []string{`,"conversation":"c"`, `,"input":[{"type":"item_reference","id":"rs_9"}]`, `,"tools":5`} {
		resp, body := s.do(t, http.MethodPost, responsesPath, `{"model":"m"`+bad+`}`)
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, body)
	}
}
