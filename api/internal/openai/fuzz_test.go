package openai

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/api/internal/result"
	"sluice/shared/completion"
)

// jobOf is a job with that answer.
func jobOf(e completion.Endpoint, answer string) *completion.Job {
	return &completion.Job{ID: "job_0123", Endpoint: e, Model: "m\"", Result: []byte(answer), CreatedAt: time.Unix(7, 0)}
}

// FuzzFrame renders whatever an upstream's chunk may be: one line of JSON, with what every chunk has and the chunk's own text.
func FuzzFrame(f *testing.F) {
	for _, c := range []string{
		`{}`, `{"choices":[]}`, `{"choices":null}`, `{"choices":{}}`, `{"choices":[1,null,{}]}`, `{"id":"x","model":null,"choices":[{"delta":{"content":"a"}}]}`,
		`{"choices":[{"text":"a","index":1,"finish_reason":"stop"}],"usage":{"a":1},"x":[1],"service_tier":"default"}`, `{"choices":[{"":1}]}`, `{"m\u006fdel":1}`,
	} {
		f.Add(c, true, false)
		f.Add(c, false, true)
	}
	f.Fuzz(func(t *testing.T, chunk string, usage, text bool) {
		if !json.Valid([]byte(chunk)) || !gjson.Parse(chunk).IsObject() || bytes.ContainsAny([]byte(chunk), "\r\n") {
			return // the worker lets nothing else through
		}
		e := completion.EndpointChat
		if text {
			e = completion.EndpointCompletions
		}
		frame := newFrame(jobOf(e, ""), usage)
		for range 2 {
			line := frame.line(json.RawMessage(chunk))
			if line == nil {
				continue
			}
			require.True(t, json.Valid(line), "%s", line)
			require.False(t, bytes.ContainsAny(line, "\r\n"))
			root := gjson.ParseBytes(line)
			require.True(t, root.Get("choices").IsArray())
			require.Equal(t, int64(7), root.Get("created").Int())
			require.Equal(t, usage, root.Get("usage").Exists())
		}
	})
}

// FuzzObject renders whatever a result may be.
func FuzzObject(f *testing.F) {
	for _, c := range []string{
		`{}`, `{"choices":[{"message":{"content":"a"}}],"id":1,"created":"x"}`, `{"choices":[{"index":0},1,{"message":null}]}`, `{"choices":3}`,
		`{"object":"text_completion","choices":[{"text":"x","logprobs":{}}]}`, ` {"choices" : [ { "message" : { } } ] } `,
	} {
		f.Add(c, true)
		f.Add(c, false)
	}
	f.Fuzz(func(t *testing.T, said string, text bool) {
		if !json.Valid([]byte(said)) || !gjson.Parse(said).IsObject() {
			return
		}
		e := completion.EndpointChat
		if text {
			e = completion.EndpointCompletions
		}
		job := jobOf(e, said)
		for _, body := range [][]byte{result.Object(job, nil), stored(job)} {
			require.True(t, json.Valid(body), "%s", body)
			require.Equal(t, result.ID(job), gjson.GetBytes(body, "id").Str)
		}
	})
}
