package api_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/api"
	"sluice/shared/completion"
	"sluice/shared/response"
)

const responsesPath = "/v1/responses"

func question(extra string) string { return `{"model":"m","input":"hi"` + extra + `}` }

// events are all further events of a stream, each checked against the name of its frame.
func (a *ask) events() []gjson.Result {
	a.t.Helper()
	<-a.got
	require.NotNil(a.t, a.resp)
	require.Equal(a.t, http.StatusOK, a.resp.StatusCode)
	return framed(a.t, a.lines.Scan, a.lines.Text)
}

func framed(t *testing.T, next func() bool, text func() string) (list []gjson.Result) {
	t.Helper()
	name := ""
	for next() {
		line := text()
		if n, ok := strings.CutPrefix(line, "event: "); ok {
			name = n
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			require.Equal(t, name, gjson.Get(data, "type").Str)
			list = append(list, gjson.Parse(data))
		}
	}
	return list
}

// watch reads a response's stream to its end.
func (s *server) watch(t *testing.T, id, query string) []gjson.Result {
	t.Helper()
	resp, body := s.do(t, http.MethodGet, responsesPath+"/"+id+"?stream=true"+query, "")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	lines := strings.Split("\n"+body, "\n")
	return framed(t, func() bool { lines = lines[1:]; return len(lines) > 0 }, func() string { return lines[0] })
}

// respond makes a response in the background, whose worker the test is.
func (s *server) respond(t *testing.T, body string) (id string, w *actor) {
	t.Helper()
	resp, text := s.do(t, http.MethodPost, responsesPath, body)
	require.Equal(t, http.StatusOK, resp.StatusCode, text)
	require.Equal(t, "queued", gjson.Get(text, "status").Str, text)
	return gjson.Get(text, "id").Str, s.act(t)
}

func (s *server) response(t *testing.T, id string) gjson.Result {
	t.Helper()
	resp, body := s.do(t, http.MethodGet, responsesPath+"/"+id, "")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	return gjson.Parse(body)
}

func TestResponses_Create(t *testing.T) {
	t.Parallel()
	s := setup(t)
	asked := s.ask(t, responsesPath, question(`,"instructions":"be","metadata":{"a":"b"},"temperature":0.50`))
	w := s.act(t)
	require.Equal(t, completion.EndpointResponses, w.job.Endpoint)
	require.True(t, w.job.Stored)
	require.Equal(t, map[string]string{"a": "b"}, w.job.Metadata)
	upstream, err := response.Chat(w.job.Request)
	require.NoError(t, err)
	require.JSONEq(t, `{"model":"m","messages":[{"role":"system","content":"be"},{"role":"user","content":"hi"}],"temperature":0.50}`, string(upstream))
	w.say(first, chunk("he"), chunk("llo"), stop, usage)
	w.end(completion.Completed, nil)
	o := gjson.Parse(asked.whole())
	require.Equal(t, http.StatusOK, asked.resp.StatusCode, o.Raw)
	for path, want := range map[string]string{
		"object": "response", "status": "completed", "model": "m", "instructions": "be", "metadata.a": "b", "temperature": "0.50", "store": "true",
		"id": completion.Alias("resp_", w.job.ID), "output.0.content.0.text": "hello", "output.#": "1", "usage.total_tokens": "3",
	} {
		require.Equal(t, want, strings.Trim(o.Get(path).Raw, `"`), path)
	}
	require.Equal(t, w.job.ID, asked.resp.Header.Get("X-Sluice-Job-Id"))
	require.Equal(t, w.job.Ref().Subject(), asked.resp.Header.Get("X-Sluice-Subject"))
	require.NotEmpty(t, asked.resp.Header.Get("X-Request-Id"))
	require.JSONEq(t, o.Raw, s.response(t, o.Get("id").Str).Raw)
}

func TestResponses_Stream(t *testing.T) {
	t.Parallel()
	s := setup(t)
	asked := s.ask(t, responsesPath, question(`,"stream":true`))
	w := s.act(t)
	w.say(first, chunk("he"))
	w.say(chunk("llo"), stop, usage)
	w.end(completion.Completed, nil)
	events := asked.events()
	var names []string
	for i, e := range events {
		names = append(names, strings.TrimPrefix(e.Get("type").Str, "response."))
		require.Equal(t, int64(i), e.Get("sequence_number").Int())
	}
	require.Equal(t, []string{
		"created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed",
	}, names)
	id := events[0].Get("response.id").Str
	require.JSONEq(t, s.response(t, id).Raw, events[9].Get("response").Raw)
	for n := range events { // a response that was not made in the background, too
		require.Equal(t, events[n+1:], append([]gjson.Result{}, s.watch(t, id, "&starting_after="+strconv.Itoa(n))...))
	}
	require.Equal(t, events, s.watch(t, id, ""))
	require.Equal(t, "text/event-stream", asked.resp.Header.Get("Content-Type"))
}

