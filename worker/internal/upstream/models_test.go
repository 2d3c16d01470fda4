package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// listed answers like an upstream that has body under /models.
func listed(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/v1/models" || r.Header.Get("Authorization") != "Bearer sk-of-the-upstream" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.ReplaceAll(body, "HOST", r.Host))
	}
}

var keyed = Config{Name: "u", APIKey: "sk-of-the-upstream"}

func TestUpstream_Models(t *testing.T) {
	t.Parallel()
	models, err := setup(t, nil, Config{}).Models(t.Context())
	require.NoError(t, err)
	require.Equal(t, `["sim","sim-instant"]`, gjson.GetBytes(models, "#.id").Raw)

	for name, row := range map[string]struct{ body, want string }{
		"sorted, and no id twice": {
			`{"object":"list","data":[{"id":"b","object":"model","created":2,"owned_by":"x"},{"id":"a","created":1.5e0},{"id":"b","created":9}]}`,
			`[{"id":"a","object":"model","created":1,"owned_by":"u"},{"id":"b","object":"model","created":2,"owned_by":"x"}]`,
		},
		"more members": {`{"data":[{"id":"a/b","created":1,"owned_by":"vllm","context_length":1.50,"x":[null]}]}`, `[{"id":"a/b","object":"model","created":1,"owned_by":"vllm","context_length":1.50,"x":[null]}]`},
		"a bare array": {`[{"id":"a"}]`, `[{"id":"a","object":"model","created":0,"owned_by":"u"}]`},
		"odd ones":     {`[1,null,{},{"id":7},{"id":""},{"id":"` + strings.Repeat("x", 257) + `"},{"id":"\u001b[1m"},{"id":"\u00e9","owned_by":"\n"}]`, `[{"id":"\u00e9","object":"model","created":0,"owned_by":"u"}]`},
		"no models":    {`{"data":[]}`, `[]`},
		"not UTF-8":    {"[{\"id\":\"a\",\"x\":\"\xff\"}]", `[{"id":"a","object":"model","created":0,"owned_by":"u","x":"\udcff"}]`},
		"private": {
			`[{"id":"http://HOST/a"},{"id":"my-org-llama-13b","owned_by":"org-1234567890","root":"http:\/\/HOST\/v1","k":{"key":"sk-of-the-upstream"},"p":[{"organization":"org-1234567890"}],"y":1}]`,
			`[{"id":"my-org-llama-13b","object":"model","created":0,"owned_by":"u","y":1}]`,
		},
	} {
		models, err := setup(t, listed(http.StatusOK, row.body), keyed).Models(t.Context())
		require.NoError(t, err, name)
		require.Equal(t, row.want, string(models), name)
	}
}

func TestUpstream_Models_DoesNotSay(t *testing.T) {
	t.Parallel()
	many := strings.TrimSuffix(strings.Repeat(`{"id":"m"},`, maxModels+1), ",")
	for name, handler := range map[string]http.HandlerFunc{
		"no such route":   listed(http.StatusNotFound, `{"error":{"message":"no"}}`),
		"no such method":  listed(http.StatusMethodNotAllowed, ``),
		"another key":     listed(http.StatusForbidden, `{}`),
		"not implemented": listed(http.StatusNotImplemented, `{}`),
		"elsewhere":       listed(http.StatusFound, ``),
		"a page":          listed(http.StatusOK, `<html>`),
		"nothing":         listed(http.StatusOK, ``),
		"no list":         listed(http.StatusOK, `{"data":{"id":"a"}}`),
		"a number":        listed(http.StatusOK, `7`),
		"too many":        listed(http.StatusOK, `{"data":[`+many+`]}`),
		"too large":       listed(http.StatusOK, `{"data":[{"id":"a","x":"`+strings.Repeat("x", maxList)+`"}]}`),
	} {
		models, err := setup(t, handler, keyed).Models(t.Context())
		require.NoError(t, err, name)
		require.Nil(t, models, name)
	}
	models, err := setup(t, listed(http.StatusOK, `{"data":[`+strings.TrimSuffix(strings.Repeat(`{"id":"m"},`, maxModels), ",")+`]}`), keyed).Models(t.Context())
	require.NoError(t, err)
	require.True(t, json.Valid(models), "as many as may be")
}

func TestUpstream_Models_Faults(t *testing.T) {
	t.Parallel()
	for status, code := range map[int]completion.Code{
		http.StatusInternalServerError: completion.CodeUpstream, http.StatusBadGateway: completion.CodeUpstream, http.StatusTooManyRequests: completion.CodeRateLimited,
	} {
		_, err := setup(t, listed(status, `{"error":{"message":"at HOST"}}`), keyed).Models(t.Context())
		requireCode(t, code, err)
	}
	cut := setup(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"data":[`)
	}), Config{})
	_, err := cut.Models(t.Context())
	requireCode(t, completion.CodeCut, err)

	arrived := make(chan struct{})
	hanging := setup(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, `{"data":[`)
		_ = http.NewResponseController(w).Flush()
		close(arrived)
		<-r.Context().Done()
	}), Config{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	_, err = hanging.Models(ctx)
	requireCode(t, completion.CodeCancelled, err)

	gone, err := New(Config{BaseURL: "http://127.0.0.1:1/v1"})
	require.NoError(t, err)
	_, err = gone.Models(t.Context())
	requireCode(t, completion.CodeUnreachable, err)
}
