package upstream

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/shared/completion"

	"github.com/stretchr/testify/require"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	u, err := New(Config{BaseURL: "https://llm.internal:8443/v1", APIKey: "topsecret"})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		status  int
		body    string
		header  http.Header
		code    completion.Code
		retry   bool
		message string // empty: the table's
		param   string
	}{
		"bad request":          {400, `{"error":{"message":"'x' is too long","type":"invalid_request_error","param":"messages[0]","code":"too_long"}}`, nil, completion.CodeUpstreamRejected, false, "'x' is too long", "messages[0]"},
		"no credentials":       {401, `{"error":{"message":"Incorrect API key provided: tops***"}}`, nil, completion.CodeUpstreamRejected, false, "The upstream refused the service's credentials.", ""},
		"payment required":     {402, `{"error":{"message":"no money","code":402}}`, nil, completion.CodeQuota, false, "", ""},
		"forbidden, no JSON":   {403, "region not supported", nil, completion.CodeUpstreamRejected, false, "region not supported", ""},
		"not found, page":      {404, "<html>nginx</html>", nil, completion.CodeUpstreamRejected, false, "", ""},
		"request timeout":      {408, ``, nil, completion.CodeUpstream, true, "", ""},
		"conflict":             {409, `{}`, nil, completion.CodeUpstream, true, "", ""},
		"unprocessable":        {422, `{"detail":"field required"}`, nil, completion.CodeUpstreamRejected, false, "field required", ""},
		"rate limit":           {429, `{"error":{"message":"slow down in org-abcdefghij","type":"requests"}}`, nil, completion.CodeRateLimited, true, "", ""},
		"quota by code":        {429, `{"error":{"code":"insufficient_quota"}}`, nil, completion.CodeQuota, false, "", ""},
		"quota by type":        {429, `{"error":{"type":"insufficient_quota"}}`, nil, completion.CodeQuota, false, "", ""},
		"hard limit":           {429, `{"error":{"code":"billing_hard_limit_reached"}}`, nil, completion.CodeQuota, false, "", ""},
		"server error":         {500, `{"error":"boom"}`, nil, completion.CodeUpstream, true, "", ""},
		"bad gateway, page":    {502, "<html>", nil, completion.CodeUpstream, true, "", ""},
		"overloaded":           {529, ``, nil, completion.CodeUpstream, true, "", ""},
		"redirect":             {302, `<a href="https://llm.internal:8443/">`, nil, completion.CodeUpstreamRejected, false, "", ""},
		"odd status":           {199, ``, nil, completion.CodeUpstream, true, "", ""},
		"told to retry":        {400, `{"error":{"message":"later"}}`, http.Header{"X-Should-Retry": {"true"}}, completion.CodeUpstreamRejected, true, "later", ""},
		"told not to retry":    {500, ``, http.Header{"X-Should-Retry": {"false"}}, completion.CodeUpstream, false, "", ""},
		"secrets":              {400, `{"error":{"message":"key topsecret, sk-proj-0123456789 at https://llm.internal:8443/v1/x or llm.internal"}}`, nil, completion.CodeUpstreamRejected, false, "key [removed], [removed] at [removed]/x or [removed]", ""},
		"broken text":          {400, "a\xff" + strings.Repeat("b", 5000), nil, completion.CodeUpstreamRejected, false, "a" + strings.Repeat("b", maxMessage-1), ""},
		"broken secret":        {400, "key top\xffsecret", nil, completion.CodeUpstreamRejected, false, "key [removed]", ""},
		"message of strings":   {400, `{"error":{"message":["a","b"]}}`, nil, completion.CodeUpstreamRejected, false, `["a","b"]`, ""},
		"in stream, number":    {0, `{"error":{"message":"x","code":429}}`, nil, completion.CodeRateLimited, true, "", ""},
		"in stream, status":    {0, `{"error":{"message":"x","status":400}}`, nil, completion.CodeUpstreamRejected, false, "x", ""},
		"in stream, name":      {0, `{"error":{"message":"x","type":"rate_limit_error"}}`, nil, completion.CodeRateLimited, true, "", ""},
		"in stream, filter":    {0, `{"error":{"message":"x","code":"content_filter"}}`, nil, completion.CodeUpstreamRejected, false, "x", ""},
		"in stream, unknown":   {0, `{"error":{"message":"x","code":"odd","type":"overloaded_error"}}`, nil, completion.CodeUpstream, true, "", ""},
		"in stream, code of 1": {0, `{"error":{"code":1}}`, nil, completion.CodeUpstream, true, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := parseFault([]byte(c.body))
			if c.status != 0 {
				f.status = c.status
			}
			f.header = c.header
			e := u.classify(f)
			want := c.message
			if want == "" {
				want = c.code.Kind().Text
			}
			require.Equal(t, c.code, e.Code)
			require.Equal(t, c.retry, e.Retryable)
			require.Equal(t, want, e.Message)
			require.Equal(t, c.param, e.Param)
			require.Equal(t, f.status, e.UpstreamStatus)
			require.NotContains(t, e.Error(), "topsecret")
			require.NotContains(t, e.Error(), "llm.internal")
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		ms, plain string
		want      time.Duration
	}{
		{"", "", 0},
		{"1500.5", "9", 1500500 * time.Microsecond},
		{"odd", "2", 2 * time.Second},
		{"", "0.25", 250 * time.Millisecond},
		{"", "-1", 0},
		{"", "NaN", 0},
		{"", "1e99", maxRetryAfter},
		{"", "Inf", maxRetryAfter},
		{"", now.Add(30 * time.Second).Format(http.TimeFormat), 30 * time.Second},
		{"", now.Add(-time.Second).Format(http.TimeFormat), 0},
		{"", "soon", 0},
	} {
		h := http.Header{}
		h.Set("retry-after-ms", c.ms)
		h.Set("Retry-After", c.plain)
		require.Equal(t, c.want, retryAfter(h, now), "%q %q", c.ms, c.plain)
	}
	require.Zero(t, retryAfter(nil, now))
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		request, want string
		choices       int
	}{
		{`{}`, `{"stream":true,"stream_options":{"include_usage":true}}`, 1},
		{
			`{ "temperature": 1.0, "big":12345678901234567890, "stream":false, "ключ":"\u0041\ud83d" , "n":3,"model":"a","model":"b"}`,
			`{"temperature":1.0,"big":12345678901234567890,"ключ":"\u0041\ud83d","n":3,"model":"a","model":"b","stream":true,"stream_options":{"include_usage":true}}`, 3,
		},
		{`{"str\u0065am":false,"stream":false,"stream_options":{"a":1},"stream_options":{"include_usage":false,"include_obfuscation":false}}`, `{"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true}}`, 1},
		{`{"stream_options":null,"n":null}`, `{"n":null,"stream":true,"stream_options":{"include_usage":true}}`, 1},
	} {
		body, choices, err := prepare(completion.EndpointChat, false, []byte(c.request))
		require.NoError(t, err)
		require.Equal(t, c.want, string(body))
		require.Equal(t, c.choices, choices)
	}
	body, choices, err := prepare(completion.EndpointResponses, false, []byte(`{"model":"m","input":"hi","stream":false,"temperature":1.0,"stream_options":{"include_obfuscation":false}}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":1.0,"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true}}`, string(body))
	require.Equal(t, 1, choices)
	_, _, err = prepare(completion.EndpointResponses, false, []byte(`{"model":"m","input":1}`))
	require.Equal(t, "input", completion.AsError(err).Param)
	for _, bad := range []string{``, `[]`, `{"a":}`, `null`} {
		_, _, err := prepare(completion.EndpointChat, false, []byte(bad))
		require.Equal(t, completion.CodeInvalidJSON, completion.AsError(err).Code, bad)
	}
}
