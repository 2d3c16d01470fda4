package line_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"sluice/api/internal/line"
	"sluice/api/internal/request"
	"sluice/shared/completion"
)

// models knows the model m, and native, whose upstreams are asked for Responses as such.
type models struct{ asked []string }

func (m *models) Check(_ context.Context, model string) error {
	m.asked = append(m.asked, model)
	if model == "m" || model == "native" {
		return nil
	}
	e := completion.NewError(completion.CodeModel, "The model does not exist.")
	e.Param = "model"
	return e
}

func (m *models) Native(_ context.Context, model string) bool { return model == "native" }

const chat = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`

func lineOf(id, body string) string {
	return `{"custom_id":"` + id + `","method":"POST","url":"/v1/chat/completions","body":` + body + `}`
}

// bad is what Checker says of the lines that are not good.
func bad(t *testing.T, e completion.Endpoint, file io.Reader) (faults []completion.LineError, c *line.Checker) {
	t.Helper()
	c = line.NewChecker(e, &models{}, 0)
	for l, err := range c.Check(t.Context(), file) {
		if err == nil {
			continue
		}
		f := line.AsFault(err)
		require.NotNil(t, f, "%v", err)
		require.NotEmpty(t, f.Message)
		require.True(t, f.Line == 0 || f.Line == l.Number)
		faults = append(faults, f.LineError)
	}
	require.Equal(t, len(faults), c.Bad)
	return faults, c
}

// Each kind of bad line gives its error, with its number, between two good ones.
func TestCheck_Malformed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ line, code, param string }{
		"blank":             {"", line.CodeJSON, ""},
		"white space":       {" \t\r", line.CodeJSON, ""},
		"not JSON":          {"hello", line.CodeJSON, ""},
		"cut":               {`{"custom_id":"b","method":"POST"`, line.CodeJSON, ""},
		"two values":        {lineOf("b", chat) + lineOf("c", chat), line.CodeJSON, ""},
		"BOM in the middle": {"\xef\xbb\xbf" + lineOf("b", chat), line.CodeJSON, ""},
		"NUL":               {"\x00", line.CodeJSON, ""},
		"NUL in a text":     {lineOf("b\x00", chat), line.CodeJSON, ""},
		"not UTF-8":         {lineOf("\xff", chat), line.CodeJSON, ""},
		"half a character":  {`{"custom_id":"` + "\xe2\x82", line.CodeJSON, ""},
		"UTF-16":            {"{\x00}\x00", line.CodeJSON, ""},
		"CR instead of LF":  {lineOf("b", chat) + "\r" + lineOf("c", chat), line.CodeJSON, ""},
		"array":             {`[]`, line.CodeInvalid, ""},
		"text":              {`"hi"`, line.CodeInvalid, ""},
		"null":              {`null`, line.CodeInvalid, ""},
		"deep":              {lineOf("b", strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)), line.CodeInvalid, "body"},
		"escaped NUL":       {lineOf("b", `{"model":"m","messages":[{"role":"user","content":"\u0000"}]}`), line.CodeInvalid, "body.messages[0].content"},
		"NUL in the id":     {lineOf(`b\u0000`, chat), line.CodeInvalid, "custom_id"},
		"half a surrogate":  {lineOf(`\ud83d`, chat), line.CodeInvalid, "custom_id"},
		"empty object":      {`{}`, line.CodeMissing, "custom_id"},
		"no custom_id":      {`{"method":"POST","url":"/v1/chat/completions","body":` + chat + `}`, line.CodeMissing, "custom_id"},
		"custom_id null":    {`{"custom_id":null,"method":"POST","url":"/v1/chat/completions","body":` + chat + `}`, line.CodeMissing, "custom_id"},
		"no method":         {`{"custom_id":"b","url":"/v1/chat/completions","body":` + chat + `}`, line.CodeMissing, "method"},
		"no url":            {`{"custom_id":"b","method":"POST","body":` + chat + `}`, line.CodeMissing, "url"},
		"no body":           {`{"custom_id":"b","method":"POST","url":"/v1/chat/completions"}`, line.CodeMissing, "body"},
		"custom_id number":  {`{"custom_id":1,"method":"POST","url":"/v1/chat/completions","body":` + chat + `}`, line.CodeCustomID, "custom_id"},
		"custom_id empty":   {lineOf("", chat), line.CodeCustomID, "custom_id"},
		"custom_id long":    {lineOf(strings.Repeat("b", 513), chat), line.CodeCustomID, "custom_id"},
		"custom_id doubled": {lineOf("first", chat), line.CodeDuplicate, "custom_id"},
		"custom_id escaped": {lineOf(`\u0066irst`, chat), line.CodeDuplicate, "custom_id"},
		"custom_id twice":   {`{"custom_id":"b","custom_id":"c","method":"POST","url":"/v1/chat/completions","body":` + chat + `}`, line.CodeInvalid, "custom_id"},
		"method GET":        {`{"custom_id":"b","method":"GET","url":"/v1/chat/completions","body":` + chat + `}`, line.CodeMethod, "method"},
		"method lower case": {`{"custom_id":"b","method":"post","url":"/v1/chat/completions","body":` + chat + `}`, line.CodeMethod, "method"},
		"method number":     {`{"custom_id":"b","method":1,"url":"/v1/chat/completions","body":` + chat + `}`, line.CodeMethod, "method"},
		"other url":         {`{"custom_id":"b","method":"POST","url":"/v1/embeddings","body":` + chat + `}`, line.CodeURL, "url"},
		"whole url":         {`{"custom_id":"b","method":"POST","url":"https://api.openai.com/v1/chat/completions","body":` + chat + `}`, line.CodeURL, "url"},
		"url list":          {`{"custom_id":"b","method":"POST","url":[],"body":` + chat + `}`, line.CodeURL, "url"},
		"body text":         {lineOf("b", `"hi"`), line.CodeInvalid, "body"},
		"body list":         {lineOf("b", `[]`), line.CodeInvalid, "body"},
		"body empty":        {lineOf("b", `{}`), line.CodeInvalid, "body.model"},
		"no messages":       {lineOf("b", `{"model":"m"}`), line.CodeInvalid, "body.messages"},
		"messages empty":    {lineOf("b", `{"model":"m","messages":[]}`), line.CodeInvalid, "body.messages"},
		"no role":           {lineOf("b", `{"model":"m","messages":[{"content":"x"}]}`), line.CodeInvalid, "body.messages[0].role"},
		"model number":      {lineOf("b", `{"model":1,"messages":[{"role":"user","content":"hi"}]}`), line.CodeInvalid, "body.model"},
		"wrong type":        {lineOf("b", `{"temperature":"hot",`+chat[1:]), line.CodeInvalid, "body.temperature"},
		"parameter twice":   {lineOf("b", `{"n":1,"n":2,`+chat[1:]), line.CodeInvalid, "body.n"},
		"metadata number":   {lineOf("b", `{"metadata":{"a":1},`+chat[1:]), line.CodeInvalid, "body.metadata.a"},
		"stream":            {lineOf("b", `{"stream":true,`+chat[1:]), line.CodeInvalid, "body.stream"},
		"stream_options":    {lineOf("b", `{"stream_options":{"include_usage":true},`+chat[1:]), line.CodeInvalid, "body.stream_options"},
		"unknown model":     {lineOf("b", strings.Replace(chat, `"m"`, `"gpt-0"`, 1)), line.CodeModel, "body.model"},
		"body too large":    {lineOf("b", strings.Replace(chat, "hi", strings.Repeat("x", request.MaxBytes), 1)), line.CodeTooLarge, "body"},
		"line too long":     {lineOf("b", strings.Replace(chat, "hi", strings.Repeat("x", line.MaxBytes), 1)), line.CodeTooLarge, ""},
		"blanks, too many":  {strings.Repeat(" ", line.MaxBytes+1), line.CodeTooLarge, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := lineOf("first", chat) + "\n" + c.line + "\n" + lineOf("last", chat)
			faults, sum := bad(t, completion.EndpointChat, strings.NewReader(file))
			require.Len(t, faults, 1)
			got := faults[0]
			require.Equal(t, completion.LineError{Code: c.code, Param: c.param, Line: 2, Message: got.Message}, got)
			require.Equal(t, 3, sum.Total)
			require.Equal(t, "m", sum.Model)
		})
	}
}

