package main

import (
	"bytes"
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// cooked makes requests of an input.
func cooked(format, in string, r recipe, e completion.Endpoint) (string, error) {
	rows := textRows
	if format == formatCSV {
		rows = csvRows
	}
	var out bytes.Buffer
	_, err := r.cook(&out, e, rows(strings.NewReader(in)))
	return out.String(), err
}

// said are the ids and prompts of chat requests, each as id=prompt.
func said(requests string) (all []string) {
	for line := range strings.Lines(requests) {
		all = append(all, gjson.Get(line, "custom_id").Str+"="+gjson.Get(line, "body.messages.0.content").Str)
	}
	return all
}

func TestRecipe_Cook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		format, template, in string
		want                 []string
		wrong                string
	}{
		"text":                {formatText, "", "one\ntwo\n", []string{"line-1=one", "line-2=two"}, ""},
		"no last newline":     {formatText, "", "one\ntwo", []string{"line-1=one", "line-2=two"}, ""},
		"blank lines, CRLF":   {formatText, "Say: {{.text}}!", "\r\none\r\n \t\r\ntwo\r\n", []string{"line-2=Say: one!", "line-4=Say: two!"}, ""},
		"byte order mark":     {formatText, "", "\ufeffone\n", []string{"line-1=one"}, ""},
		"nothing":             {formatText, "", " \n\n", nil, ""},
		"not escaped":         {formatText, "", "<b> & \u2028 {{.text}} \"\n", []string{"line-1=<b> & \u2028 {{.text}} \""}, ""},
		"text, other column":  {formatText, "{{.txt}}", "one\n", nil, `line 1: template: template:1:2: executing "template" at <.txt>: map has no entry for key "txt" (its columns: text)`},
		"text, half a rune":   {formatText, "", "one\n\xe2\x82\n", []string{"line-1=one"}, "line 2: not UTF-8"},
		"csv":                 {formatCSV, "{{.a}}-{{.b}}", "a,b\n1,2\n3,4\n", []string{"line-2=1-2", "line-3=3-4"}, ""},
		"csv with ids":        {formatCSV, "{{.a}}", "id,a\nx,1\ny,2\n", []string{"x=1", "y=2"}, ""},
		"custom_id before id": {formatCSV, "{{.id}}", "id,custom_id\nx,1\ny,2\n", []string{"1=x", "2=y"}, ""},
		"mark, CRLF, spaces":  {formatCSV, "{{.a}}", "\ufeffid , a\r\nx,1\r\n\r\ny,2\r\n", []string{"x=1", "y=2"}, ""},
		"quotes":              {formatCSV, "{{.a}}{{.b}}", "a,b\n\"say \"\"hi\"\",\",x\n\"two\r\nlines\",y\nthree,z\n", []string{"line-2=say \"hi\",x", "line-3=two\nlinesy", "line-5=threez"}, ""},
		"name with a space":   {formatCSV, `{{index . "my text"}}`, "my text\none\n", []string{"line-2=one"}, ""},
		"no rows":             {formatCSV, "{{.a}}", "a\n", nil, ""},
		"empty csv":           {formatCSV, "{{.a}}", "", nil, ""},
		"missing column":      {formatCSV, "{{.title}}", "text,id\none,1\n", nil, `line 2: template: template:1:2: executing "template" at <.title>: map has no entry for key "title" (its columns: id, text)`},
		"id twice":            {formatCSV, "{{.a}}", "id,a\nx,1\ny,1\nx,2\n", []string{"x=1", "y=1"}, `line 4: the id "x" is that of line 2, too`},
		"id empty":            {formatCSV, "{{.a}}", "id,a\n,1\n", nil, "read CSV: line 2: its id is empty"},
		"column twice":        {formatCSV, "{{.a}}", "a,a\n1,2\n", nil, `read CSV: line 1: two columns are called "a"`},
		"too few fields":      {formatCSV, "{{.a}}", "a,b\n1,2\n1\n", []string{"line-2=1"}, "read CSV: record on line 3: wrong number of fields"},
		"open quote":          {formatCSV, "{{.a}}", "a\n\"1\n", nil, `read CSV: parse error on line 2, column 4: extraneous or missing " in quoted-field`},
		"csv, not UTF-8":      {formatCSV, "{{.a}}", "a\n\xff\n", nil, "line 2: not UTF-8"},
		"broken template":     {formatCSV, "{{.a", "a\n1\n", nil, "read the template: template: template:1: unclosed action"},
		"template that fails": {formatCSV, "{{index .a 9}}", "a\n1\n", nil, "line 2: template: template:1:2: executing \"template\" at <index .a 9>: error calling index: index out of range: 9 (its columns: a)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := cooked(c.format, c.in, recipe{Template: c.template, Model: "sim"}, completion.EndpointChat)
			require.Equal(t, c.want, said(out))
			if c.wrong == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, c.wrong)
		})
	}
}

