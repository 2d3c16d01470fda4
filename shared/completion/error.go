package completion

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// Code names one kind of error, in API answers, events and stored jobs alike.
type Code string

// The codes; table kinds says what follows from each.
const (
	CodeInvalidJSON      Code = "invalid_json"
	CodeInvalidRequest   Code = "invalid_request"
	CodeTooLarge         Code = "request_too_large"
	CodeMediaType        Code = "unsupported_media_type"
	CodeNotFound         Code = "not_found"
	CodeModel            Code = "model_not_found"
	CodePrevious         Code = "previous_response_not_found"
	CodeMethod           Code = "method_not_allowed"
	CodeKeyConflict      Code = "idempotency_key_conflict"
	CodeNotRetryable     Code = "job_not_retryable"
	CodeTooManyWebhooks  Code = "webhook_limit_exceeded"
	CodeNoKey            Code = "invalid_api_key"
	CodeScope            Code = "insufficient_scope"
	CodeOrigin           Code = "origin_not_allowed"
	CodeSubmitRate       Code = "rate_limit_exceeded"
	CodeQueueFull        Code = "queue_limit_exceeded"
	CodeTooManyStreams   Code = "stream_limit_exceeded"
	CodeUnavailable      Code = "service_unavailable"
	CodeInternal         Code = "internal_error"
	CodeCancelled        Code = "cancelled"
	CodeDraining         Code = "worker_draining"
	CodeTimeout          Code = "generation_timeout"
	CodeExpired          Code = "deadline_exceeded"
	CodeLost             Code = "workers_lost"
	CodeUnreachable      Code = "upstream_unreachable"
	CodeCut              Code = "upstream_cut"
	CodeStalled          Code = "upstream_stalled"
	CodeRateLimited      Code = "upstream_rate_limited"
	CodeQuota            Code = "insufficient_quota"
	CodeUpstream         Code = "upstream_error"
	CodeUpstreamRejected Code = "upstream_rejected"
	CodeUpstreamGarbage  Code = "upstream_invalid"
	CodeAnswerTooLarge   Code = "answer_too_large"
	CodeDiverged         Code = "stream_diverged"
	CodeFileInUse        Code = "file_in_use"
	CodeRange            Code = "range_not_satisfiable"
	CodeBatchOver        Code = "batch_not_live"
	CodeBatchNotOver     Code = "batch_not_retryable"
	CodeTurn             Code = "turn_running"
	CodeSystemFixed      Code = "system_message_fixed"
	CodeNoQuestion       Code = "nothing_to_answer"
	CodeDayQuota         Code = "daily_quota_exceeded"
	CodeAllQuota         Code = "quota_used_up"
)

// Kind is what follows from a code.
type Kind struct {
	Status    int    // HTTP status when the API answers with it
	Type      string // "type" in OpenAI's error envelope
	Retryable bool   // the same act may succeed later
	Text      string // default message
}

const (
	typeInvalid = "invalid_request_error"
	typeServer  = "server_error"
	typeLimit   = "rate_limit_error"
)