func TestCheck_Responses(t *testing.T) {
	t.Parallel()
	of := func(body string) string {
		return `{"custom_id":"a","method":"POST","url":"/v1/responses","body":{` + body + `}}`
	}
	for _, ok := range []string{
		`"model":"m","input":"hi"`, `"model":"m","input":"hi","stream":false,"background":null,"store":true,"previous_response_id":null,"metadata":{"a":"b"}`,
		`"model":"native","input":"hi","tools":[{"type":"web_search"}]`,
	} {
		faults, _ := bad(t, completion.EndpointResponses, strings.NewReader(of(ok)))
		require.Empty(t, faults, ok)
	}
	for body, param := range map[string]string{
		`"model":"m","input":"hi","stream":true`:                              "body.stream",
		`"model":"m","input":"hi","background":true`:                          "body.background",
		`"model":"m","input":"hi","previous_response_id":"resp_1"`:            "body.previous_response_id",
		`"model":"native","input":"hi","previous_response_id":"resp_1"`:       "body.previous_response_id",
		`"model":"m","input":"hi","conversation":{"id":"conv_1"}`:             "body.conversation",
		`"model":"native","input":[{"type":"item_reference","id":"msg_1"}]`:   "body.input",
		`"model":"m","input":[{"role":"user","content":"hi"},{"id":"msg_1"}]`: "body.input",
		`"model":"m"`:  "body.input",
		`"input":"hi"`: "body.model",
		`"model":"m","input":[{"role":"user","content":7}]`:        "body.input[0].content",
		`"model":"m","input":"hi","tools":[{"type":"web_search"}]`: "body.tools[0].type",
		`"model":"m","input":"hi","max_tokens":3`:                  "body.max_tokens",
		`"model":"native","input":"hi","temperature":"hot"`:        "body.temperature",
	} {
		faults, _ := bad(t, completion.EndpointResponses, strings.NewReader(of(body)))
		require.Len(t, faults, 1, body)
		require.Equal(t, line.CodeInvalid, faults[0].Code, body)
		require.Equal(t, param, faults[0].Param, body)
	}
	faults, _ := bad(t, completion.EndpointResponses, strings.NewReader(of(`"model":"x","input":"hi"`)))
	require.Equal(t, line.CodeModel, faults[0].Code)
}

