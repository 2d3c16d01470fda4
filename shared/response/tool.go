package response

import (
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/form"
)

func (t *translation) tools(v gjson.Result, path string) error {
	var list array
	err := each(v, path, func(v gjson.Result, at string) error {
		tool, err := tool(v, at)
		list.add(tool)
		return err
	})
	if len(list.text) > 0 {
		t.out.set("tools", list.String())
	}
	return err
}

// tool nests what a Responses tool says of itself under its type.
func tool(v gjson.Result, path string) (string, error) {
	kind := v.Get("type").Str
	switch {
	case !v.IsObject():
		return "", check(form.Object, v, path)
	case kind != "function" && kind != "custom":
		return "", hosted(path+".type", v.Get("type"))
	case v.Get("name").Str == "":
		return "", completion.Invalid(path+".name", "A tool must have a name, a string that is not empty.")
	}
	if p := v.Get("parameters"); p.Exists() && p.Type != gjson.Null && !p.IsObject() {
		return "", check(form.Object, p, path+".parameters")
	}
	var inner, outer object
	inner.without(v, "type", "format", "allowed_callers", "defer_loading", "output_schema")
	if f := v.Get("format"); f.IsObject() {
		inner.set("format", format(f))
	}
	outer.setText("type", kind)
	outer.set(kind, inner.String())
	return outer.String(), nil
}

// format nests the grammar of a custom tool.
func format(f gjson.Result) string {
	if f.Get("type").Str != "grammar" {
		return f.Raw
	}
	var grammar object
	grammar.without(f, "type")
	return `{"type":"grammar","grammar":` + grammar.String() + `}`
}

func hosted(path string, kind gjson.Result) error {
	if kind.Type != gjson.String {
		return completion.Invalid(path, "A tool must have a type: \"function\" or \"custom\".")
	}
	return completion.Invalid(path, "The tool %q is not supported: there are only \"function\" and \"custom\" tools, which the caller runs.", shorten(kind.Str))
}

func (t *translation) toolChoice(v gjson.Result, path string) error {
	if v.Type == gjson.String {
		if v.Str != "none" && v.Str != "auto" && v.Str != "required" {
			return completion.Invalid(path, "The parameter \"tool_choice\" must be \"none\", \"auto\", \"required\" or an object.")
		}
		t.out.set("tool_choice", v.Raw)
		return nil
	}
	if v.Get("type").Str != "allowed_tools" {
		choice, err := named(v, path)
		t.out.set("tool_choice", choice)
		return err
	}
	if err := check(form.List, v.Get("tools"), path+".tools"); err != nil {
		return err
	}
	var list array
	err := each(v.Get("tools"), path+".tools", func(v gjson.Result, at string) error {
		choice, err := named(v, at)
		list.add(choice)
		return err
	})
	mode := v.Get("mode").Str
	if err == nil && mode != "auto" && mode != "required" {
		err = completion.Invalid(path+".mode", "The mode must be \"auto\" or \"required\".")
	}
	var allowed object
	allowed.setText("mode", mode)
	allowed.set("tools", list.String())
	t.out.set("tool_choice", `{"type":"allowed_tools","allowed_tools":`+allowed.String()+`}`)
	return err
}

// named nests a reference to a tool.
func named(v gjson.Result, path string) (string, error) {
	kind, name := v.Get("type"), v.Get("name")
	switch {
	case kind.Str != "function" && kind.Str != "custom":
		return "", hosted(path+".type", kind)
	case name.Type != gjson.String || name.Str == "":
		return "", completion.Invalid(path+".name", "The tool must be named by a string that is not empty.")
	}
	return `{"type":"` + kind.Str + `","` + kind.Str + `":{"name":` + name.Raw + `}}`, nil
}
