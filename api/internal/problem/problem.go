// Package problem writes error bodies, all of them: OpenAI's envelope {"error": {message, type, param, code}} for every
// status, from the table in package completion. Causes are never shown.
package problem

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/shared/completion"
)

func init() { // huma offers no other place to say how errors look
	huma.NewError = New
	huma.NewErrorWithContext = newWithHeaders
}

// Problem is an error on its way to a client.
type Problem struct {
	Failure Failure `json:"error"`
	status  int
	err     *completion.Error
}

// Failure is what OpenAI's SDKs read; all four keys are always there.
type Failure struct {
	Message string  `json:"message" doc:"What is wrong, for people."`
	Type    string  `json:"type" doc:"The kind of error, as OpenAI names it." example:"invalid_request_error"`
	Param   *string `json:"param" doc:"The field at fault, null if there is none." nullable:"true"`
	Code    string  `json:"code" doc:"What is wrong, for programs." example:"invalid_request"`
}

// Of returns err as a Problem. What the domain does not know becomes an internal error.
func Of(err error) *Problem {
	e := completion.AsError(err)
	kind := e.Code.Kind()
	p := &Problem{status: kind.Status, err: e, Failure: Failure{Message: e.Message, Type: kind.Type, Code: string(e.Code)}}
	if e.Code == completion.CodeUpstreamRejected {
		p.status = passed(e.UpstreamStatus, kind.Status)
		p.Failure.Code = cmp.Or(e.UpstreamCode, p.Failure.Code)
	}
	if e.Param != "" {
		p.Failure.Param = &e.Param
	}
	return p
}

// passed is the status of a request that the upstream refused: its own where it speaks of the request, and a bad gateway
// where it speaks of the service, for instance of its key.
func passed(upstream, otherwise int) int {
	switch upstream {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return upstream
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return http.StatusBadGateway
	default:
		return otherwise
	}
}

// Answer is how a face returns err: as a Problem, and logged here, at the edge, if the fault is ours. A nil err is nil.
func Answer(ctx context.Context, log *slog.Logger, err error) error {
	if err == nil {
		return nil
	}
	p := Of(err)
	if p.status >= http.StatusInternalServerError {
		log.ErrorContext(ctx, "request failed", "request_id", completion.RequestID(ctx), "error", err)
	}
	return p
}

// Write answers with err.
func Write(w http.ResponseWriter, err error) {
	p := Of(err)
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone; there is nobody to tell
}

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.status }

// awayWait is when to try again while a part of the service is down, if nobody knows better.
const awayWait = time.Second

// GetHeaders tells official SDKs whether and when to try again.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if !p.err.Retryable {
		h.Set("X-Should-Retry", "false")
	}
	wait := time.Duration(p.err.RetryAfter)
	if wait == 0 && p.err.Code == completion.CodeUnavailable {
		wait = awayWait
	}
	if wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		h.Set("Retry-After-Ms", strconv.FormatInt(wait.Milliseconds(), 10))
	}
	return h
}

func (p *Problem) Error() string { return p.err.Error() }
func (p *Problem) Unwrap() error { return p.err }

// codes are for errors that the HTTP layer finds by itself, before a handler runs.
var codes = map[int]completion.Code{
	http.StatusNotFound:              completion.CodeNotFound,
	http.StatusMethodNotAllowed:      completion.CodeMethod,
	http.StatusRequestEntityTooLarge: completion.CodeTooLarge,
	http.StatusUnsupportedMediaType:  completion.CodeMediaType,
	http.StatusServiceUnavailable:    completion.CodeUnavailable,
}

// New is huma.NewError in the envelope: what huma finds wrong with a request names its field.
func New(status int, message string, errs ...error) huma.StatusError {
	code, known := codes[status]
	switch {
	case known:
	case status >= http.StatusInternalServerError && message != "cannot read request body":
		code = completion.CodeInternal
	default:
		code = completion.CodeInvalidRequest
	}
	e := completion.NewError(code, "")
	if code == completion.CodeInternal {
		for _, err := range errs {
			return Of(err)
		}
		return Of(e)
	}
	if message != "" {
		e.Message = sentence(message)
	}
	for _, err := range errs {
		detail, ok := err.(huma.ErrorDetailer)
		if !ok {
			continue
		}
		d := detail.ErrorDetail()
		_, e.Param, _ = strings.Cut(d.Location, ".")
		e.Message = sentence(d.Message)
		break
	}
	return Of(e)
}

// newWithHeaders is New for errors that huma writes by itself, without their headers.
func newWithHeaders(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
	err := New(status, message, errs...)
	if p, ok := err.(*Problem); ok {
		for name, values := range p.GetHeaders() {
			ctx.SetHeader(name, values[0])
		}
	}
	return err
}

// sentence writes a message as the table's texts are written.
func sentence(s string) string {
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
