package request_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"sluice/api/internal/request"
	"sluice/shared/completion"
)

const chat = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`

// parse reads a body where no upstream is asked for Responses as such, but for the model native.
func parse(body string) (request.Job, error) {
	return request.Parse([]byte(body), func(model string) bool { return model == "native" })
}

// A body of /v1/responses stands alone.
func TestParse_Response(t *testing.T) {
	t.Parallel()
	with := func(request string) string { return `{"endpoint":"/v1/responses","request":{` + request + `}}` }
	for _, ok := range []string{
		`"model":"m","input":"hi","store":true`, `"model":"m","input":"hi","previous_response_id":null`,
		`"model":"native","input":[{"type":"message","role":"user","content":"x"}],"tools":[{"type":"web_search"}]`,
	} {
		job, err := parse(with(ok))
		require.NoError(t, err, ok)
		require.Equal(t, completion.EndpointResponses, job.Endpoint)
		require.NotEmpty(t, job.Model)
		require.Equal(t, `{`+ok+`}`, string(job.Request))
	}
	for bad, param := range map[string]string{
		`"model":"m"`:                "request.input",
		`"model":"m","input":[]`:     "request.input",
		`"input":"hi"`:               "request.model",
		`"model":"native","input":1`: "request.input",
		`"model":"` + strings.Repeat("m", 257) + `","input":"hi"`:              "request.model",
		`"model":"m","input":"hi","tools":[{"type":"web_search"}]`:             "request.tools[0].type",
		`"model":"m","input":"hi","previous_response_id":"resp_1"`:             "request.previous_response_id",
		`"model":"native","input":"hi","conversation":"conv_1"`:                "request.conversation",
		`"model":"native","input":[{"type":"item_reference","id":"msg_1"}]`:    "request.input",
		`"model":"m","input":[{"role":"user","content":"x"},{"id":"msg_1"}]`:   "request.input",
		`"model":"m","messages":[{"role":"user","content":"hi"}],"input":"hi"`: "request.messages",
		`"model":"m","input":"hi","metadata":3`:                                "request.metadata",
	} {
		_, err := parse(with(bad))
		require.Equal(t, completion.CodeInvalidRequest, completion.AsError(err).Code, bad)
		require.Equal(t, param, completion.AsError(err).Param, bad)
	}
	_, err := parse(`{"endpoint":"/v1/responses","request":"hi"}`)
	require.Equal(t, "request", completion.AsError(err).Param)
}

func TestParse_Accepts(t *testing.T) {
	t.Parallel()
	body := `{"request":{"model":"m", "messages":[{"role":"user","content":[{"type":"text","text":"\ud83d\ude00"}]},{"role":"assistant","content":null}],"unknown":{"x":1e400},"temperature":null,"seed":12345678901234567890},"lane":"batch","metadata":{"k":"v"}}`
	job, err := parse(body)
	require.NoError(t, err)
	require.Equal(t, "m", job.Model)
	require.Equal(t, completion.LaneBatch, job.Lane)
	require.Equal(t, map[string]string{"k": "v"}, job.Metadata)
	require.Contains(t, body, string(job.Request), "the request is passed through byte for byte")

	job, err = parse(`{"request":` + chat + `,"lane":null,"metadata":null}`)
	require.NoError(t, err)
	require.Equal(t, completion.LaneInteractive, job.Lane)
	require.Nil(t, job.Metadata)
}

func TestParse_Deadline(t *testing.T) {
	t.Parallel()
	with := func(extra string) request.Job {
		job, err := parse(`{"request":` + chat + `,` + extra + `}`)
		require.NoError(t, err, extra)
		return job
	}
	require.True(t, with(`"timeout":null,"deadline":null`).Deadline.IsZero())
	at := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	require.True(t, at.Equal(with(`"deadline":"`+at.Format(time.RFC3339Nano)+`"`).Deadline))
	before := time.Now()
	got := with(`"timeout":90.5`).Deadline
	require.False(t, got.Before(before.Add(90*time.Second+500*time.Millisecond)))
	require.False(t, got.After(time.Now().Add(90*time.Second+500*time.Millisecond)))
}

func TestParse_Refuses(t *testing.T) {
	t.Parallel()
	with := func(extra string) string { return `{"request":` + chat + `,` + extra + `}` }
	param := func(extra string) string {
		return `{"request":{"model":"m","messages":[{"role":"user","content":"hi"}],` + extra + `}}`
	}
	msgs := func(m string) string { return `{"request":{"model":"m","messages":` + m + `}}` }
	for name, c := range map[string]struct {
		body, param string
		code        completion.Code
	}{
		"empty":                    {"", "", completion.CodeInvalidJSON},
		"white space":              {" \n", "", completion.CodeInvalidJSON},
		"cut":                      {`{"request":`, "", completion.CodeInvalidJSON},
		"two values":               {`{} {}`, "", completion.CodeInvalidJSON},
		"not UTF-8":                {"{\"request\":\"\xff\"}", "", completion.CodeInvalidJSON},
		"raw NUL":                  {"{\"request\":\"\x00\"}", "", completion.CodeInvalidJSON},
		"array":                    {`[]`, "", ""},
		"null":                     {`null`, "", ""},
		"nothing in it":            {`{}`, "request", ""},
		"request null":             {`{"request":null}`, "request", ""},
		"request text":             {`{"request":"hi"}`, "request", ""},
		"request twice":            {`{"request":` + chat + `,"request":` + chat + `}`, "request", ""},
		"unknown field":            {with(`"prio":1`), "prio", ""},
		"unknown lane":             {with(`"lane":"fast"`), "lane", ""},
		"lane number":              {with(`"lane":1`), "lane", ""},
		"timeout text":             {with(`"timeout":"30s"`), "timeout", ""},
		"timeout zero":             {with(`"timeout":0`), "timeout", ""},
		"timeout negative":         {with(`"timeout":-1`), "timeout", ""},
		"timeout too long":         {with(`"timeout":604801`), "timeout", ""},
		"timeout endless":          {with(`"timeout":1e999`), "timeout", ""},
		"deadline number":          {with(`"deadline":1900000000`), "deadline", ""},
		"deadline no time":         {with(`"deadline":"tomorrow"`), "deadline", ""},
		"deadline past":            {with(`"deadline":"2020-01-01T00:00:00Z"`), "deadline", ""},
		"deadline far":             {with(`"deadline":"2999-01-01T00:00:00Z"`), "deadline", ""},
		"both":                     {with(`"timeout":1,"deadline":"` + time.Now().Add(time.Hour).Format(time.RFC3339) + `"`), "deadline", ""},
		"metadata array":           {with(`"metadata":[]`), "metadata", ""},
		"metadata number":          {with(`"metadata":{"a":1}`), "metadata.a", ""},
		"metadata long key":        {with(`"metadata":{"` + strings.Repeat("k", 65) + `":"v"}`), "metadata." + strings.Repeat("k", 64) + "…", ""},
		"metadata long value":      {with(`"metadata":{"k":"` + strings.Repeat("v", 513) + `"}`), "metadata.k", ""},
		"metadata NUL":             {with(`"metadata":{"k":"\u0000"}`), "metadata.k", ""},
		"model missing":            {`{"request":{"messages":[{"role":"user"}]}}`, "request.model", ""},
		"model empty":              {`{"request":{"model":" ","messages":[{"role":"user"}]}}`, "request.model", ""},
		"model number":             {`{"request":{"model":4,"messages":[{"role":"user"}]}}`, "request.model", ""},
		"model long":               {`{"request":{"model":"` + strings.Repeat("m", 257) + `","messages":[{"role":"user"}]}}`, "request.model", ""},
		"model twice":              {`{"request":{"model":"m","model":"n","messages":[{"role":"user"}]}}`, "request.model", ""},
		"messages missing":         {`{"request":{"model":"m"}}`, "request.messages", ""},
		"messages empty":           {msgs(`[]`), "request.messages", ""},
		"messages text":            {msgs(`"hi"`), "request.messages", ""},
		"message number":           {msgs(`[{"role":"user"},1]`), "request.messages[1]", ""},
		"role missing":             {msgs(`[{"content":"x"}]`), "request.messages[0].role", ""},
		"content number":           {msgs(`[{"role":"user","content":1}]`), "request.messages[0].content", ""},
		"NUL":                      {msgs(`[{"role":"user","content":"a\u0000"}]`), "request.messages[0].content", ""},
		"lone high surrogate":      {msgs(`[{"role":"user","content":"\ud83dx"}]`), "request.messages[0].content", ""},
		"lone low surrogate":       {msgs(`[{"role":"user","content":"\\\ude00"}]`), "request.messages[0].content", ""},
		"two high surrogates":      {msgs(`[{"role":"user","content":"\ud83d\ud83d"}]`), "request.messages[0].content", ""},
		"lone surrogate in a name": {param(`"x":{"\udead":1}`), "request.x", ""},
		"temperature text":         {param(`"temperature":"hot"`), "request.temperature", ""},
		"include_usage text":       {param(`"stream_options":{"include_usage":"yes"}`), "request.stream_options.include_usage", ""},
		"n fraction":               {param(`"n":1.5`), "request.n", ""},
		"tools object":             {param(`"tools":{}`), "request.tools", ""},
		"stream text":              {param(`"stream":"yes"`), "request.stream", ""},
		"deep":                     {param(`"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)), "request", ""},
		"deep and never closed":    {`{"request":` + strings.Repeat(`{"a":`, 100_000), "request", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(c.body)
			var e *completion.Error
			require.ErrorAs(t, err, &e)
			if c.code == "" {
				c.code = completion.CodeInvalidRequest
			}
			require.Equal(t, c.code, e.Code)
			require.Equal(t, c.param, e.Param)
			require.Less(t, e.Code.Kind().Status, 500)
			require.NotEmpty(t, e.Message)
		})
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	for _, k := range []string{"", "a", strings.Repeat("k", 255)} {
		require.NoError(t, request.Key(k))
	}
	for _, k := range []string{strings.Repeat("k", 256), "é", "a\n", "\x7f"} {
		require.Error(t, request.Key(k))
	}
}

