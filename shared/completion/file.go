package completion

import "time"

// Purpose says what a file is for.
type Purpose string

// The purposes. Clients upload with the first six; batches write with PurposeBatchOutput.
const (
	PurposeAssistants  Purpose = "assistants"
	PurposeBatch       Purpose = "batch"
	PurposeFineTune    Purpose = "fine-tune"
	PurposeVision      Purpose = "vision"
	PurposeUserData    Purpose = "user_data"
	PurposeEvals       Purpose = "evals"
	PurposeBatchOutput Purpose = "batch_output"
)

// Uploads are the purposes that a client may upload with.
var Uploads = []Purpose{PurposeAssistants, PurposeBatch, PurposeFineTune, PurposeVision, PurposeUserData, PurposeEvals}

// Limits on the size of an uploaded file, in bytes, as OpenAI has them.
const (
	MaxFileBytes      = 512 << 20
	MaxBatchFileBytes = 200 << 20
)

// MaxBytes is the largest file of that purpose that is accepted.
func (p Purpose) MaxBytes() int64 {
	if p == PurposeBatch {
		return MaxBatchFileBytes
	}
	return MaxFileBytes
}

// Times after which a file goes by itself, as OpenAI has them.
const (
	MinFileAge   = time.Hour
	MaxFileAge   = 30 * 24 * time.Hour
	BatchFileAge = 30 * 24 * time.Hour // of an uploaded batch file that says nothing about it
	MaxFileName  = 255                 // bytes
	FilePrefix   = "file-"
)

// File is content that a tenant has uploaded or a batch has written. The content itself lies in blob storage, under the
// file's tenant and id, and never changes.
type File struct {
	ID        string // "file-" and a UUIDv7
	Tenant    string
	Name      string // as the client calls it
	Purpose   Purpose
	Bytes     int64
	Batch     string // the batch that wrote it; empty: none
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
}

// NewFileID returns "file-" and a UUIDv7.
func NewFileID() string { return newID(FilePrefix) }

// Expired reports whether the file is gone for clients.
func (f *File) Expired(now time.Time) bool { return !f.ExpiresAt.IsZero() && !now.Before(f.ExpiresAt) }