func TestRecipe_Body(t *testing.T) {
	t.Parallel()
	r := recipe{Model: "m", System: "be brief", Param: map[string]string{"max_tokens": "5", "user": "me", "stop": `["x"]`, "model": "n"}}
	for e, want := range map[completion.Endpoint]string{
		completion.EndpointChat:        `{"model":"n","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"p"}],"max_tokens":5,"user":"me","stop":["x"]}`,
		completion.EndpointResponses:   `{"model":"n","instructions":"be brief","input":"p","max_tokens":5,"user":"me","stop":["x"]}`,
		completion.EndpointCompletions: `{"model":"n","prompt":"p","max_tokens":5,"user":"me","stop":["x"]}`,
		completion.EndpointEmbeddings:  `{"model":"n","input":"p","max_tokens":5,"user":"me","stop":["x"]}`,
	} {
		out, err := cooked(formatText, "p", r, e)
		require.NoError(t, err)
		require.JSONEq(t, `{"custom_id":"line-1","method":"POST","url":"`+string(e)+`","body":`+want+`}`, out)
	}
}

func TestAsk_Settle(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "prompt")
	require.NoError(t, os.WriteFile(file, []byte("Hi {{.text}}"), 0o600))
	with := recipe{Template: "{{.x}}", Model: "m"}
	for name, c := range map[string]struct {
		in           string
		ask          ask
		format, want string
	}{
		"jsonl":             {"a.jsonl", ask{Format: "auto"}, formatJSONL, ""},
		"standard input":    {"-", ask{Format: "auto"}, formatJSONL, ""},
		"jsonl with model":  {"a", ask{Format: "auto", recipe: recipe{Model: "m"}}, formatJSONL, "--format"},
		"csv":               {"a.CSV", ask{Format: "auto", recipe: with}, formatCSV, ""},
		"csv alone":         {"a.csv", ask{Format: "auto", recipe: recipe{Model: "m"}}, formatCSV, "--template"},
		"txt":               {"a.txt", ask{Format: "auto", recipe: recipe{Model: "m"}}, formatText, ""},
		"no model":          {"a.txt", ask{Format: "auto"}, formatText, "--model"},
		"template":          {"-", ask{Format: "auto", recipe: with}, formatText, ""},
		"said":              {"-", ask{Format: formatCSV, recipe: with}, formatCSV, ""},
		"system, embedding": {"-", ask{Format: formatCSV, Endpoint: completion.EndpointEmbeddings, recipe: recipe{Template: "x", Model: "m", System: "s"}}, formatCSV, "--system"},
		"template in file":  {"-", ask{Format: "auto", recipe: recipe{Template: "@" + file, Model: "m"}}, formatText, ""},
		"no such file":      {"-", ask{Format: "auto", recipe: recipe{Template: "@" + file + "x", Model: "m"}}, "auto", "read the template"},
	} {
		err := c.ask.settle(c.in)
		require.Equal(t, c.format, c.ask.Format, name)
		if c.want != "" {
			require.ErrorContains(t, err, c.want, name)
			continue
		}
		require.NoError(t, err, name)
		require.False(t, strings.HasPrefix(c.ask.Template, "@"), name)
	}
}

// FuzzRecipe_Cook makes requests of anything: each is a JSON object in a line of its own, and its id is used once.
func FuzzRecipe_Cook(f *testing.F) {
	for _, in := range []string{"text\none\n", "id,text\nx,\"a\r\nb\"\ny,\xff\n", "\ufefftext\r\n\r\n\x00\r\n", "text,text\n", "id,text\nline-3,a\n,b", "\"\n", "custom_id\n\u2028\n"} {
		f.Add(in, true)
		f.Add(in, false)
	}
	f.Fuzz(func(t *testing.T, in string, isCSV bool) {
		rows := textRows
		if isCSV {
			rows = csvRows
		}
		var out bytes.Buffer
		n, err := recipe{Template: `{{index . "text"}}`, Model: "sim"}.cook(&out, completion.EndpointChat, counting(rows(strings.NewReader(in))))
		ids := map[string]bool{}
		for line := range strings.Lines(out.String()) {
			var r request
			require.NoError(t, json.Unmarshal([]byte(line), &r))
			require.NotEmpty(t, r.CustomID)
			require.False(t, ids[r.CustomID], r.CustomID)
			ids[r.CustomID] = true
		}
		require.Len(t, ids, n)
		if err == nil {
			require.Zero(t, strings.Count(out.String(), "\ufffd")-strings.Count(in, "\ufffd"), "nothing is replaced")
		}
	})
}

// counting passes rows on whose lines go up.
func counting(rows iter.Seq2[row, error]) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		last := 0
		for r, err := range rows {
			if err == nil && r.line <= last {
				panic("a line comes twice")
			}
			last = r.line
			if !yield(r, err) {
				return
			}
		}
	}
}