func TestCheck_OtherEndpoints(t *testing.T) {
	t.Parallel()
	for e, body := range map[completion.Endpoint]string{
		completion.EndpointCompletions: `{"model":"m","prompt":"hi"}`, completion.EndpointEmbeddings: `{"model":"m","input":["a","b"]}`,
	} {
		of := func(body string) io.Reader {
			return strings.NewReader(`{"custom_id":"a","method":"POST","url":"` + string(e) + `","body":` + body + `,"comment":"ignored"}`)
		}
		faults, _ := bad(t, e, of(body))
		require.Empty(t, faults)
		faults, _ = bad(t, e, of(chat))
		require.Len(t, faults, 1)
		faults, _ = bad(t, e, of(`{"stream":true,`+body[1:]))
		require.Equal(t, "body.stream", faults[0].Param)
	}
}

// What is no fault of a line: how lines end, a byte order mark at the start, blank lines at the end.
func TestCheck_Good(t *testing.T) {
	t.Parallel()
	two := lineOf("a", chat) + "\n" + lineOf("b", chat)
	for name, file := range map[string]string{
		"no last line feed": two, "last line feed": two + "\n", "CRLF": strings.ReplaceAll(two, "\n", "\r\n") + "\r\n", "BOM": "\xef\xbb\xbf" + two,
		"blank at the end": two + "\n\n \r\n\t\n  ", "space around": " " + strings.ReplaceAll(two, "\n", " \n\t") + " ",
		"longest id": two + "\n" + lineOf(strings.Repeat("é", 256), chat),
	} {
		faults, c := bad(t, completion.EndpointChat, strings.NewReader(file))
		require.Empty(t, faults, name)
		require.GreaterOrEqual(t, c.Total, 2, name)
		require.Equal(t, "m", c.Model)
	}
}

