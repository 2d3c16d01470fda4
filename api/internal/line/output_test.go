package line_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/api/internal/line"
	"sluice/api/internal/result"
	"sluice/shared/completion"
)

var created = time.Unix(1_700_000_000, 0)

func batchOf(e completion.Endpoint) *completion.Batch {
	return &completion.Batch{ID: "batch_0123", Tenant: "acme", Endpoint: e, Deadline: created.Add(time.Hour)}
}

// ended is the job of a line that ended so.
func ended(t *testing.T, e completion.Endpoint, state completion.State, answer string, failure *completion.Error) (*completion.Batch, *completion.Job) {
	t.Helper()
	b := batchOf(e)
	j := line.Job(b, &line.Line{Number: 7, CustomID: `a"b`, Model: "m", Body: json.RawMessage(`{"model":"m","input":"hi","instructions":"be brief"}`)}, created)
	j.State, j.Result, j.Error, j.FinishedAt = state, json.RawMessage(answer), failure, created
	return b, &j
}

func TestJob(t *testing.T) {
	t.Parallel()
	b := batchOf(completion.EndpointChat)
	l, err := one(lineOf("a", `{"model":"m","store":true,"metadata":{"k":"v"},"messages":[{"role":"user","content":"h\u00e9"}]}`))
	require.NoError(t, err)
	require.Equal(t, completion.Job{
		ID: "job_012300000001", Tenant: "acme", Lane: completion.LaneBatch, State: completion.Queued, Model: "m", Endpoint: completion.EndpointChat,
		Request: json.RawMessage(`{"model":"m","store":true,"metadata":{"k":"v"},"messages":[{"role":"user","content":"h\u00e9"}]}`), Metadata: map[string]string{"k": "v"},
		Deadline: b.Deadline, Batch: b.ID, Line: 1, CustomID: "a", RequestID: "req_012300000001", CreatedAt: created, UpdatedAt: created,
	}, line.Job(b, &l, created))
}

func TestOutput_Answer(t *testing.T) {
	t.Parallel()
	for e, answer := range map[completion.Endpoint]string{
		completion.EndpointChat:        `{"id":"x","object":"chat.completion","model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"<é>"},"finish_reason":"stop"}]}`,
		completion.EndpointCompletions: `{"object":"text_completion","choices":[{"text":"a"}]}`,
		completion.EndpointEmbeddings:  `{"object":"list","data":[{"embedding":[1e-3]}]}`,
		completion.EndpointResponses:   `{"object":"chat.completion","choices":[{"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}`,
	} {
		b, j := ended(t, e, completion.Completed, answer, nil)
		row, ok := line.Output(b, j)
		require.True(t, ok)
		require.Equal(t, `{"id":"batch_req_012300000007","custom_id":"a\"b","response":{"status_code":200,"request_id":"req_012300000007","body":`+
			string(result.Of(j))+`},"error":null}`, string(row), e)
		if e == completion.EndpointResponses {
			require.Equal(t, "be brief", gjson.GetBytes(row, "response.body.instructions").Str)
		}
	}
}

func TestOutput_LineFeeds(t *testing.T) {
	t.Parallel()
	b, j := ended(t, completion.EndpointEmbeddings, completion.Completed, "{\r\n \"data\": [\n]\n}\n", nil)
	row, _ := line.Output(b, j)
	require.NotContains(t, string(row), "\n")
	require.Equal(t, `{   "data": [ ] } `, gjson.GetBytes(row, "response.body").Raw+" ")
	require.Equal(t, "{\r\n \"data\": [\n]\n}\n", string(j.Result), "the job's own stays as it is")
}

func TestOutput_Failure(t *testing.T) {
	t.Parallel()
	rejected := completion.NewError(completion.CodeUpstreamRejected, "too <long>")
	rejected.UpstreamStatus, rejected.UpstreamCode, rejected.Param = http.StatusUnprocessableEntity, "context_length_exceeded", "messages"
	for name, c := range map[string]struct {
		state   completion.State
		failure *completion.Error
		status  int64
		code    string
	}{
		"refused by the upstream": {completion.Failed, rejected, 422, "context_length_exceeded"},
		"upstream down":           {completion.Failed, completion.NewError(completion.CodeUnreachable, ""), 502, "upstream_unreachable"},
		"no reason":               {completion.Failed, nil, 500, "internal_error"},
		"took too long":           {completion.Failed, completion.NewError(completion.CodeTimeout, ""), 0, line.CodeTimeout},
		"cancelled":               {completion.Cancelled, completion.NewError(completion.CodeCancelled, ""), 0, line.CodeCancelled},
		"expired":                 {completion.Expired, completion.NewError(completion.CodeExpired, ""), 0, line.CodeExpired},
	} {
		b, j := ended(t, completion.EndpointChat, c.state, `{"choices":[]}`, c.failure)
		row, ok := line.Output(b, j)
		require.False(t, ok, name)
		require.True(t, json.Valid(row), name)
		require.Equal(t, `a"b`, gjson.GetBytes(row, "custom_id").Str)
		require.Equal(t, c.status, gjson.GetBytes(row, "response.status_code").Int(), name)
		if c.status == 0 {
			require.Equal(t, "null", gjson.GetBytes(row, "response").Raw, name)
			require.Equal(t, c.code, gjson.GetBytes(row, "error.code").Str, name)
			require.NotEmpty(t, gjson.GetBytes(row, "error.message").Str)
			continue
		}
		require.Equal(t, "null", gjson.GetBytes(row, "error").Raw, name)
		require.Equal(t, c.code, gjson.GetBytes(row, "response.body.error.code").Str, name)
		require.Equal(t, "req_012300000007", gjson.GetBytes(row, "response.request_id").Str)
	}
}

