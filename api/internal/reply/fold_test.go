package reply

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// fold reads a stream as the official SDK's accumulator does: items and parts must be announced, deltas add up.
type fold struct {
	t     testing.TB
	items []map[string]any
	texts map[string]string // by item and part: what the deltas say, as it was escaped
}

func newFold(t testing.TB) *fold { return &fold{t: t, texts: map[string]string{}} }

func (f *fold) add(e Event) {
	f.t.Helper()
	v := gjson.ParseBytes(e.Data)
	at := int(v.Get("output_index").Int())
	switch e.Type {
	case itemAdded:
		require.Len(f.t, f.items, at)
		require.NotEqual(f.t, "completed", v.Get("item.status").Str)
		f.items = append(f.items, v.Get("item").Value().(map[string]any))
	case itemDone:
		require.Less(f.t, at, len(f.items))
		f.items[at] = v.Get("item").Value().(map[string]any)
		f.check(v.Get("item"))
	case partAdded, partDone:
		item := f.items[at]
		parts := item["content"].([]any)
		n := int(v.Get("content_index").Int())
		require.Equal(f.t, item["id"], v.Get("item_id").Str)
		if e.Type == partAdded {
			require.Len(f.t, parts, n)
			item["content"] = append(parts, v.Get("part").Value())
		} else {
			require.Less(f.t, n, len(parts))
		}
	default:
		switch name, kind, _ := cutLast(e.Type); kind {
		case "delta":
			require.Less(f.t, at, len(f.items))
			require.Equal(f.t, f.items[at]["id"], v.Get("item_id").Str)
			f.texts[v.Get("item_id").Str+name] += inner(v.Get("delta"))
		case "done":
			whole := v.Get("text").Raw + v.Get("refusal").Raw + v.Get("arguments").Raw + v.Get("input").Raw
			require.Equal(f.t, strings.Trim(whole, `"`), strings.Trim(`"`+f.texts[v.Get("item_id").Str+name]+`"`, `"`))
		}
	}
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// check compares a finished item with its deltas, byte for byte.
func (f *fold) check(item gjson.Result) {
	id := item.Get("id").Str
	require.Equal(f.t, inner(item.Get("arguments")), f.texts[id+"response.function_call_arguments"])
	require.Equal(f.t, inner(item.Get("input")), f.texts[id+"response.custom_tool_call_input"])
	item.Get("content").ForEach(func(_, p gjson.Result) bool {
		require.Equal(f.t, inner(p.Get("text"))+inner(p.Get("refusal")), f.texts[id+tags[p.Get("type").Str].event])
		return true
	})
}

// same compares with the response; only the order of items, and of a message's parts, may be another.
func (f *fold) same(job completion.Job) {
	f.t.Helper()
	var want []map[string]any
	for _, raw := range Output(job) {
		var item map[string]any
		require.NoError(f.t, json.Unmarshal(raw, &item))
		want = append(want, item)
	}
	for _, list := range [][]map[string]any{want, f.items} {
		for _, item := range list {
			delete(item, "status")
			item["content"] = byType(item["content"])
		}
	}
	require.ElementsMatch(f.t, want, f.items)
}

func byType(parts any) map[string]any {
	m := map[string]any{}
	list, _ := parts.([]any)
	for _, p := range list {
		m[p.(map[string]any)["type"].(string)] = p
	}
	return m
}
