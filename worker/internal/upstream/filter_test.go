package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"sluice/shared/completion"

	"github.com/stretchr/testify/require"
)

const (
	hello  = `{"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}`
	stop   = `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	second = `{"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":"stop"}]}`
)

// filtered runs a stream through a filter and returns the data that came out and the error that ended it.
func filtered(t *testing.T, r io.Reader, choices int) (string, error) {
	t.Helper()
	f := newFilter(r, 10<<20, choices)
	u := &Upstream{secret: newScrubber(Config{})}
	f.classify = func(x fault) error { return u.classify(x) }
	list, err := chunks(f)
	var out strings.Builder
	for _, chunk := range list {
		out.WriteString(string(chunk) + "\n")
	}
	return out.String(), err
}

// chunks are all that f gives out.
func chunks(f *filter) (list []json.RawMessage, err error) {
	for {
		chunk, err := f.next()
		switch {
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			return list, err
		}
		list = append(list, bytes.Clone(chunk))
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream  string
		choices int
		out     string
		code    completion.Code // empty: complete
	}{
		"plain":                 {"data: " + hello + "\n\ndata: " + stop + "\n\ndata: [DONE]\n\n", 1, hello + "\n" + stop + "\n", ""},
		"crlf":                  {"data: " + hello + "\r\n\r\ndata: [DONE]\r\n\r\n", 1, hello + "\n", ""},
		"no space":              {"data:" + hello + "\n\ndata:[DONE]\n\n", 1, hello + "\n", ""},
		"byte order mark":       {"\ufeffdata: " + hello + "\n\ndata: [DONE]\n\n", 1, hello + "\n", ""},
		"no blank lines":        {"data: " + hello + "\ndata: " + stop + "\ndata: [DONE]\n", 1, hello + "\n" + stop + "\n", ""},
		"comments and fields":   {": hi\n\nid: 1\nretry: 5\nevent: chunk\ndata: " + hello + "\n\n:\n" + strings.Repeat(": ping\n\n", 1000) + "data: [DONE]\n\n", 1, hello + "\n", ""},
		"several lines":         {"data: {\"a\":\ndata: 1}\n\ndata: [DONE]\n\n", 1, "{\"a\": 1}\n", ""},
		"several lines at DONE": {"data: {\"a\":\ndata: 1}\ndata: [DONE]\n\n", 1, "{\"a\": 1}\n", ""},
		"null error":            {`data: {"error":null,"choices":[]}` + "\n\ndata: [DONE]\n\n", 1, `{"error":null,"choices":[]}` + "\n", ""},
		"no DONE":               {"data: " + hello + "\n\ndata: " + stop + "\n\n", 1, hello + "\n" + stop + "\n", ""},
		"no last newline":       {"data: " + hello + "\n\ndata: " + stop, 1, hello + "\n" + stop + "\n", ""},
		"DONE without newline":  {"data: " + hello + "\n\ndata: [DONE]", 1, hello + "\n", ""},
		"DONE, no finish":       {"data: " + hello + "\n\ndata: [DONE]\n\n", 1, hello + "\n", ""},
		"n ignored":             {"data: " + stop + "\n\n", 2, stop + "\n", ""},
		"one of two unfinished": {"data: " + hello + "\n\ndata: " + second + "\n\n", 2, hello + "\n" + second + "\n", completion.CodeCut},
		"unknown choices":       {"data: {\"choices\":null}\n\ndata: {}\n\ndata: [DONE]\n\n", 1, "{\"choices\":null}\n{}\n", ""},
		"invalid UTF-8":         {"data: {\"a\":\"é\xff\xed\xa0\x80\\u0000\"}\n\ndata: [DONE]\n\n", 1, `{"a":"é\udcff\udced\udca0\udc80\u0000"}` + "\n", ""},

		"cut":                   {"data: " + hello + "\n\n", 1, hello + "\n", completion.CodeCut},
		"cut in a line":         {"data: " + hello + "\n\ndata: {\"choices\":[{\"ind", 1, hello + "\n", completion.CodeCut},
		"cut before blank line": {"data: " + hello + "\n\ndata: {\"a\":\n", 1, hello + "\n", completion.CodeCut},
		"nothing":               {"", 1, "", completion.CodeCut},
		"comments only":         {": a\n\n: b\n\n", 1, "", completion.CodeCut},
		"DONE only":             {"data: [DONE]\n\n", 1, "", completion.CodeUpstreamGarbage},
		"page":                  {"<html>\n<body>Sorry</body>\n", 1, "", completion.CodeUpstreamGarbage},
		"not JSON":              {"data: " + hello + "\n\ndata: {\"choices\":[\n\n", 1, hello + "\n", completion.CodeUpstreamGarbage},
		"not an object":         {"data: 5\n\n", 1, "", completion.CodeUpstreamGarbage},
		"escape cut by a byte":  {"data: {\"a\":\"\\\xff\"}\n\n", 1, "", completion.CodeUpstreamGarbage},
		"odd white space":       {"data:\u00a0" + hello + "\n\n", 1, "", completion.CodeUpstreamGarbage},
		"error":                 {"data: " + hello + "\n\ndata: {\"error\":{\"message\":\"x\",\"code\":429}}\n\n", 1, hello + "\n", completion.CodeRateLimited},
		"error event":           {"event: error\ndata: {\"message\":\"x\",\"type\":\"server_error\"}\n\n", 1, "", completion.CodeUpstream},
		"error object":          {"data: {\"object\":\"error\",\"message\":\"x\",\"code\":400}\n\n", 1, "", completion.CodeUpstreamRejected},
		"error text":            {"data: {\"error\":\"model crashed\"}", 1, "", completion.CodeUpstream},
		"too large":             {"data: " + hello + "\n\ndata: \"" + strings.Repeat("x", 11<<20), 1, hello + "\n", completion.CodeAnswerTooLarge},

		"whole":                  {`{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"é","tool_calls":[{"id":"a"},{},{"index":7}]},"finish_reason":"stop"}],"usage":{"total_tokens":1}}`, 1, `{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"é","tool_calls":[{"index":0,"id":"a"},{"index":1},{"index":7}]},"finish_reason":"stop"}],"usage":{"total_tokens":1}}` + "\n", ""},
		"carriage return":        {"data: {\"a\":\r[1,\r2]}\n\ndata: " + stop + "\n\n", 1, "{\"a\":[1,2]}\n" + stop + "\n", ""},
		"whole, indented deeply": {"{\"choices\": [{\"message\": {\"tool_calls\": [\n{\"function\": {\n \"name\": \"a b\\n\"\n}}]}}],\n\"usage\": {\n\"total_tokens\": 1\n}}", 1, `{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"a b\n"}}]}}],"usage":{"total_tokens":1}}` + "\n", ""},
		"whole, indented":        {"\n {\n\"choices\": [\n{\"message\": {}}\n]\n}\n", 1, `{"choices":[{"delta":{}}]}` + "\n", ""},
		"whole error":            {`{"error":{"message":"x","type":"invalid_request_error"}}`, 1, "", completion.CodeUpstreamRejected},
		"whole, other":           {`{"ok":true}`, 1, "", completion.CodeUpstreamGarbage},
		"whole, cut":             {`{"choices":[{"message"`, 1, "", completion.CodeUpstreamGarbage},
		"two objects":            {hello + "\n" + stop + "\n", 1, "", completion.CodeUpstreamGarbage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{strings.NewReader(c.stream), iotest.DataErrReader(strings.NewReader(c.stream)), iotest.HalfReader(strings.NewReader(c.stream))} {
				out, err := filtered(t, r, c.choices)
				require.Equal(t, c.out, out)
				if c.code == "" {
					require.NoError(t, err)
					continue
				}
				require.Equal(t, c.code, completion.AsError(err).Code, "%v", err)
			}
		})
	}
}

func TestFilter_BrokenConnection(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	out, err := filtered(t, io.MultiReader(strings.NewReader("data: "+hello+"\n\n"), iotest.ErrReader(broken)), 1)
	require.Contains(t, out, hello)
	require.ErrorIs(t, err, broken)
	require.Equal(t, completion.CodeCut, completion.AsError(err).Code)

	_, err = filtered(t, io.MultiReader(strings.NewReader("data: "+stop+"\n\n"), iotest.ErrReader(broken)), 1)
	require.NoError(t, err, "every choice was finished")
	_, err = filtered(t, io.MultiReader(strings.NewReader("data: "+stop+"\n\n"), iotest.ErrReader(broken)), 2)
	require.Error(t, err, "the second choice never began")
	_, err = filtered(t, io.MultiReader(strings.NewReader("{"), iotest.ErrReader(broken)), 1)
	require.Equal(t, completion.CodeCut, completion.AsError(err).Code, "a whole answer")
}

// TestFilter_HugeN is not parallel, so that it measures what it allocates itself.
func TestFilter_HugeN(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := filtered(t, strings.NewReader("data: "+stop+"\n\n"), 1<<24)
	require.NoError(t, err)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "the client's n does not decide how much memory is taken")
}

func TestFilter_LongLines(t *testing.T) {
	t.Parallel()
	for _, size := range []int{lineBuffer - 50, lineBuffer, lineBuffer + 1, 100 << 10, 1 << 20} {
		chunk := `{"choices":[{"index":0,"delta":{"content":"` + strings.Repeat("x", size) + `"}}]}`
		out, err := filtered(t, strings.NewReader("data: "+chunk+"\n\ndata: "+stop+"\n\ndata: [DONE]\n\n"), 1)
		require.NoError(t, err)
		require.Equal(t, chunk+"\n"+stop+"\n", out)
	}
	_, err := filtered(t, strings.NewReader("data: {\"a\":"+strings.Repeat("[", 5<<20)+"\n\n"), 1)
	require.Equal(t, completion.CodeUpstreamGarbage, completion.AsError(err).Code, "deep nesting does not exhaust the stack")
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"data: " + hello + "\n\ndata: [DONE]\n\n", "event: error\ndata: {\"a\":\ndata: 1}\n\n", "{\"choices\":[{\"message\":{\"tool_calls\":[{}]}}]}", "data: {\"\xff\":1}\n\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, stream string) {
		out, err := filtered(t, strings.NewReader(stream), 1)
		if err != nil {
			var own *completion.Error
			require.ErrorAs(t, err, &own)
		}
		for line := range strings.Lines(out) {
			value := []byte(strings.Trim(strings.TrimPrefix(line, "data:"), jsonSpace))
			require.True(t, validJSON(value), "%q", line)
		}
	})
}