func TestResponses_Background(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, w := s.respond(t, question(`,"background":true`))
	require.Equal(t, "in_progress", s.response(t, id).Get("status").Str)
	require.Empty(t, s.response(t, id).Get("output").Array())
	w.say(first, chunk("hello"), stop)
	w.end(completion.Completed, nil)
	require.Equal(t, "hello", s.response(t, id).Get("output.0.content.0.text").Str)
	require.Equal(t, "completed", s.response(t, id).Get("status").Str)
}

// A client of a response in the background leaves its stream, and comes back after each event that there can be.
func TestResponses_BackgroundStream(t *testing.T) {
	t.Parallel()
	s := setup(t)
	asked := s.ask(t, responsesPath, question(`,"background":true,"stream":true`))
	require.Equal(t, "response.created", gjson.Get(asked.data(), "type").Str)
	queued := gjson.Parse(asked.data())
	require.Equal(t, "queued", queued.Get("response.status").Str)
	asked.leave()
	w := s.act(t)
	w.say(first, chunk("hel"))
	id := queued.Get("response.id").Str
	live := s.request(t, http.MethodGet, responsesPath+"/"+id+"?stream=true&starting_after=1", "")
	w.say(chunk("lo"), stop)
	w.end(completion.Completed, nil)
	all := s.watch(t, id, "")
	require.Equal(t, all[2:], live.events())
	for n := range all {
		require.Equal(t, all[n+1:], append([]gjson.Result{}, s.watch(t, id, "&starting_after="+strconv.Itoa(n))...))
	}
	require.Equal(t, "response.completed", all[len(all)-1].Get("type").Str)
}

func TestResponses_Cancel(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, w := s.respond(t, question(`,"background":true`))
	w.say(first, chunk("part"))
	asked := s.ask(t, responsesPath+"/"+id+"/cancel", "")
	require.Eventually(t, func() bool {
		job, err := s.back.Store.Get(t.Context(), w.job.Ref())
		return err == nil && job.CancelRequested
	}, 10*time.Second, time.Millisecond)
	w.end(completion.Cancelled, completion.NewError(completion.CodeCancelled, ""))
	o := gjson.Parse(asked.whole())
	require.Equal(t, http.StatusOK, asked.resp.StatusCode, o.Raw)
	require.Equal(t, "cancelled", o.Get("status").Str)
	require.Equal(t, "part", o.Get("output.0.content.0.text").Str)
	resp, again := s.do(t, http.MethodPost, responsesPath+"/"+id+"/cancel", "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.JSONEq(t, o.Raw, again)
	all := s.watch(t, id, "")
	require.Equal(t, "cancelled", all[len(all)-1].Get("response.status").Str)

	resp, body := s.do(t, http.MethodPost, responsesPath, question(`,"background":true`))
	require.Equal(t, http.StatusOK, resp.StatusCode)
	_, waiting := s.do(t, http.MethodPost, responsesPath+"/"+gjson.Get(body, "id").Str+"/cancel", "")
	require.Equal(t, "cancelled", gjson.Get(waiting, "status").Str, "nobody had taken it")
}

func TestResponses_CancelOfAnotherKind(t *testing.T) {
	t.Parallel()
	s := setup(t)
	asked := s.ask(t, responsesPath, question(""))
	w := s.act(t)
	resp, body := s.do(t, http.MethodPost, responsesPath+"/"+completion.Alias("resp_", w.job.ID)+"/cancel", "")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode, body)
	w.end(completion.Completed, nil)
	asked.whole()
}

