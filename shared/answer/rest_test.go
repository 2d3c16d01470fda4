package answer

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// step is the least that a stream says at once: a character of a text, or what is not cut.
type step struct {
	choice int
	path   string // of the place in the choice
	text   string // not escaped
}

// script says an answer of one or two choices step by step.
func script(r *rand.Rand, legacy bool) (list []step) {
	characters := []string{"a", "b", " ", "é", "😀", "/", `"`, `\`, "\n", "\x00", "\u2028", "\ufffd", "𝄞"}
	text := func(choice int, path string, most int) {
		for range r.IntN(most) {
			list = append(list, step{choice, path, characters[r.IntN(len(characters))]})
		}
	}
	for c := range 1 + r.IntN(2) {
		if legacy {
			for range r.IntN(4) {
				text(c, "text", 6)
				list = append(list, step{c, "tokens", characters[r.IntN(len(characters))]})
			}
		} else {
			list = append(list, step{c, "role", "assistant"})
			text(c, "reasoning_content", 8)
			text(c, "content", 8)
			list = append(list, step{c, "logprobs", characters[r.IntN(len(characters))]})
			text(c, "content", 8)
			for i := range r.IntN(3) {
				list = append(list, step{c, fmt.Sprintf("id %d", i), fmt.Sprint("call_", r.IntN(1000))}, step{c, fmt.Sprintf("name %d", i), "f"})
				text(c, fmt.Sprintf("arguments %d", i), 12)
			}
		}
		list = append(list, step{c, "finish", []string{"stop", "length"}[r.IntN(2)]})
	}
	return list
}

// quote escapes s in one of the ways there are.
func quote(r *rand.Rand, s string) string {
	var b strings.Builder
	for _, c := range s {
		plain, _ := json.Marshal(string(c))
		switch {
		case r.IntN(3) > 0:
			b.Write(plain[1 : len(plain)-1])
		case c == '/':
			b.WriteString(`\/`)
		case c > 0xffff:
			fmt.Fprintf(&b, `\u%04X\u%04x`, 0xd800+(c-0x10000)>>10, 0xdc00+(c-0x10000)&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return `"` + b.String() + `"`
}

// chunkOf says steps of one place at once.
func chunkOf(r *rand.Rand, s step) string {
	said, place, at := quote(r, s.text), s.path, ""
	if p, i, ok := strings.Cut(s.path, " "); ok {
		place, at = p, i
	}
	body := map[string]string{
		"text":      `"text":` + said,
		"tokens":    `"text":"","logprobs":{"tokens":[` + said + `],"token_logprobs":[null],"top_logprobs":[{"index":1}],"text_offset":[7]}`,
		"logprobs":  `"delta":{},"logprobs":{"content":[{"token":` + said + `,"logprob":-0.25,"bytes":null}],"refusal":null}`,
		"id":        `"delta":{"tool_calls":[{"index":` + at + `,"id":` + said + `,"type":"function"}]}`,
		"name":      `"delta":{"tool_calls":[{"index":` + at + `,"function":{"name":` + said + `}}]}`,
		"arguments": `"delta":{"tool_calls":[{"index":` + at + `,"function":{"arguments":` + said + `}}]}`,
		"role":      `"delta":{"role":` + said + `,"content":null,"refusal":null}`,
		"finish":    `"finish_reason":` + said,
	}[place]
	if body == "" {
		body = `"delta":{"` + place + `":` + said + `}`
	}
	return fmt.Sprintf(`{"id":"c-%d","choices":[{"index":%d,%s}]}`, r.IntN(9), s.choice, body)
}

// spoken folds steps, several of one text in one chunk or each in its own, escaped in whatever way.
func spoken(t *testing.T, r *rand.Rand, object string, steps []step) *Answer {
	t.Helper()
	a, _ := fold(t, `{"object":"`+object+`","choices":[]}`)
	for i := 0; i < len(steps); {
		s := steps[i]
		for i++; i < len(steps) && r.IntN(2) == 0 && continues(s, steps[i]); i++ {
			s.text += steps[i].text
		}
		_, err := a.Add(json.RawMessage(chunkOf(r, s)))
		require.NoError(t, err)
	}
	return a
}

func continues(s, next step) bool {
	return s.choice == next.choice && s.path == next.path && (strings.HasSuffix(s.path, "content") || s.path == "text" || strings.HasPrefix(s.path, "arguments"))
}

// heard is what choices say: null and an empty text say nothing.
func heard(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = heard(v[i])
		}
	case map[string]any:
		for key, member := range v {
			if v[key] = heard(member); member == nil || member == "" {
				delete(v, key)
			}
		}
	}
	return v
}

func choicesOf(t *testing.T, a *Answer) any {
	t.Helper()
	if a.Empty() {
		return []any{}
	}
	return heard(decoded(t, json.RawMessage(gjson.GetBytes(a.Completion(), "choices").Raw)))
}

// requireRest checks what Rest says when a begins with sent, and returns whether it says so.
func requireRest(t *testing.T, a, sent *Answer) bool {
	t.Helper()
	before := string(sent.Completion())
	chunk, covered, ok := a.Rest(sent)
	require.Equal(t, before, string(sent.Completion()), "as it was")
	require.True(t, chunk == nil || covered && ok && json.Valid(chunk), "%s", chunk)
	if !covered {
		return false
	}
	if sent.Empty() && a.isText() {
		_, err := sent.Add(json.RawMessage(`{"object":"text_completion"}`))
		require.NoError(t, err)
	}
	if chunk != nil {
		_, err := sent.Add(chunk)
		require.NoError(t, err)
	}
	require.Equal(t, choicesOf(t, a), choicesOf(t, sent), "%s\n%s\n%s\n%s", before, chunk, sent.Completion(), a.Completion())
	return true
}

func rehearse(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // a repeatable run is the point
	object := []string{"chat.completion.chunk", "text_completion"}[r.IntN(2)]
	steps := script(r, object == "text_completion")
	k := r.IntN(len(steps) + 1)
	for m := range len(steps) + 1 {
		sent, a := spoken(t, r, object, steps[:k]), spoken(t, r, object, steps[:m])
		_, _, ok := a.Rest(sent)
		require.True(t, ok, "%s\n%s", sent.Completion(), a.Completion())
		covered := requireRest(t, a, sent)
		require.True(t, covered || m < k, "%s\n%s", sent.Completion(), a.Completion())
	}
	if k == 0 {
		return
	}
	wrong := r.IntN(k)
	other := append([]step(nil), steps...)
	other[wrong].text = "x" + other[wrong].text
	for m := wrong + 1; m <= len(steps); m++ {
		_, _, ok := spoken(t, r, object, other[:m]).Rest(spoken(t, r, object, steps[:k]))
		require.False(t, ok, "step %d of %v", wrong, steps)
	}
}

func TestAnswer_Rest_I4_AnyCut(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		rehearse(t, seed)
	}
}

func FuzzAnswer_Rest_I4(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(rehearse)
}

// FuzzAnswer_Rest_Sound gives Rest whatever chunks: where it says that an answer goes on, it does.
func FuzzAnswer_Rest_Sound(f *testing.F) {
	for _, s := range [][2]string{
		{`{"choices":[{"index":0,"delta":{"content":"h\u00e9"}}]}`, `{"choices":[{"index":0,"delta":{"content":"h\u00e9llo","x":1}}]}`},
		{`{"choices":[{"delta":{"a":[{"index":1,"b":"x"},{"c":true}]}}]}`, `{"choices":[{"delta":{"a":[{"b":"xy","index":1},{"c":true},[]]}},{"index":2}],"x":7}`},
		{`{"choices":[{"text":"\ud83d"}],"object":"text_completion"}`, `{"choices":[{"text":"\ud83d\ude00"}],"object":"text_completion"}`},
		{`{"choices":[{"delta":{"top_logprobs":[{"index":1}]}}]}`, `{"choices":[{"delta":{"top_logprobs":[{"index":1},{"index":1}]}}]}`},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		if !json.Valid([]byte(one)) || !json.Valid([]byte(two)) || repeats(gjson.Parse(one), 0) || repeats(gjson.Parse(two), 0) {
			return
		}
		var sent, a, none Answer
		if _, err := sent.Add(json.RawMessage(one)); err != nil {
			return
		}
		if _, err := a.Add(json.RawMessage(two)); err != nil {
			return
		}
		_, covered, ok := a.Rest(&a)
		require.True(t, covered && ok, "it is its own beginning")
		require.True(t, requireRest(t, &a, &none))
		requireRest(t, &a, &sent)
	})
}

func TestAnswer_Rest(t *testing.T) {
	t.Parallel()
	content := func(s string) string { return `{"choices":[{"index":0,"delta":{"content":"` + s + `"}}]}` }
	tool := func(s string) string { return `{"choices":[{"index":0,"delta":{"tool_calls":[` + s + `]}}]}` }
	const held = "held"
	for name, row := range map[string]struct{ sent, a, want string }{
		"more":                     {content("he"), content("hello"), `{"choices":[{"index":0,"delta":{"content":"llo"},"finish_reason":null}]}`},
		"nothing more":             {content("he"), content("he"), ""},
		"less":                     {content("hello"), content("he"), held},
		"nothing yet":              {content("hello"), `{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}`, held},
		"another text":             {content("hello"), content("hex"), "differs"},
		"escapes":                  {content(`\u00e9\/\ud83d\ude00`), content(`é/😀\u0041`), `{"choices":[{"index":0,"delta":{"content":"\u0041"},"finish_reason":null}]}`},
		"half a pair, cut before":  {content(`\ud83d`), content(`\ud83d\ude00`), `{"choices":[{"index":0,"delta":{"content":"\ude00"},"finish_reason":null}]}`},
		"half a pair, not cut now": {content(`\ud83d`), content(`😀`), "differs"},
		"half a pair so far":       {content(`😀`), content(`\ud83d`), held},
		"empty text is no text":    {content(""), tool(`{"index":0,"id":"a"}`), `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a"}]},"finish_reason":null}]}`},
		"arguments":                {tool(`{"index":1,"id":"a","function":{"arguments":"{"}}`), tool(`{"index":1,"id":"a","function":{"arguments":"{}"}}`), `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"}"}}]},"finish_reason":null}]}`},
		"another call":             {tool(`{"index":0,"id":"a"}`), tool(`{"index":0,"id":"ab"}`), "differs"},
		"another index":            {tool(`{"index":0,"id":"a"}`), tool(`{"index":1,"id":"a"}`), "differs"},
		"calls without index":      {tool(`{"id":"a"}`), tool(`{"id":"a"},{"id":"b"}`), `{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"b"}]},"finish_reason":null}]}`},
		"finished":                 {content("a"), `{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"n":1},"service_tier":"x","created":2}`, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"service_tier":"x","usage":{"n":1}}`},
		"not yet finished":         {`{"choices":[{"finish_reason":"stop"}]}`, `{"choices":[{"delta":{}}]}`, held},
		"finished otherwise":       {`{"choices":[{"finish_reason":"stop"}]}`, `{"choices":[{"finish_reason":"length"}]}`, "differs"},
		"one choice of two":        {`{"choices":[{"index":0,"delta":{"content":"a"}},{"index":1}]}`, content("ab"), held},
		"a second choice":          {content("a"), `{"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]}`, `{"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":null}]}`},
		"another kind":             {content("a"), `{"choices":[{"index":0,"delta":{"content":["a"]}}]}`, "differs"},
		"text, not chat":           {`{"choices":[{"index":0,"text":"a"}]}`, `{"object":"text_completion","choices":[{"index":0,"text":"ab"}]}`, "differs"},
		"text":                     {`{"object":"text_completion","choices":[{"index":0,"text":"a","logprobs":null}]}`, `{"object":"text_completion","choices":[{"index":0,"text":"ab","logprobs":null,"finish_reason":"stop"}]}`, `{"choices":[{"index":0,"text":"b","finish_reason":"stop"}]}`},
	} {
		sent, _ := fold(t, row.sent)
		a, _ := fold(t, row.a)
		chunk, covered, ok := a.Rest(sent)
		require.Equal(t, row.want == "differs", !ok, name)
		require.Equal(t, ok && row.want != held, covered, name)
		if covered && row.want != "" {
			require.Equal(t, row.want, string(chunk), name)
		} else {
			require.Nil(t, chunk, name)
		}
	}
}

func BenchmarkAnswer_Rest(b *testing.B) {
	var sent, a Answer
	for _, answer := range []*Answer{&sent, &a} {
		if _, err := answer.Add(json.RawMessage(`{"choices":[{"index":0,"delta":{"content":"` + strings.Repeat("word ", 4000) + `"}}]}`)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, covered, _ := a.Rest(&sent); !covered {
			b.Fatal("not covered")
		}
	}
}
