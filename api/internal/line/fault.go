package line

import (
	"encoding/json"
	"errors"
	"fmt"

	"sluice/shared/completion"
)

// The codes of what can be wrong with a line or a file. OpenAI's are taken where it has one.
const (
	CodeJSON      = "invalid_json_line"          // not JSON, not UTF-8, or blank in the middle of the file
	CodeMissing   = "missing_required_parameter" // no custom_id, method, url or body
	CodeCustomID  = "invalid_custom_id"          // not a string of 1 to completion.MaxCustomID bytes
	CodeDuplicate = "duplicate_custom_id"        // an earlier line has the same
	CodeMethod    = "invalid_method"             // not POST
	CodeURL       = "url_mismatch"               // not the batch's endpoint
	CodeInvalid   = "invalid_request"            // the endpoint would refuse the body, or the line is no object, is nested too deep, or holds a NUL
	CodeTooLarge  = "request_too_large"          // the body, or the line
	CodeModel     = "model_not_found"            // no upstream serves it
	CodeEmpty     = "empty_file"                 // of the whole file: there is no line in it
	CodeTooMany   = "too_many_tasks"             // of the whole file: more than completion.MaxBatchLines lines
	CodeMore      = "too_many_errors"            // of the list of errors: there are more than it can hold
)

// Fault is a bad line: what is wrong with it, as the batch's list of errors has it.
type Fault struct {
	completion.LineError
	CustomID string // if it could be read
}

func (f *Fault) Error() string {
	return fmt.Sprintf("line %d: %s: %s", f.Line, f.Code, f.Message)
}

// Row is the fault as a line of the batch's error file, without a line feed.
func (f *Fault) Row(b *completion.Batch) json.RawMessage {
	r := row{ID: rowID(b.LineJobID(f.Line)), CustomID: f.CustomID, Error: &failure{Code: f.Code, Message: f.Message, Param: f.Param, Line: f.Line}}
	return r.render()
}

// newFault returns a Fault of the line number.
func newFault(number int, code, param, format string, args ...any) *Fault {
	return &Fault{LineError: completion.LineError{Code: code, Param: param, Line: number, Message: fmt.Sprintf(format, args...)}}
}

// faultOf is what a check of the synchronous endpoints says, of a line.
func faultOf(number int, err error) *Fault {
	e := completion.AsError(err)
	code := string(e.Code)
	if e.Code == completion.CodeInvalidJSON {
		code = CodeJSON
	}
	return &Fault{LineError: completion.LineError{Code: code, Param: e.Param, Line: number, Message: e.Message}}
}

// AsFault returns the Fault that err is; nil if it is none, and the file cannot be read on.
func AsFault(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return nil
}
