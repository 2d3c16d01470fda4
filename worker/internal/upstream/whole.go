package upstream

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/tidwall/gjson"
)

// whole deals with an upstream that answers with one chat.completion or Response although a stream was asked for.
func (f *filter) whole(line []byte, err error) error {
	body := bytes.Clone(line)
	for err == nil {
		line, err = f.line()
		body = append(body, line...)
	}
	body = bytes.TrimSpace(body)
	switch {
	case !errors.Is(err, io.EOF):
		return f.end(err)
	case !validJSON(body):
		return garbage(errNotChunk)
	}
	root := gjson.ParseBytes(body)
	if truthyMember(root, "error") || root.Get("object").Str == "error" {
		return f.classify(parseFault(body))
	}
	if f.native {
		return f.wholeResponse(root)
	}
	if !root.Get("choices.0").IsObject() {
		return garbage(errEmpty)
	}
	if err := f.chunk(appendChunk(nil, root)); err != nil {
		return err
	}
	return io.EOF
}

func truthyMember(root gjson.Result, key string) bool {
	v := root.Get(key)
	return v.Exists() && truthy(v)
}

// appendChunk renders a chat.completion as the one chunk that says it all.
func appendChunk(b []byte, whole gjson.Result) []byte {
	return appendObject(b, whole, func(b []byte, k, v gjson.Result) []byte {
		switch {
		case k.Str == "object" && v.Str != "text_completion":
			return append(b, `"object":"chat.completion.chunk"`...)
		case k.Str == "choices" && v.IsArray():
			return appendList(append(b, `"choices":`...), v, appendChoice)
		default:
			return appendPair(b, k, v)
		}
	})
}

func appendChoice(b []byte, _ int, choice gjson.Result) []byte {
	return appendObject(b, choice, func(b []byte, k, v gjson.Result) []byte {
		if k.Str != "message" || !v.IsObject() {
			return appendPair(b, k, v)
		}
		return appendObject(append(b, `"delta":`...), v, func(b []byte, k, v gjson.Result) []byte {
			if k.Str != "tool_calls" || !v.IsArray() {
				return appendPair(b, k, v)
			}
			return appendList(append(b, `"tool_calls":`...), v, appendToolCall)
		})
	})
}

// appendToolCall gives a tool call the index that it has in a delta.
func appendToolCall(b []byte, i int, call gjson.Result) []byte {
	if !call.IsObject() || call.Get("index").Exists() {
		return append(b, call.Raw...)
	}
	b = strconv.AppendInt(append(b, `{"index":`...), int64(i), 10)
	rest := bytes.TrimSpace([]byte(call.Raw[1:]))
	if rest[0] != '}' {
		b = append(b, ',')
	}
	return append(b, rest...)
}

func appendPair(b []byte, k, v gjson.Result) []byte {
	return append(append(append(b, k.Raw...), ':'), v.Raw...)
}

func appendObject(b []byte, object gjson.Result, member func(b []byte, k, v gjson.Result) []byte) []byte {
	b = append(b, '{')
	n := 0
	object.ForEach(func(k, v gjson.Result) bool {
		if n++; n > 1 {
			b = append(b, ',')
		}
		b = member(b, k, v)
		return true
	})
	return append(b, '}')
}

func appendList(b []byte, list gjson.Result, item func(b []byte, i int, v gjson.Result) []byte) []byte {
	b = append(b, '[')
	n := 0
	list.ForEach(func(_, v gjson.Result) bool {
		if n++; n > 1 {
			b = append(b, ',')
		}
		b = item(b, n-1, v)
		return true
	})
	return append(b, ']')
}
