// Package form says what shape a parameter of an OpenAI request must have, for those who check requests.
package form

import (
	"strings"

	"github.com/tidwall/gjson"
)

// Form is what a value must be, in words that end the sentence "The parameter must be …".
type Form string

// The forms. Any fits everything.
const (
	Any          Form = ""
	Text         Form = "a string"
	Number       Form = "a number"
	Int          Form = "an integer"
	Bool         Form = "a boolean"
	List         Form = "an array"
	Object       Form = "an object"
	TextOrList   Form = "a string or an array"
	TextOrObject Form = "a string or an object"
)

// Fits reports whether v is of the form. Null is not; who allows it asks before.
func (f Form) Fits(v gjson.Result) bool {
	switch f {
	case Text:
		return v.Type == gjson.String
	case Number:
		return v.Type == gjson.Number
	case Int:
		return v.Type == gjson.Number && !strings.ContainsAny(v.Raw, ".eE")
	case Bool:
		return v.IsBool()
	case List:
		return v.IsArray()
	case Object:
		return v.IsObject()
	case TextOrList:
		return v.Type == gjson.String || v.IsArray()
	case TextOrObject:
		return v.Type == gjson.String || v.IsObject()
	default:
		return true
	}
}