func TestCheck_WholeFile(t *testing.T) {
	t.Parallel()
	for _, empty := range []string{"", "\n", "\r\n\r\n", "\xef\xbb\xbf", " \n\t\n"} {
		faults, c := bad(t, completion.EndpointChat, strings.NewReader(empty))
		require.Equal(t, []completion.LineError{{Code: line.CodeEmpty, Message: faults[0].Message}}, faults, "%q", empty)
		require.Zero(t, c.Total)
	}
	many := iotest.OneByteReader(strings.NewReader(strings.Repeat("x\n", completion.MaxBatchErrors+5)))
	faults, c := bad(t, completion.EndpointChat, many)
	require.Len(t, faults, completion.MaxBatchErrors+5, "all of them are told")
	require.Len(t, c.Errors, completion.MaxBatchErrors)
	require.Equal(t, faults[:completion.MaxBatchErrors-1], c.Errors[:completion.MaxBatchErrors-1])
	require.Equal(t, completion.LineError{Code: line.CodeMore, Message: "There are 6 more errors."}, c.Errors[completion.MaxBatchErrors-1])
	require.Equal(t, completion.MaxBatchErrors+5, c.Total)
}

// lines is a file of so many lines, made as it is read.
type lines struct {
	text func(n int) string
	left int
	rest string
}