// FuzzParse compares what is accepted with what encoding/json reads of the same body.
func FuzzParse(f *testing.F) {
	f.Add(`{"request":` + chat + `,"lane":"batch","metadata":{"a":"b"}}`)
	f.Add(`{"request":{"model":"\ud83d\ude00","messages":[{"role":"\u0041"}]}}`)
	f.Add(`{"request":` + chat + `,"timeout":1e-300,"metadata":{"a":"\u00e9\/","a":"b"},"l\u0061ne":null}`)
	f.Add(`{"request":{"model":"m","m\u006fdel":"n","messages":[{"role":"user"}]}}`)
	f.Add(`{"request":{"model":"a\u0000","messages":[{"role":"user","content":["\\u0000"]}],"n":-0}}`)
	f.Add(`{"Request":` + chat + `} `)
	f.Fuzz(func(t *testing.T, body string) {
		began := time.Now()
		job, err := parse(body)
		if err != nil {
			var e *completion.Error
			require.ErrorAs(t, err, &e)
			require.Less(t, e.Code.Kind().Status, 500)
			require.NotEmpty(t, e.Message)
			require.True(t, utf8.ValidString(e.Message+e.Param), "%q %q", e.Message, e.Param)
			return
		}
		var fields, sent map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(body), &fields))
		require.NoError(t, json.Unmarshal(fields["request"], &sent))
		require.Equal(t, string(fields["request"]), string(job.Request), "byte for byte")
		require.NotContains(t, strings.ReplaceAll(body, `\\`, ""), `\u0000`)
		same(t, sent["model"], job.Model)
		if lane := fields["lane"]; len(lane) > 0 && string(lane) != "null" {
			same(t, lane, job.Lane)
		} else {
			require.Equal(t, completion.LaneInteractive, job.Lane)
		}
		var metadata map[string]string
		if m := fields["metadata"]; len(m) > 0 {
			require.NoError(t, json.Unmarshal(m, &metadata))
		}
		require.Equal(t, metadata, job.Metadata)
		if !job.Deadline.IsZero() {
			require.False(t, job.Deadline.Before(began))
			require.False(t, job.Deadline.After(time.Now().Add(request.MaxTimeout)))
		}
	})
}

