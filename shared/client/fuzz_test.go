package client

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// answering is an API that gives one answer, without a network.
type answering func() *http.Response

func (a answering) RoundTrip(*http.Request) (*http.Response, error) { return a(), nil }

// FuzzClient_Answers reads any answer: a refusal is an *Error that says something, whatever stands between the client and
// the API.
func FuzzClient_Answers(f *testing.F) {
	for _, body := range []string{
		`{"error":{"message":"No such job.","type":"invalid_request_error","param":null,"code":"not_found"}}`, `{"error":{}}`, `{"error":null}`, `{"error":"x"}`, `<html>`, ``,
		`{"id":"job_1","state":"queued","error":null,"started_at":null}`, `{"data":[{"id":"job_1"},null],"has_more":true}`, `null`, `[]`, `{"deadline":"soon"}`,
		`{"id":"conv_1","head":null,"version":3,"match":null,"parameters":{"stop":[]}}`, `{"data":[{"content":[{"text":1},null,"x"]},{"content":"\ud800"}]}`,
		`{"id":"batch_1","errors":{"object":"list","data":[{"line":null}]},"usage":null,"request_counts":{"total":1e9}}`,
	} {
		f.Add(404, body)
		f.Add(502, body)
		f.Add(200, body)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 || status >= 300 && status <= 399 {
			return
		}
		c, err := New("http://api", &http.Client{Transport: answering(func() *http.Response {
			return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
		})})
		require.NoError(t, err)
		_, getErr := c.Get(t.Context(), "job/1?")
		_, _, listErr := c.List(t.Context(), Query{})
		_, batchErr := c.Batch(t.Context(), "batch_1")
		_, talkErr := c.Conversation(t.Context(), "conv_1")
		said, _, saidErr := c.Messages(t.Context(), "conv_1", MessageQuery{})
		for i := range said {
			_ = said[i].Text() // any content has some
		}
		for _, err := range []error{getErr, listErr, batchErr, talkErr, saidErr} {
			if status < http.StatusBadRequest {
				require.True(t, err == nil || strings.HasPrefix(err.Error(), "read answer to GET "), "%v", err)
				continue
			}
			var refused *Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, status, refused.Status)
			require.NotEmpty(t, refused.Message)
		}
	})
}