func (l *lines) Read(p []byte) (int, error) {
	if l.rest == "" {
		if l.left == 0 {
			return 0, io.EOF
		}
		l.left--
		l.rest = l.text(l.left)
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func TestCheck_TooMany(t *testing.T) {
	t.Parallel()
	file := &lines{left: completion.MaxBatchLines + 7, text: func(int) string { return "{}\n" }}
	c := line.NewChecker(completion.EndpointChat, &models{}, 0)
	var last *line.Fault
	for _, err := range c.Check(t.Context(), file) {
		last = line.AsFault(err)
	}
	require.Equal(t, line.CodeTooMany, last.Code)
	require.Zero(t, last.Line)
	require.Equal(t, completion.MaxBatchLines, c.Total)
}

// A model is asked for once, however many lines name it.
func TestCheck_AsksOnce(t *testing.T) {
	t.Parallel()
	m := &models{}
	file := &lines{left: 100, text: func(n int) string {
		return lineOf(fmt.Sprint(n), strings.Replace(chat, `"m"`, `"`+[]string{"m", "x"}[n%2]+`"`, 1)) + "\n"
	}}
	c := line.NewChecker(completion.EndpointChat, m, 0)
	for range c.Check(t.Context(), file) {
	}
	require.Equal(t, 50, c.Bad)
	slices.Sort(m.asked)
	require.Equal(t, []string{"m", "x"}, m.asked)
}

// A tenant's limit on what it submits holds for each line.
func TestCheck_TenantsBody(t *testing.T) {
	t.Parallel()
	c := line.NewChecker(completion.EndpointChat, &models{}, int64(len(chat)))
	for range c.Check(t.Context(), strings.NewReader(lineOf("a", chat)+"\n"+lineOf("b", " "+chat+" ")+"\n"+lineOf("c", strings.Replace(chat, "hi", "hi!", 1)))) {
	}
	require.Equal(t, []completion.LineError{{Code: line.CodeTooLarge, Param: "body", Line: 3, Message: fmt.Sprintf("The body is too large: the tenant's limit is %d bytes.", len(chat))}}, c.Errors)
}

// A line of a gigabyte is refused, the one after it is read, and little is held meanwhile.
func TestRead_GigabyteLine(t *testing.T) {
	t.Parallel()
	const parts = 16 << 10
	part := strings.Repeat("x", 64<<10)
	file := &lines{left: parts + 2, text: func(n int) string {
		switch n {
		case parts + 1:
			return `{"custom_id":"`
		case 0:
			return "\n" + lineOf("b", chat)
		default:
			return part
		}
	}}
	var got []line.Line
	var faults []*line.Fault
	for l, err := range line.Read(file, line.Position{}, completion.EndpointChat) {
		got, faults = append(got, l), append(faults, line.AsFault(err))
	}
	require.Len(t, got, 2)
	require.Equal(t, line.CodeTooLarge, faults[0].Code)
	require.Nil(t, faults[1])
	require.Equal(t, "b", got[1].CustomID)
	require.Equal(t, int64(parts*len(part)+15), got[1].Offset)
	require.Equal(t, got[0].Next, got[1].Offset)
}

func TestRead_Broken(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	file := io.MultiReader(strings.NewReader(lineOf("a", chat)+"\n{\"cus"), iotest.ErrReader(broken))
	n := 0
	for l, err := range line.Read(file, line.Position{}, completion.EndpointChat) {
		if n++; n == 1 {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, broken, "half a line is not a bad line")
		require.Nil(t, line.AsFault(err))
		require.Equal(t, 2, l.Number)
	}
	require.Equal(t, 2, n)
}

// FuzzRead reads any bytes: lines are numbered and lie side by side, reading may be resumed after each and then gives the same,
// and good ones can be written again.
func FuzzRead(f *testing.F) {
	ok := lineOf("a", chat)
	for _, s := range []string{
		"", "\n", "\xef\xbb\xbf", "\xef\xbb\xbf\n" + ok, ok, ok + "\n", ok + "\r\n" + ok + "\n\n\n", "\n\n" + ok + "\r\n\r\n" + ok, "{}\n[]\nx\n" + ok,
		lineOf(`\u00e9\"\\`, chat) + "\n\x00\n" + lineOf("\xff", chat), "\r", "\r\r\n", strings.Repeat("[", 70) + "\n" + ok, ok[:60], ok + ok,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		type result struct {
			line  line.Line
			fault string
		}
		read := func(from line.Position) (all []result) {
			for l, err := range line.Read(bytes.NewReader(file[from.Offset:]), from, completion.EndpointChat) {
				r := result{line: l}
				if err != nil {
					fault := line.AsFault(err)
					require.NotNil(t, fault, "%v", err)
					require.Equal(t, l.Number, fault.Line)
					r.fault = fault.Error()
				}
				all = append(all, r)
			}
			return all
		}
		all := read(line.Position{})
		at := line.Position{}
		for i, r := range all {
			require.Greater(t, r.line.Number, at.Number)
			require.Equal(t, at.Offset, r.line.Offset)
			require.Greater(t, r.line.Next, r.line.Offset)
			at = r.line.End()
			if i == 0 || i == len(all)/2 {
				from := at
				if next := i + 1; next < len(all) {
					from.Number = all[next].line.Number - 1 // blank lines are one
				}
				require.Equal(t, append([]result{}, all[i+1:]...), append([]result{}, read(from)...))
			}
			if r.fault == "" {
				again, err := one(string(r.line.Request(completion.EndpointChat)))
				require.NoError(t, err)
				require.Equal(t, r.line.CustomID, again.CustomID)
				require.Equal(t, r.line.Body, again.Body)
			}
		}
		require.Empty(t, bytes.TrimLeft(bytes.TrimPrefix(file[at.Offset:], []byte("\xef\xbb\xbf")), "\r\n\t "), "all of it was read")
		bad(t, completion.EndpointChat, bytes.NewReader(file))
	})
}

// one reads a file of one line.
func one(text string) (l line.Line, err error) {
	for l, err = range line.Read(strings.NewReader(text), line.Position{}, completion.EndpointChat) {
	}
	return l, err
}