func TestResponses_Chain(t *testing.T) {
	t.Parallel()
	s := setup(t)
	answer := func(w *actor, text string) {
		w.say(first, chunk(text), stop)
		w.end(completion.Completed, nil)
	}
	id, w := s.respond(t, `{"model":"m","input":"one","instructions":"first only","background":true}`)
	answer(w, "1")
	for n, ask := range []string{"two", "three"} {
		id, w = s.respond(t, `{"model":"m","input":[{"role":"user","content":"`+ask+`"}],"background":true,"previous_response_id":"`+id+`"}`)
		answer(w, strconv.Itoa(n+2))
	}
	upstream, err := response.Chat(w.job.Request)
	require.NoError(t, err)
	require.JSONEq(t, `[{"role":"user","content":"one"},{"role":"assistant","content":"1"},{"role":"user","content":"two"},{"role":"assistant","content":"2"},{"role":"user","content":"three"}]`,
		gjson.GetBytes(upstream, "messages").Raw)
	require.NotEmpty(t, s.response(t, id).Get("previous_response_id").Str)

	var ids []string
	_, body := s.do(t, http.MethodGet, responsesPath+"/"+id+"/input_items?order=asc", "")
	for _, item := range gjson.Get(body, "data").Array() {
		require.Equal(t, "message", item.Get("type").Str)
		require.True(t, strings.HasPrefix(item.Get("id").Str, "msg_"))
		require.True(t, item.Get("content").IsArray())
		ids = append(ids, item.Get("id").Str)
	}
	require.Len(t, ids, 5)
	require.Equal(t, "1", gjson.Get(body, "data.1.content.0.text").Str)
	_, page := s.do(t, http.MethodGet, responsesPath+"/"+id+"/input_items?limit=2&after="+ids[4], "")
	require.Equal(t, []string{ids[3], ids[2], "true"}, []string{gjson.Get(page, "data.0.id").Str, gjson.Get(page, "data.1.id").Str, gjson.Get(page, "has_more").Raw})
	resp, _ := s.do(t, http.MethodGet, responsesPath+"/"+id+"/input_items?after=msg_0", "")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)

	_, w = s.respond(t, `{"model":"m","input":[{"type":"item_reference","id":"`+ids[1]+`"},{"id":"`+ids[0]+`"}],"background":true}`)
	require.Equal(t, "1", gjson.GetBytes(w.job.Request, "input.0.content.0.text").Str)
	require.Equal(t, "one", gjson.GetBytes(w.job.Request, "input.1.content.0.text").Str)
}

func TestResponses_ToolCall(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, w := s.respond(t, question(`,"background":true,"tools":[{"type":"function","name":"f","parameters":{"type":"object"}}]`))
	w.say(first, `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`)
	w.end(completion.Completed, nil)
	o := s.response(t, id)
	require.Equal(t, "call_1", o.Get("output.0.call_id").Str)
	_, w = s.respond(t, `{"model":"m","background":true,"previous_response_id":"`+id+`","input":[{"type":"function_call_output","call_id":"call_1","output":"42"}]}`)
	upstream, err := response.Chat(w.job.Request)
	require.NoError(t, err)
	require.JSONEq(t, `[{"role":"user","content":"hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"call_1","content":"42"}]`, gjson.GetBytes(upstream, "messages").Raw)
}

func TestResponses_Gone(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id, w := s.respond(t, question(`,"background":true`))
	w.say(first, chunk("x"), stop)
	w.end(completion.Completed, nil)
	stranger := s.newKey(t, "other", completion.Scopes...)
	asked := s.ask(t, responsesPath, question(`,"store":false`))
	unstored := s.act(t)
	unstored.end(completion.Completed, nil)
	asked.whole()
	chatID := completion.Alias("resp_", s.submit(t).Job)
	gone := func(id, key string) {
		t.Helper()
		for _, route := range []struct{ method, path string }{
			{http.MethodGet, ""}, {http.MethodGet, "?stream=true"}, {http.MethodGet, "/input_items"}, {http.MethodPost, "/cancel"}, {http.MethodDelete, ""},
		} {
			resp, body := s.do(t, route.method, responsesPath+"/"+id+route.path, "", "Authorization", "Bearer "+key)
			require.Equal(t, http.StatusNotFound, resp.StatusCode, body)
			require.Equal(t, "Response with id '"+id+"' not found.", gjson.Get(body, "error.message").Str)
			require.Equal(t, "not_found", gjson.Get(body, "error.code").Str)
		}
	}
	gone(id, stranger)
	gone(completion.Alias("resp_", unstored.job.ID), s.key)
	gone(chatID, s.key)
	gone("resp_0", s.key)
	gone("x", s.key)
	resp, body := s.do(t, http.MethodDelete, responsesPath+"/"+id, "")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	require.JSONEq(t, `{"id":"`+id+`","object":"response","deleted":true}`, body)
	gone(id, s.key)
}

