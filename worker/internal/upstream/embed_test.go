package upstream

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// embed asks for embeddings from a provider that answers with body.
func embed(t *testing.T, status int, body string) (answer json.RawMessage, asked string, err error) {
	t.Helper()
	u := setup(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		asked = r.URL.Path + " " + string(b)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}), Config{MaxAnswerBytes: 1 << 10, IdleLimit: 10 * time.Second})
	n := 0
	for chunk, failure := range u.Stream(t.Context(), completion.EndpointEmbeddings, json.RawMessage(`{"model":"m", "input":["a"],"dimensions":1e0,"x":{}}`)) {
		answer, err = chunk, failure
		n++
	}
	require.Equal(t, 1, n)
	return answer, asked, err
}

func TestStream_Embeddings(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10,-1E-3]}],"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}}`,
		`{"object":"list","data":[{"object":"embedding","index":0,"embedding":"zczMPQ=="}]}`,
		`{"data":[],"error":null}`,
	} {
		answer, asked, err := embed(t, http.StatusOK, " "+strings.ReplaceAll(body, ",", " ,\n\t")+"\n")
		require.NoError(t, err)
		require.Equal(t, body, string(answer), "as the upstream wrote it, on one line")
		require.Equal(t, `/v1/embeddings {"model":"m", "input":["a"],"dimensions":1e0,"x":{}}`, asked, "as the caller wrote it")
	}
}

func TestStream_Embeddings_Faults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		code   completion.Code
	}{
		"NotJSON":  {200, `<html>`, completion.CodeUpstreamGarbage},
		"Cut":      {200, `{"data":[`, completion.CodeUpstreamGarbage},
		"NoData":   {200, `{"object":"list"}`, completion.CodeUpstreamGarbage},
		"Empty":    {200, ``, completion.CodeUpstreamGarbage},
		"Error":    {200, `{"error":{"message":"no","code":429}}`, completion.CodeRateLimited},
		"TooLarge": {200, `{"data":["` + strings.Repeat("x", 1<<10) + `"]}`, completion.CodeAnswerTooLarge},
		"Refused":  {400, `{"error":{"message":"too long","param":"input","code":"context_length_exceeded"}}`, completion.CodeUpstreamRejected},
		"Down":     {503, ``, completion.CodeUpstream},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, _, err := embed(t, c.status, c.body)
			require.Nil(t, answer)
			e := completion.AsError(err)
			require.Equal(t, c.code, e.Code, "%v", err)
			if name == "Refused" {
				require.Equal(t, []string{"context_length_exceeded", "input", "too long"}, []string{e.UpstreamCode, e.Param, e.Message})
			}
		})
	}
}

func TestStream_Completions(t *testing.T) {
	t.Parallel()
	piece := func(index, text, finish string) string {
		return `{"id":"c","object":"text_completion","choices":[{"index":` + index + `,"text":"` + text + `","finish_reason":` + finish + `}]}`
	}
	whole := `{"id":"c","object":"text_completion","choices":[{"index":0,"text":"ab","finish_reason":"stop"}]}`
	for name, c := range map[string]struct {
		prompt string
		lines  []string
		code   completion.Code
		chunks int
	}{
		"Stream":    {`"p"`, []string{piece("0", "a", "null"), piece("0", "b", `"stop"`), "[DONE]"}, "", 2},
		"NoDone":    {`["p"]`, []string{piece("0", "a", `"stop"`)}, "", 1},
		"Cut":       {`"p"`, []string{piece("0", "a", "null")}, completion.CodeCut, 1},
		"Prompts":   {`["p","q"]`, []string{piece("0", "a", `"stop"`), piece("1", "b", `"stop"`), "[DONE]"}, "", 2},
		"TokenList": {`[[1],[2]]`, []string{piece("0", "a", `"stop"`), piece("1", "b", `"stop"`), "[DONE]"}, "", 2},
		"Tokens":    {`[1,2]`, []string{piece("0", "a", `"stop"`), "[DONE]"}, "", 1},
		"Whole":     {`"p"`, nil, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := ""
			u := setup(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				asked = r.URL.Path + " " + string(b)
				for _, l := range c.lines {
					_, _ = io.WriteString(w, "data: "+l+"\n\n")
				}
				if c.lines == nil {
					_, _ = io.WriteString(w, whole)
				}
			}), Config{})
			var chunks []json.RawMessage
			var err error
			for chunk, failure := range u.Stream(t.Context(), completion.EndpointCompletions, json.RawMessage(`{"model":"m","prompt":`+c.prompt+`}`)) {
				if err = failure; err == nil {
					chunks = append(chunks, chunk)
				}
			}
			if c.code != "" {
				require.Equal(t, c.code, completion.AsError(err).Code)
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, `/v1/completions {"model":"m","prompt":`+c.prompt+`,"stream":true,"stream_options":{"include_usage":true}}`, asked)
			require.Len(t, chunks, c.chunks)
			require.Equal(t, "text_completion", gjson.GetBytes(chunks[0], "object").Str)
		})
	}
}