// same checks that encoding/json reads raw as want.
func same[T any](t *testing.T, raw json.RawMessage, want T) {
	t.Helper()
	var got T
	require.NoError(t, json.Unmarshal(raw, &got), "%s", raw)
	require.Equal(t, want, got)
}

func FuzzKey(f *testing.F) {
	for _, k := range []string{"", " ", "a\tb", "é", "\xff", "\x7f", strings.Repeat("k", 255), strings.Repeat("k", 256)} {
		f.Add(k)
	}
	plain := regexp.MustCompile(`\A[ -~]*\z`)
	f.Fuzz(func(t *testing.T, key string) {
		err := request.Key(key)
		require.Equal(t, len(key) <= request.MaxKey && plain.MatchString(key), err == nil)
		require.True(t, err == nil || completion.AsError(err).Code == completion.CodeInvalidRequest)
	})
}

// FuzzCheck reads bodies of every endpoint: what is refused is refused for a reason that names a field, and what is accepted
// has a model.
func FuzzCheck(f *testing.F) {
	for i, body := range []string{
		`{"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}],"n":1}`, `{"model":"m","prompt":["a",[1]],"echo":null}`,
		`{"model":"m","input":[[1,2]],"dimensions":3}`, `{"model":"m","input":[],"prompt":[]}`, `{"model":"\ud83d\ude00","messages":[]}`, `[]`,
	} {
		f.Add(body, i)
	}
	f.Fuzz(func(t *testing.T, body string, n int) {
		e := completion.Endpoints[uint(n)%uint(len(completion.Endpoints))]
		root, err := request.Object([]byte(body))
		model := ""
		if err == nil {
			if e == completion.EndpointResponses {
				model, err = request.Response(root, "", n < 0)
			} else {
				model, err = request.Check(e, root, "")
			}
		}
		if err != nil {
			refused := completion.AsError(err)
			require.Less(t, refused.Code.Kind().Status, 500, "%v", err)
			require.True(t, utf8.ValidString(refused.Message+refused.Param))
			return
		}
		var fields map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(body), &fields))
		same(t, fields["model"], model)
	})
}