func TestResponses_Refused(t *testing.T) {
	t.Parallel()
	s := setup(t)
	unfinished, _ := s.respond(t, question(`,"background":true`))
	for _, c := range []struct{ body, code, param string }{
		{`{`, "invalid_json", ""},
		{`[]`, "invalid_request", ""},
		{`{"input":"x"}`, "invalid_request", "model"},
		{`{"model":"m"}`, "invalid_request", "input"},
		{`{"model":"m","input":[]}`, "invalid_request", "input"},
		{`{"model":"` + strings.Repeat("m", 300) + `","input":"x"}`, "invalid_request", "model"},
		{question(`,"background":true,"store":false`), "invalid_request", "background"},
		{question(`,"stream_options":{}`), "invalid_request", "stream_options"},
		{question(`,"metadata":{"a":1}`), "invalid_request", "metadata.a"},
		{question(`,"tools":[{"type":"web_search"}]`), "invalid_request", "tools[0].type"},
		{question(`,"conversation":"conv_1"`), "invalid_request", "conversation"},
		{question(`,"previous_response_id":"resp_00000000000000000000000000000000"`), "previous_response_not_found", "previous_response_id"},
		{question(`,"previous_response_id":"x"`), "previous_response_not_found", "previous_response_id"},
		{question(`,"previous_response_id":"` + unfinished + `"`), "previous_response_not_found", "previous_response_id"},
		{`{"model":"m","input":[{"type":"item_reference","id":"msg_00000000000000000000000000000000"}]}`, "invalid_request", "input[0].id"},
	} {
		resp, body := s.do(t, http.MethodPost, responsesPath, c.body)
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, "%s: %s", c.body, body)
		require.Equal(t, []string{c.code, c.param}, []string{gjson.Get(body, "error.code").Str, gjson.Get(body, "error.param").Str}, "%s: %s", c.body, body)
	}
	for _, p := range response.Parameters {
		if p.Name == "metadata" {
			continue
		}
		for _, wrong := range []string{`1.5`, `[{}]`, `{"a":1}`, `true`} {
			raw := map[string]json.RawMessage{"model": json.RawMessage(`"m"`), "input": json.RawMessage(`"x"`), p.Name: json.RawMessage(wrong)}
			body, err := json.Marshal(raw)
			require.NoError(t, err)
			if response.Check(body) == nil {
				continue
			}
			resp, text := s.do(t, http.MethodPost, responsesPath, string(body))
			require.Equal(t, http.StatusBadRequest, resp.StatusCode, text)
			require.True(t, strings.HasPrefix(gjson.Get(text, "error.param").Str, p.Name), text)
		}
	}
	resp, body := s.do(t, http.MethodGet, responsesPath+"/"+unfinished+"?stream=true&starting_after=-1", "")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode, body)
	require.Equal(t, "starting_after", gjson.Get(body, "error.param").Str)
}

func TestResponses_FailsEarly(t *testing.T) {
	t.Parallel()
	for _, body := range []string{question(""), question(`,"stream":true`)} {
		s := setup(t, func(c *api.Config) { c.Heartbeat = time.Minute })
		asked := s.ask(t, responsesPath, body)
		w := s.act(t)
		w.say(first)
		w.end(completion.Failed, &completion.Error{Code: completion.CodeUpstreamRejected, Message: "too long", UpstreamStatus: 400, UpstreamCode: "context_length_exceeded", Param: "messages"})
		text := asked.whole()
		require.Equal(t, http.StatusBadRequest, asked.resp.StatusCode, text)
		require.Equal(t, "context_length_exceeded", gjson.Get(text, "error.code").Str)
	}
}

func TestResponses_FailsLate(t *testing.T) {
	t.Parallel()
	s := setup(t)
	asked := s.ask(t, responsesPath, question(`,"stream":true`))
	w := s.act(t)
	w.say(first, chunk("part"))
	w.end(completion.Failed, completion.NewError(completion.CodeRateLimited, ""))
	events := asked.events()
	last := events[len(events)-1]
	require.Equal(t, "response.failed", last.Get("type").Str)
	require.Equal(t, "rate_limit_exceeded", last.Get("response.error.code").Str)
	require.Equal(t, "part", last.Get("response.output.0.content.0.text").Str)
}

