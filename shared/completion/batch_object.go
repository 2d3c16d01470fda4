package completion

import (
	"encoding/json"
	"time"
)

// batchObject is a batch on the wire: OpenAI's object, and what Sluice adds to it at the end.
type batchObject struct {
	ID               string            `json:"id"`
	Object           string            `json:"object"`
	Endpoint         Endpoint          `json:"endpoint"`
	Model            *string           `json:"model"`
	Errors           *lineErrors       `json:"errors"`
	InputFileID      string            `json:"input_file_id"`
	CompletionWindow string            `json:"completion_window"`
	Status           BatchState        `json:"status"`
	OutputFileID     *string           `json:"output_file_id"`
	ErrorFileID      *string           `json:"error_file_id"`
	CreatedAt        int64             `json:"created_at"`
	InProgressAt     *int64            `json:"in_progress_at"`
	ExpiresAt        *int64            `json:"expires_at"`
	FinalizingAt     *int64            `json:"finalizing_at"`
	CompletedAt      *int64            `json:"completed_at"`
	FailedAt         *int64            `json:"failed_at"`
	ExpiredAt        *int64            `json:"expired_at"`
	CancellingAt     *int64            `json:"cancelling_at"`
	CancelledAt      *int64            `json:"cancelled_at"`
	RequestCounts    Counts            `json:"request_counts"`
	Usage            usageObject       `json:"usage"`
	Metadata         map[string]string `json:"metadata"`
	Paused           bool              `json:"paused"`
	Deduplicate      bool              `json:"deduplicate"`
	RetryOf          *string           `json:"retry_of"`
	Subject          string            `json:"subject"`
	LastSeq          int64             `json:"last_seq"`
}

type lineErrors struct {
	Object string            `json:"object"`
	Data   []lineErrorObject `json:"data"`
}

type lineErrorObject struct {
	Code    string  `json:"code"`
	Message string  `json:"message"`
	Param   *string `json:"param"`
	Line    *int    `json:"line"`
}

type usageObject struct {
	InputTokens   int64 `json:"input_tokens"`
	InputDetails  any   `json:"input_tokens_details"`
	OutputTokens  int64 `json:"output_tokens"`
	OutputDetails any   `json:"output_tokens_details"`
	TotalTokens   int64 `json:"total_tokens"`
}

// Object renders the batch as the API shows it.
func (b *Batch) Object() json.RawMessage { return b.object(b.errors()) }

// Brief is Object without the errors, of which there may be many.
func (b *Batch) Brief() json.RawMessage { return b.object(nil) }

func (b *Batch) object(errors *lineErrors) json.RawMessage {
	o := batchObject{
		ID: b.ID, Object: "batch", Endpoint: b.Endpoint, Model: given(b.Model), Errors: errors,
		InputFileID: b.Input, CompletionWindow: b.Window, Status: b.State, OutputFileID: given(b.Output), ErrorFileID: given(b.Faults),
		CreatedAt: b.CreatedAt.Unix(), InProgressAt: unix(b.InProgressAt), FinalizingAt: unix(b.FinalizingAt), CancellingAt: unix(b.CancellingAt),
		RequestCounts: b.Counts, Metadata: b.Metadata, Paused: b.Paused, Deduplicate: b.Deduplicate, RetryOf: given(b.RetryOf),
		Subject: b.Ref().Subject(), LastSeq: b.Checkpoint.Seq,
		Usage: usageObject{
			InputTokens: b.Usage.Input, InputDetails: map[string]int64{"cached_tokens": b.Usage.Cached},
			OutputTokens: b.Usage.Output, OutputDetails: map[string]int64{"reasoning_tokens": b.Usage.Reasoning},
			TotalTokens: b.Usage.Input + b.Usage.Output,
		},
	}
	if b.State != BatchValidating && b.State != BatchFailed {
		o.ExpiresAt = unix(b.Deadline)
	}
	switch b.State {
	case BatchCompleted:
		o.CompletedAt = unix(b.EndedAt)
	case BatchFailed:
		o.FailedAt = unix(b.EndedAt)
	case BatchExpired:
		o.ExpiredAt = unix(b.EndedAt)
	case BatchCancelled:
		o.CancelledAt = unix(b.EndedAt)
	}
	raw, err := json.Marshal(o)
	if err != nil {
		panic("completion: a batch is not JSON: " + err.Error()) // it has only strings, numbers and maps of them
	}
	return raw
}

func (b *Batch) errors() *lineErrors {
	if len(b.Errors) == 0 {
		return nil
	}
	list := &lineErrors{Object: "list", Data: make([]lineErrorObject, len(b.Errors))}
	for i, e := range b.Errors {
		list.Data[i] = lineErrorObject{Code: e.Code, Message: e.Message, Param: given(e.Param)}
		if e.Line > 0 {
			list.Data[i].Line = &e.Line
		}
	}
	return list
}

// given is nil for what is not there, which the wire shows as null.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func unix(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	seconds := t.Unix()
	return &seconds
}