func TestUnrun(t *testing.T) {
	t.Parallel()
	b := batchOf(completion.EndpointChat)
	require.JSONEq(t, `{"id":"batch_req_012300000003","custom_id":"c","response":null,"error":{"code":"batch_expired","message":"The batch's completion window was over before this request had an answer."}}`,
		string(line.Unrun(b, 3, "c", completion.BatchExpired)))
	require.Equal(t, line.CodeCancelled, gjson.GetBytes(line.Unrun(b, 3, "c", completion.BatchCancelled), "error.code").Str)
}

func TestFault_Row(t *testing.T) {
	t.Parallel()
	_, err := one(lineOf("a", `{"model":"m"}`))
	require.JSONEq(t, `{"id":"batch_req_012300000001","custom_id":"a","response":null,"error":{"code":"invalid_request","message":"The parameter \"messages\" is required.","param":"body.messages","line":1}}`,
		string(line.AsFault(err).Row(batchOf(completion.EndpointChat))))
	_, err = one("x")
	require.Equal(t, "null", gjson.GetBytes(line.AsFault(err).Row(batchOf(completion.EndpointChat)), "custom_id").Raw)
}

func TestTwins(t *testing.T) {
	t.Parallel()
	var twins line.Twins
	var got []int
	other := strings.Replace(chat, "hi", "ho", 1)
	file := strings.Join([]string{lineOf("a", chat), lineOf("b", other), lineOf("c", chat), lineOf("d", chat), lineOf("e", other)}, "\n")
	for l, err := range line.Read(strings.NewReader(file), line.Position{}, completion.EndpointChat) {
		require.NoError(t, err)
		got = append(got, twins.Original(&l))
	}
	require.Equal(t, []int{1, 2, 1, 1, 2}, got)

	b, j := ended(t, completion.EndpointChat, completion.Completed, `{"choices":[]}`, nil)
	own, _ := line.Output(b, j)
	row, ok := line.Twin(b, j, 9, "twin")
	require.True(t, ok)
	require.Equal(t, "batch_req_012300000009 twin req_012300000009", strings.Join([]string{gjson.GetBytes(row, "id").Str, gjson.GetBytes(row, "custom_id").Str, gjson.GetBytes(row, "response.request_id").Str}, " "))
	require.Equal(t, gjson.GetBytes(own, "response.body").Raw, gjson.GetBytes(row, "response.body").Raw)
}

// FuzzOutput renders whatever answer and name there may be: one line of JSON, with the very bytes of the answer.
func FuzzOutput(f *testing.F) {
	for _, s := range []string{`{}`, "{\n}", `{"id":1,"choices":[{"message":{"content":"\u2028"}}]}`, `{"a":"\\\"","b":[1e400]}`, `{"error":{"code":1}}`, `{"object":"response","output":[]}`} {
		for n := range 4 {
			f.Add(s, "c\"<é\x00", n, 10)
		}
	}
	f.Fuzz(func(t *testing.T, answer, customID string, n, most int) {
		if !json.Valid([]byte(answer)) || !gjson.Parse(answer).IsObject() || !utf8.ValidString(customID) {
			return
		}
		e := completion.Endpoints[uint(n)%uint(len(completion.Endpoints))]
		state := []completion.State{completion.Completed, completion.Failed, completion.Cancelled, completion.Expired}[uint(most)%4]
		b, j := ended(t, e, state, answer, nil)
		j.CustomID = customID
		row, ok := line.Output(b, j)
		require.Equal(t, state == completion.Completed, ok)
		require.True(t, json.Valid(row), "%s", row)
		require.False(t, bytes.ContainsAny(row, "\r\n"), "%s", row)
		require.Equal(t, customID, gjson.GetBytes(row, "custom_id").String())
		for _, limit := range []int{0, most} {
			numbered := line.Numbered(row, 7, limit)
			require.True(t, json.Valid(numbered), "%s", numbered)
			require.Equal(t, int64(7), gjson.GetBytes(numbered, "line").Int())
			require.Equal(t, gjson.GetBytes(row, "id").Str, gjson.GetBytes(numbered, "id").Str)
			if cut := gjson.GetBytes(numbered, "truncated").Bool(); cut {
				require.Greater(t, len(row), limit)
				require.Equal(t, "null", gjson.GetBytes(numbered, "response.body").Raw)
				require.Equal(t, gjson.GetBytes(row, "response.request_id").Str, gjson.GetBytes(numbered, "response.request_id").Str)
			}
		}
	})
}
