package request

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// MaxSaid is how many messages a conversation may be made of.
const MaxSaid = 1000

// Turn asks for an answer in a conversation.
type Turn struct {
	Content    json.RawMessage   // a JSON string or an array of parts; nil where nothing new is said
	Policy     completion.Policy // "" if nothing is said
	Parameters completion.Parameters
	Metadata   map[string]string // nil if there is none
	Deadline   time.Time         // as Job.Deadline
}

// Conversation makes one.
type Conversation struct {
	Change
	Said []Said
}

// Said is a message that was said elsewhere.
type Said struct {
	Role    completion.Role
	Content json.RawMessage
}

// Change is what becomes different of a conversation; nil stays as it is.
type Change struct {
	Name       *string
	System     *string
	Owner      *string
	Branch     *string // the message whose branch goes on
	Parameters *completion.Parameters
	Metadata   map[string]string
}

// ParseTurn reads what says something new in a conversation.
func ParseTurn(body []byte) (t Turn, err error) {
	if t, err = parseTurn(body, "content", "policy", "parameters", "metadata", "timeout"); err == nil && t.Content == nil {
		err = completion.Invalid("content", "The field \"content\" is required: what is to be said.")
	}
	return t, err
}

// ParseAgain reads what asks for another answer; an empty body is one that says nothing.
func ParseAgain(body []byte) (Turn, error) {
	return parseTurn(orEmpty(body), "policy", "parameters", "metadata", "timeout")
}

// ParseAside reads what asks for an answer that is not kept.
func ParseAside(body []byte) (t Turn, err error) {
	if t, err = parseTurn(body, "content", "parameters"); err == nil && t.Content == nil {
		err = completion.Invalid("content", "The field \"content\" is required: what is to be said.")
	}
	return t, err
}

// parseTurn reads a body that may have those members.
func parseTurn(body []byte, names ...string) (t Turn, err error) {
	root, err := Object(body)
	if err != nil {
		return t, err
	}
	known := map[string]func(v gjson.Result) error{
		"content": func(v gjson.Result) error { t.Content = json.RawMessage(v.Raw); return utterance(v, "content") },
		"policy": func(v gjson.Result) error {
			t.Policy = completion.Policy(v.Str)
			if v.Type != gjson.String || !slices.Contains(completion.Policies, t.Policy) {
				return completion.Invalid("policy", "The policy must be one of queue, reject, interrupt and rollback.")
			}
			return nil
		},
		"parameters": func(v gjson.Result) (err error) { t.Parameters, err = Parameters(v, "parameters"); return err },
		"metadata":   func(v gjson.Result) (err error) { t.Metadata, err = Metadata(v, "metadata"); return err },
		"timeout": func(v gjson.Result) error {
			j := Job{}
			err := j.limit("timeout", v)
			t.Deadline = j.Deadline
			return err
		},
	}
	for name := range known {
		if !slices.Contains(names, name) {
			delete(known, name)
		}
	}
	err = members(root, "", known)
	return t, err
}