// A worker dies after text was sent: the next one says the same, or the stream ends.
func TestResponses_Retried(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"Same": "hello", "Other": "howdy"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			asked := s.ask(t, responsesPath, question(`,"stream":true`))
			w := s.act(t)
			w.say(first, chunk("hel"))
			require.Equal(t, "response.created", gjson.Get(asked.data(), "type").Str)
			w.end(completion.Queued, completion.NewError(completion.CodeCut, ""))
			w.start()
			w.say(first, chunk(text), stop)
			w.end(completion.Completed, nil)
			events := asked.events()
			last, id := events[len(events)-1], completion.Alias("resp_", w.job.ID)
			if name == "Same" {
				require.Equal(t, "response.completed", last.Get("type").Str)
				return
			}
			require.Equal(t, "stream_diverged", last.Get("code").Str)
			n := last.Get("sequence_number").Int()
			all := s.watch(t, id, "")
			require.Equal(t, n+1, all[0].Get("sequence_number").Int())
			require.Equal(t, "response.created", all[0].Get("type").Str)
			require.Equal(t, text, s.response(t, id).Get("output.0.content.0.text").Str)
			require.Equal(t, last, s.watch(t, id, "&starting_after=2")[0])
			require.Equal(t, all, s.watch(t, id, "&starting_after="+strconv.FormatInt(n, 10)))
		})
	}
}

func TestResponses_IdempotencyKey(t *testing.T) {
	t.Parallel()
	s := setup(t)
	one := s.ask(t, responsesPath, question(`,"stream":true`), "Idempotency-Key", "k")
	w := s.act(t)
	w.say(first, chunk("a"))
	two := s.ask(t, responsesPath, question(`,"stream":true`), "Idempotency-Key", "k")
	<-two.got
	w.say(chunk("b"), stop)
	w.end(completion.Completed, nil)
	require.Equal(t, one.events(), two.events())
	require.Equal(t, "true", two.resp.Header.Get("Idempotent-Replayed"))
	resp, body := s.do(t, http.MethodPost, responsesPath, question(`,"store":true`), "Idempotency-Key", "k")
	require.Equal(t, http.StatusConflict, resp.StatusCode, body)
}

// A client leaves before the end: what becomes of the job is what it asked for.
func TestResponses_Disconnect(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body    string
		header  []string
		cancels bool
	}{
		"Stored":        {body: question(`,"stream":true`)},
		"NotStored":     {body: question(`,"stream":true,"store":false`), cancels: true},
		"NotStoredKept": {body: question(`,"stream":true,"store":false`), header: []string{"X-Sluice-On-Disconnect", "continue"}},
		"StoredCancels": {body: question(`,"stream":true`), header: []string{"X-Sluice-On-Disconnect", "cancel"}, cancels: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			asked := s.ask(t, responsesPath, c.body, c.header...)
			w := s.act(t)
			w.say(first, chunk("a"))
			asked.data()
			asked.leave()
			if c.cancels {
				require.Eventually(t, func() bool {
					job, err := s.back.Store.Get(t.Context(), w.job.Ref())
					return err == nil && job.CancelRequested
				}, 10*time.Second, time.Millisecond)
				return
			}
			s.stop() // nothing is left to do for who left
			job, err := s.back.Store.Get(t.Context(), w.job.Ref())
			require.NoError(t, err)
			require.False(t, job.CancelRequested)
		})
	}
}

// A server that stops ends its streams with where to go on.
func TestResponses_ServerStops(t *testing.T) {
	t.Parallel()
	s := setup(t, func(c *api.Config) { c.StopLimit = 4 * time.Second })
	asked := s.ask(t, responsesPath, question(`,"stream":true`))
	w := s.act(t)
	w.say(first, chunk("a"))
	require.Equal(t, "response.created", gjson.Get(asked.data(), "type").Str)
	s.stop()
	events := asked.events()
	last := events[len(events)-1]
	require.Equal(t, []string{"error", "service_unavailable"}, []string{last.Get("type").Str, last.Get("code").Str}, last.Raw)
	require.Equal(t, events[len(events)-2].Get("sequence_number").Int(), last.Get("sequence_number").Int())
	job, err := s.back.Store.Get(t.Context(), w.job.Ref())
	require.NoError(t, err)
	require.False(t, job.CancelRequested)
}
