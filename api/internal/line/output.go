package line

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/tidwall/gjson"

	"sluice/api/internal/problem"
	"sluice/api/internal/raw"
	"sluice/api/internal/result"
	"sluice/shared/completion"
)

// The codes of lines that have no answer of an endpoint, as OpenAI has them.
const (
	CodeExpired   = "batch_expired"   // the batch's time was over before the line was
	CodeCancelled = "batch_cancelled" // the batch, or the line's job, was cancelled
	CodeTimeout   = "request_timeout" // the upstream took longer than it may
)

// Output is the row of a line whose job, j, has ended, without a line feed. answered says that it belongs into the batch's
// output file; the others belong into its error file. A job of /v1/responses must come with its request, which a Response
// repeats; for the other endpoints that is not needed. The body of a row is what the synchronous endpoint would have answered,
// byte for byte, save for line feeds between the tokens of an upstream's JSON, which become spaces.
func Output(b *completion.Batch, j *completion.Job) (row json.RawMessage, answered bool) {
	return Twin(b, j, j.Line, j.CustomID)
}

// Twin is Output for a line that shares the job of another one, which asks for the same (see Twins).
func Twin(b *completion.Batch, j *completion.Job, number int, customID string) (line json.RawMessage, answered bool) {
	id := b.LineJobID(number)
	r := row{ID: rowID(id), CustomID: customID}
	switch failed := failureOf(j); {
	case j.State == completion.Completed:
		r.answer(id, 200, result.Of(j))
	case failed != nil:
		r.Error = failed
	default:
		p := problem.Of(errorOf(j))
		body, err := json.Marshal(p)
		if err != nil {
			panic("line: an error is not JSON: " + err.Error()) // it has only strings
		}
		r.answer(id, p.GetStatus(), body)
	}
	return r.render(), j.State == completion.Completed
}

// Unrun is the row of a line that never ran, because the batch has expired or was cancelled before.
func Unrun(b *completion.Batch, number int, customID string, why completion.BatchState) json.RawMessage {
	r := row{ID: rowID(b.LineJobID(number)), CustomID: customID, Error: &cancelled}
	if why == completion.BatchExpired {
		r.Error = &expired
	}
	return r.render()
}

var (
	expired   = failure{Code: CodeExpired, Message: "The batch's completion window was over before this request had an answer."}
	cancelled = failure{Code: CodeCancelled, Message: "This request was cancelled before it had an answer."}
	late      = failure{Code: CodeTimeout, Message: "The answer took longer than it may."}
)

// failureOf says how a job ended that no endpoint would have answered for; nil if one would.
func failureOf(j *completion.Job) *failure {
	switch {
	case j.State == completion.Expired:
		return &expired
	case j.State == completion.Cancelled:
		return &cancelled
	case j.State == completion.Failed && j.Error != nil && j.Error.Code == completion.CodeTimeout:
		return &late
	default:
		return nil
	}
}

func errorOf(j *completion.Job) error {
	if j.Error != nil {
		return j.Error
	}
	return completion.NewError(completion.CodeInternal, "")
}

// Numbered is a row with the number of its line, "line", as the events of a batch and its results have it. One of more than
// most bytes (0: any number) comes without the body of its response, and says "truncated": true.
func Numbered(row json.RawMessage, number, most int) json.RawMessage {
	if body := gjson.GetBytes(row, "response.body"); most > 0 && len(row) > most && body.Exists() {
		at := body.Index
		row = append(append(bytes.Clone(row[:at]), "null"...), row[at+len(body.Raw):]...)
		row = append(bytes.TrimSuffix(row, []byte{'}'}), `,"truncated":true}`...)
	}
	b := append(make([]byte, 0, len(row)+20), row[:len(row)-1]...)
	return append(strconv.AppendInt(append(b, `,"line":`...), int64(number), 10), '}')
}

// row is a line of an output or error file.
type row struct {
	ID        string
	CustomID  string // empty: null
	Error     *failure
	status    int // HTTP status of the response; 0: there is none
	requestID string
	body      []byte
}

// failure is the error of a line without a response. Those of lines that did not pass their checks have a line.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param,omitempty"`
	Line    int    `json:"line,omitempty"`
}

func (r *row) answer(job string, status int, body []byte) {
	r.status, r.requestID, r.body = status, requestID(job), body
}

func (r *row) render() json.RawMessage {
	b := append(make([]byte, 0, 256+len(r.body)), `{"id":`+raw.Quote(r.ID)+`,"custom_id":`...)
	if r.CustomID == "" {
		b = append(b, "null"...)
	} else {
		b = append(b, raw.Quote(r.CustomID)...)
	}
	if r.status == 0 {
		b = append(b, `,"response":null`...)
	} else {
		b = append(strconv.AppendInt(append(b, `,"response":{"status_code":`...), int64(r.status), 10), `,"request_id":`+raw.Quote(r.requestID)+`,"body":`...)
		b = append(append(b, oneLine(r.body)...), '}')
	}
	b = append(b, `,"error":`...)
	if r.Error == nil {
		return append(b, "null}"...)
	}
	e, err := json.Marshal(r.Error)
	if err != nil {
		panic("line: an error is not JSON: " + err.Error()) // it has only strings and a number
	}
	return append(append(b, e...), '}')
}

// oneLine replaces the line feeds of JSON, which are only between its tokens.
func oneLine(body []byte) []byte {
	if !bytes.ContainsAny(body, "\r\n") {
		return body
	}
	body = bytes.Clone(body)
	for i, c := range body {
		if c == '\n' || c == '\r' {
			body[i] = ' '
		}
	}
	return body
}