// utterance checks what somebody says: a text, or parts.
func utterance(v gjson.Result, path string) error {
	switch {
	case v.Type == gjson.String && strings.TrimSpace(v.Str) != "":
		return nil
	case !v.IsArray():
		return completion.Invalid(path, "A message's content must be a text that is not blank, or an array of parts.")
	}
	parts := v.Array()
	if len(parts) == 0 {
		return completion.Invalid(path, "A message's content must not be empty.")
	}
	for i, part := range parts {
		if err := piece(part, path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	return nil
}

// piece checks one part of what somebody says. One that no upstream could read would fail all turns that come after it, too;
// of kinds that are not known here, nobody but the upstream knows.
func piece(part gjson.Result, path string) error {
	kind := part.Get("type")
	if !part.IsObject() || kind.Type != gjson.String || kind.Str == "" {
		return completion.Invalid(path, "A part must be an object with a type.")
	}
	switch kind.Str {
	case "text":
		if part.Get("text").Type != gjson.String {
			return completion.Invalid(path+".text", "The text of a part must be a string.")
		}
	case "image_url":
		if url := part.Get("image_url.url"); url.Type != gjson.String || url.Str == "" {
			return completion.Invalid(path+".image_url.url", "An image must have a url, a string.")
		}
	}
	return nil
}

// changes reads the members that a new conversation and a change of one have in common.
func (c *Change) changes() map[string]func(v gjson.Result) error {
	return map[string]func(v gjson.Result) error{
		"name":   text(&c.Name, "name", completion.MaxName),
		"system": text(&c.System, "system", MaxBytes),
		"owner": func(v gjson.Result) error {
			if err := text(&c.Owner, "owner", completion.MaxOwner)(v); err != nil || len(v.Str) <= completion.MaxOwner {
				return err
			}
			return completion.Invalid("owner", "The field \"owner\" may have at most %d bytes.", completion.MaxOwner)
		},
		"parameters": func(v gjson.Result) error {
			p, err := Parameters(v, "parameters")
			c.Parameters = &p
			return err
		},
		"metadata": func(v gjson.Result) (err error) { c.Metadata, err = Metadata(v, "metadata"); return err },
	}
}

// ParseChange reads what is to become different of a conversation.
func ParseChange(body []byte) (c Change, err error) {
	root, err := Object(body)
	if err != nil {
		return c, err
	}
	known := c.changes()
	known["branch"] = text(&c.Branch, "branch", MaxKey)
	err = members(root, "", known)
	return c, err
}

// ParseConversation reads what a conversation is to be made of; an empty body is one that says nothing.
func ParseConversation(body []byte) (c Conversation, err error) {
	root, err := Object(orEmpty(body))
	if err != nil {
		return c, err
	}
	known := c.changes()
	known["messages"] = func(v gjson.Result) (err error) { c.Said, err = said(v); return err }
	err = members(root, "", known)
	return c, err
}

// said reads messages that were said elsewhere.
func said(v gjson.Result) ([]Said, error) {
	if !v.IsArray() {
		return nil, completion.Invalid("messages", "The field \"messages\" must be an array.")
	}
	list := v.Array()
	if len(list) > MaxSaid {
		return nil, completion.Invalid("messages", "At most %d messages are allowed.", MaxSaid)
	}
	all := make([]Said, 0, len(list))
	for i, m := range list {
		at, s := "messages["+strconv.Itoa(i)+"]", Said{}
		if !m.IsObject() {
			return nil, completion.Invalid(at, "A message must be an object with role and content.")
		}
		err := members(m, at, map[string]func(v gjson.Result) error{
			"role": func(v gjson.Result) error { s.Role = completion.Role(v.Str); return nil },
			"content": func(v gjson.Result) error {
				s.Content = json.RawMessage(v.Raw)
				return utterance(v, at+".content")
			},
		})
		switch {
		case err != nil:
		case s.Role != completion.RoleUser && s.Role != completion.RoleAssistant:
			err = completion.Invalid(at+".role", "The role must be user or assistant.")
		case s.Content == nil:
			err = completion.Invalid(at+".content", "A message must have content.")
		case s.Role == completion.RoleAssistant && s.Content[0] != '"':
			err = completion.Invalid(at+".content", "An answer's content must be a text.")
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Clone says what a copy of a conversation is to be.
type Clone struct {
	Name    *string
	Message *string // the last message that is copied
}

// ParseClone reads what a copy is to be; an empty body is one that says nothing.
func ParseClone(body []byte) (c Clone, err error) {
	root, err := Object(orEmpty(body))
	if err != nil {
		return c, err
	}
	err = members(root, "", map[string]func(v gjson.Result) error{
		"name": text(&c.Name, "name", completion.MaxName), "message": text(&c.Message, "message", MaxKey),
	})
	return c, err
}

// Limits on suggestions.
const (
	maxSuggestions     = 5
	defaultSuggestions = 3
)

// ParseSuggestions reads how many suggestions are wanted; an empty body leaves it to us.
func ParseSuggestions(body []byte) (count int, err error) {
	root, err := Object(orEmpty(body))
	if err != nil {
		return 0, err
	}
	count = defaultSuggestions
	err = members(root, "", map[string]func(v gjson.Result) error{
		"count": func(v gjson.Result) error {
			if count = int(v.Num); v.Type != gjson.Number || v.Num != float64(count) || count < 1 || count > maxSuggestions {
				return completion.Invalid("count", "The count must be a whole number from 1 to %d.", maxSuggestions)
			}
			return nil
		},
	})
	return count, err
}

// Rating is what somebody thinks of an answer.
type Rating struct {
	Value   int // -1, 1, or 0 to take it back
	Comment string
}

// ParseRating reads a rating.
func ParseRating(body []byte) (r Rating, err error) {
	root, err := Object(body)
	if err != nil {
		return r, err
	}
	var comment *string
	rated := false
	err = members(root, "", map[string]func(v gjson.Result) error{
		"rating": func(v gjson.Result) error {
			rated = v.Type == gjson.Number && (v.Num == -1 || v.Num == 0 || v.Num == 1)
			r.Value = int(v.Num)
			return nil
		},
		"comment": text(&comment, "comment", completion.MaxComment),
	})
	if err == nil && !rated {
		err = completion.Invalid("rating", "The rating must be -1, 0 or 1.")
	}
	if comment != nil {
		r.Comment = *comment
	}
	return r, err
}

// ParseNothing reads a body that has nothing to say.
func ParseNothing(body []byte) error {
	root, err := Object(orEmpty(body))
	if err != nil {
		return err
	}
	return members(root, "", nil)
}

func orEmpty(body []byte) []byte {
	if len(body) == 0 {
		return []byte("{}")
	}
	return body
}