var kinds = map[Code]Kind{
	CodeInvalidJSON:      {http.StatusBadRequest, typeInvalid, false, "The body is not valid JSON."},
	CodeInvalidRequest:   {http.StatusBadRequest, typeInvalid, false, "The request is not valid."},
	CodeTooLarge:         {http.StatusRequestEntityTooLarge, typeInvalid, false, "The body is too large."},
	CodeMediaType:        {http.StatusUnsupportedMediaType, typeInvalid, false, "The body must be application/json."},
	CodeNotFound:         {http.StatusNotFound, typeInvalid, false, "There is nothing here by that name."},
	CodePrevious:         {http.StatusBadRequest, typeInvalid, false, "There is no such response to go on from."},
	CodeModel:            {http.StatusNotFound, typeInvalid, false, "The model does not exist, or you do not have access to it."},
	CodeMethod:           {http.StatusMethodNotAllowed, typeInvalid, false, "This method is not allowed here."},
	CodeKeyConflict:      {http.StatusConflict, typeInvalid, false, "This idempotency key was used with another body."},
	CodeNotRetryable:     {http.StatusConflict, typeInvalid, false, "Only a job that failed, expired or was cancelled can be tried again."},
	CodeTooManyWebhooks:  {http.StatusConflict, typeInvalid, false, fmt.Sprintf("The tenant has %d webhooks, which is all it may have.", MaxWebhooks)},
	CodeNoKey:            {http.StatusUnauthorized, typeInvalid, false, "There is no such API key, or it has expired or was revoked."},
	CodeScope:            {http.StatusForbidden, typeInvalid, false, "The API key does not permit this."},
	CodeOrigin:           {http.StatusForbidden, typeInvalid, false, "This web origin may not use the API."},
	CodeSubmitRate:       {http.StatusTooManyRequests, typeLimit, true, "The tenant submits faster than it may."},
	CodeQueueFull:        {http.StatusTooManyRequests, typeLimit, true, "The tenant has as many jobs waiting as it may."},
	CodeTooManyStreams:   {http.StatusTooManyRequests, typeLimit, true, "The tenant has as many event streams open as it may."},
	CodeUnavailable:      {http.StatusServiceUnavailable, typeServer, true, "A part of the service is down; try again."},
	CodeInternal:         {http.StatusInternalServerError, typeServer, true, "Something went wrong on our side."},
	CodeCancelled:        {http.StatusConflict, "cancelled", false, "The job was cancelled."},
	CodeDraining:         {http.StatusServiceUnavailable, typeServer, true, "The worker is shutting down; another continues."},
	CodeTimeout:          {http.StatusGatewayTimeout, typeServer, false, "The generation took longer than it may."},
	CodeExpired:          {http.StatusGatewayTimeout, typeServer, false, "The job's deadline passed before it was done."},
	CodeLost:             {http.StatusInternalServerError, typeServer, false, "The job was lost with its worker too often."},
	CodeUnreachable:      {http.StatusBadGateway, typeServer, true, "The upstream could not be reached."},
	CodeCut:              {http.StatusBadGateway, typeServer, true, "The upstream's stream ended before the answer did."},
	CodeStalled:          {http.StatusGatewayTimeout, typeServer, true, "The upstream stopped sending."},
	CodeRateLimited:      {http.StatusTooManyRequests, typeLimit, true, "The upstream's rate limit is reached."},
	CodeQuota:            {http.StatusTooManyRequests, "insufficient_quota", false, "The upstream account's quota is used up."},
	CodeUpstream:         {http.StatusBadGateway, typeServer, true, "The upstream failed."},
	CodeUpstreamRejected: {http.StatusBadRequest, typeInvalid, false, "The upstream refused the request."},
	CodeUpstreamGarbage:  {http.StatusBadGateway, typeServer, true, "The upstream sent what is not a chat completion stream."},
	CodeDiverged:         {http.StatusBadGateway, typeServer, false, "The answer had to be generated again, and differs from what was sent so far."},
	CodeFileInUse:        {http.StatusConflict, typeInvalid, false, "A batch that has not ended reads this file."},
	CodeRange:            {http.StatusRequestedRangeNotSatisfiable, typeInvalid, false, "The file does not have the range that was asked for."},
	CodeBatchOver:        {http.StatusConflict, typeInvalid, false, "The batch has ended, or is about to."},
	CodeBatchNotOver:     {http.StatusConflict, typeInvalid, false, "Only a batch that has ended with lines that failed or expired can be tried again."},
	CodeTurn:             {http.StatusConflict, typeInvalid, false, "A turn of this conversation is under way."},
	CodeSystemFixed:      {http.StatusConflict, typeInvalid, false, "The system message cannot change any more: something was said."},
	CodeNoQuestion:       {http.StatusConflict, typeInvalid, false, "Nothing was said that could be answered."},
	CodeDayQuota:         {http.StatusTooManyRequests, "insufficient_quota", false, "All completions of this day are used up."},
	CodeAllQuota:         {http.StatusPaymentRequired, "insufficient_quota", false, "All completions are used up."},
	CodeAnswerTooLarge:   {http.StatusBadGateway, typeServer, false, "The upstream's answer is larger than the limit."},
}

// Kind returns the table's row for c; an unknown code counts as internal.
func (c Code) Kind() Kind {
	if k, ok := kinds[c]; ok {
		return k
	}
	return kinds[CodeInternal]
}

// Error is the one error shape of the domain: what a job failed with and what the API answers with. Its text is safe
// to show to a client; the cause is for logs only.
type Error struct {
	Code           Code   `json:"code"`
	Message        string `json:"message"`
	Retryable      bool   `json:"retryable"`
	UpstreamStatus int    `json:"upstream_status,omitempty"` // HTTP status of the upstream, if it answered
	UpstreamCode   string `json:"upstream_code,omitempty"`   // the upstream's own code, if it refused the request
	Param          string `json:"param,omitempty"`           // the field at fault, as a path: messages[0].role
	RetryAfter     Wait   `json:"retry_after_ms,omitzero"`   // wait at least this long; 0: not said
	Cause          error  `json:"-"`
}

// Wait is a duration that JSON has in whole milliseconds.
type Wait time.Duration

// MarshalJSON rounds up.
func (w Wait) MarshalJSON() ([]byte, error) {
	ms := (time.Duration(w) + time.Millisecond - 1) / time.Millisecond
	return strconv.AppendInt(nil, int64(ms), 10), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (w *Wait) UnmarshalJSON(b []byte) error {
	ms, err := strconv.ParseInt(string(b), 10, 64)
	*w = Wait(time.Duration(ms) * time.Millisecond)
	return err
}

// NewError returns an error of kind c; an empty message means the table's text.
func NewError(c Code, message string) *Error {
	k := c.Kind()
	if message == "" {
		message = k.Text
	}
	return &Error{Code: c, Message: message, Retryable: k.Retryable}
}

// Invalid returns an invalid_request error that names the field at fault.
func Invalid(param, format string, args ...any) *Error {
	e := NewError(CodeInvalidRequest, fmt.Sprintf(format, args...))
	e.Param = param
	return e
}

// Because returns e with cause, which is logged but never shown.
func (e *Error) Because(cause error) *Error { e.Cause = cause; return e }

func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	if e.Param != "" {
		s += " (" + e.Param + ")"
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Cause }

// LogValue is slog's: e without what an upstream has said, which may quote the request.
func (e *Error) LogValue() slog.Value {
	if e.UpstreamStatus == 0 && e.Code != CodeUpstreamRejected {
		return slog.StringValue(e.Error())
	}
	own := NewError(e.Code, "").Because(e.Cause)
	return slog.StringValue(own.Error())
}

// AsError returns err as an *Error: itself if it wraps one, what the table says for the sentinels of this package, and
// an internal error with err as its cause for all else.
func AsError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, ErrNotFound):
		return NewError(CodeNotFound, "").Because(err)
	case errors.Is(err, ErrConflict):
		return NewError(CodeKeyConflict, "").Because(err)
	default:
		return NewError(CodeInternal, "").Because(err)
	}
}
