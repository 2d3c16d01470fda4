package response

import (
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/form"
)

// input reads a text or a list of items.
func (t *translation) input(v gjson.Result, path string) error {
	if v.Type == gjson.String {
		t.messages.add(`{"role":"user","content":` + v.Raw + `}`)
		return nil
	}
	return each(v, path, t.item)
}

// item reads one item of the input.
func (t *translation) item(v gjson.Result, path string) error {
	if err := check(form.Object, v, path); err != nil {
		return err
	}
	switch kind := v.Get("type"); {
	case kind.Str == "message", !kind.Exists() && v.Get("role").Exists():
		return t.message(v, path)
	case kind.Str == "function_call":
		return t.call(v, path, "function", "arguments")
	case kind.Str == "custom_tool_call":
		return t.call(v, path, "custom", "input")
	case kind.Str == "function_call_output", kind.Str == "custom_tool_call_output":
		return t.outcome(v, path)
	case kind.Str == "reasoning": // upstreams either have no place for it or refuse it
		return nil
	case isReference(v):
		return unresolved(v, path)
	case kind.Type != gjson.String:
		return completion.Invalid(path+".type", "An item of the input must have a type, a string.")
	default:
		return completion.Invalid(path+".type", "Items of type %q are not supported; there are message, function_call, function_call_output, "+
			"custom_tool_call, custom_tool_call_output, reasoning and item_reference.", shorten(kind.Str))
	}
}

// roles maps the roles of messages to those that every upstream knows; an API that has developer messages takes system
// messages for the same, but not both in one request.
var roles = map[string]string{"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}

func (t *translation) message(v gjson.Result, path string) error {
	role, ok := roles[v.Get("role").Str]
	if !ok {
		return completion.Invalid(path+".role", "The role must be \"user\", \"assistant\", \"system\" or \"developer\".")
	}
	content, err := content(v.Get("content"), path+".content")
	switch {
	case err != nil:
		return err
	case role == "assistant":
		t.messages.said(content)
	default:
		t.messages.add(`{"role":"` + role + `","content":` + content + `}`)
	}
	return nil
}

// call reads a tool call of the given kind, whose argument is the member called argument.
func (t *translation) call(v gjson.Result, path, kind, argument string) error {
	for _, name := range []string{"call_id", "name", argument} {
		if m := v.Get(name); m.Type != gjson.String || m.Str == "" && name != argument {
			return completion.Invalid(path+"."+name, "A %s must have %q, a string.", v.Get("type").Str, name)
		}
	}
	var inner, outer object
	inner.set("name", v.Get("name").Raw)
	inner.set(argument, v.Get(argument).Raw)
	outer.set("id", v.Get("call_id").Raw)
	outer.setText("type", kind)
	outer.set(kind, inner.String())
	t.messages.called(outer.String())
	return nil
}

// outcome reads what came of a tool call.
func (t *translation) outcome(v gjson.Result, path string) error {
	id := v.Get("call_id")
	if id.Type != gjson.String || id.Str == "" {
		return completion.Invalid(path+".call_id", "An output must have the \"call_id\" of its call, a string.")
	}
	content, err := content(v.Get("output"), path+".output")
	if err != nil {
		return err
	}
	t.messages.add(`{"role":"tool","tool_call_id":` + id.Raw + `,"content":` + content + `}`)
	return nil
}

// content reads a text or a list of parts. A single part of text becomes a text: many upstreams take parts only of users.
func content(v gjson.Result, path string) (string, error) {
	if v.Type == gjson.String {
		return v.Raw, nil
	}
	if !v.IsArray() {
		return "", completion.Invalid(path, "The field %q must be a string or an array of parts.", path)
	}
	var list array
	texts, n := 0, 0
	err := each(v, path, func(v gjson.Result, at string) error {
		if text := v.Get("text"); isText(v.Get("type").Str) && text.Type == gjson.String {
			texts++
		}
		part, err := part(v, at)
		list.add(part)
		n++
		return err
	})
	if texts == 1 && n == 1 {
		return v.Get("0.text").Raw, err
	}
	return list.String(), err
}

func isText(kind string) bool { return kind == "input_text" || kind == "output_text" || kind == "text" }

// part translates a part of a message.
func part(v gjson.Result, path string) (string, error) {
	var o object
	switch kind := v.Get("type").Str; {
	case isText(kind):
		o.setText("type", "text")
		return text(&o, v, "text", path)
	case kind == "refusal":
		o.setText("type", "refusal")
		return text(&o, v, "refusal", path)
	case kind == "input_image":
		return image(v, path)
	case kind == "input_file":
		return file(v, path)
	case kind == "input_audio":
		if err := check(form.Object, v.Get("input_audio"), path+".input_audio"); err != nil {
			return "", err
		}
		o.without(v)
		return o.String(), nil
	default:
		return "", completion.Invalid(path+".type", "The part must be of type input_text, input_image, input_file, input_audio, output_text or refusal.")
	}
}

func text(o *object, v gjson.Result, name, path string) (string, error) {
	m := v.Get(name)
	if m.Type != gjson.String {
		return "", completion.Invalid(path+"."+name, "The part must have %q, a string.", name)
	}
	o.set(name, m.Raw)
	return o.String(), nil
}

func image(v gjson.Result, path string) (string, error) {
	link := v.Get("image_url")
	if link.Type != gjson.String || link.Str == "" {
		param := path + ".image_url"
		if v.Get("file_id").Type == gjson.String {
			param = path + ".file_id"
		}
		return "", completion.Invalid(param, "An image must have \"image_url\": an address or a data URL.")
	}
	var o object
	o.set("url", link.Raw)
	if d := v.Get("detail"); d.Type == gjson.String {
		o.set("detail", d.Raw)
	}
	return `{"type":"image_url","image_url":` + o.String() + `}`, nil
}

func file(v gjson.Result, path string) (string, error) {
	var o object
	for _, name := range []string{"filename", "file_data", "file_id"} {
		m := v.Get(name)
		if !m.Exists() || m.Type == gjson.Null {
			continue
		}
		if err := check(form.Text, m, path+"."+name); err != nil {
			return "", err
		}
		o.set(name, m.Raw)
	}
	switch {
	case v.Get("file_url").Type == gjson.String:
		return "", completion.Invalid(path+".file_url", "Files by address are not supported; send the file as \"file_data\".")
	case !v.Get("file_data").Exists() && !v.Get("file_id").Exists():
		return "", completion.Invalid(path+".file_data", "A file must have \"file_data\" or \"file_id\".")
	}
	return `{"type":"file","file":` + o.String() + `}`, nil
}
