package completion

import (
	"math/bits"
	"slices"
	"strings"
	"time"
)

// BatchState is where a batch stands, in OpenAI's words.
type BatchState string

// The states of a batch.
const (
	BatchValidating BatchState = "validating"  // its file is being read
	BatchInProgress BatchState = "in_progress" // its lines are being run, or wait while it is paused
	BatchFinalizing BatchState = "finalizing"  // all lines have ended, or shall not run any more; the files are being written
	BatchCancelling BatchState = "cancelling"  // somebody asked for its end
	BatchCompleted  BatchState = "completed"   // final: every line has an answer or an error
	BatchFailed     BatchState = "failed"      // final: its file is not valid
	BatchExpired    BatchState = "expired"     // final: its time was over before its lines were
	BatchCancelled  BatchState = "cancelled"   // final
)

var batchTransitions = map[BatchState][]BatchState{
	BatchValidating: {BatchInProgress, BatchFailed, BatchCancelling, BatchExpired},
	BatchInProgress: {BatchFinalizing, BatchCancelling, BatchExpired},
	BatchFinalizing: {BatchCompleted},
	BatchCancelling: {BatchCancelled},
}

// BatchStates are all states, in the order a batch passes through them.
var BatchStates = []BatchState{
	BatchValidating, BatchInProgress, BatchFinalizing, BatchCancelling, BatchCompleted, BatchFailed, BatchExpired, BatchCancelled,
}

// LiveBatches are the states that are not final.
var LiveBatches = []BatchState{BatchValidating, BatchInProgress, BatchFinalizing, BatchCancelling}

// Final reports whether s is an end: no transition leaves it.
func (s BatchState) Final() bool {
	return slices.Contains(BatchStates, s) && len(batchTransitions[s]) == 0
}

// Can reports whether a batch in state s may go to state to.
func (s BatchState) Can(to BatchState) bool { return slices.Contains(batchTransitions[s], to) }

// BatchSources are the states from which a batch may go to state to.
func BatchSources(to BatchState) []BatchState { return sources(BatchStates, to) }

// Limits on a batch.
const (
	MaxBatchLines  = 1_000_000   // requests; OpenAI takes 50,000
	MaxBatchErrors = 1_000       // kept with the batch; the error file has all
	MinBatchWindow = time.Minute // of completion_window
	MaxBatchWindow = 7 * 24 * time.Hour
	MaxCustomID    = 512 // bytes
	BatchPrefix    = "batch_"
)

// Batch is a file of requests that are run as jobs, one for each line, and answered with a file. The zero time means
// "not yet".
type Batch struct {
	ID          string // "batch_" and a UUIDv7
	Tenant      string
	State       BatchState
	Endpoint    Endpoint
	Model       string        // of the first line; empty until the file was read
	Input       string        // file of requests
	Output      string        // file of answers; empty: there is none (yet)
	Faults      string        // file of errors; empty: there is none (yet)
	Window      string        // completion_window as the client wrote it
	OutputAge   time.Duration // after which the output goes, from its creation; zero: as an uploaded batch file
	Metadata    map[string]string
	Deduplicate bool   // identical bodies share one upstream call
	Paused      bool   // no further line goes into the queue
	RetryOf     string // the batch whose lines this one tries again; empty: none
	RequestID   string // of the HTTP request that made the batch
	Quota       Quota  // counts the lines when they are let in; the store does not keep it
	Errors      []LineError
	Counts      Counts
	Usage       BatchUsage
	Checkpoint  Checkpoint
	Epoch       int       // how often somebody took the batch on; a write of an earlier one is refused
	Holder      string    // who looks after the batch
	HeldUntil   time.Time // others may take it on after this

	IdempotencyKey string
	BodyHash       string

	CreatedAt    time.Time
	UpdatedAt    time.Time
	Deadline     time.Time // CreatedAt and the window
	InProgressAt time.Time
	FinalizingAt time.Time
	CancellingAt time.Time
	EndedAt      time.Time // when it reached its final state
}

// LineError is what is wrong with one line of a batch's file, or with the whole of it.
type LineError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param,omitempty"`
	Line    int    `json:"line,omitempty"` // from 1; 0: the whole file
}

// Counts are those of a batch's lines. A line that was cancelled or has expired counts as failed.
type Counts struct {
	Total     int `json:"total"`
	Completed int `json:"completed"`
	Failed    int `json:"failed"`
}

// Ended is how many lines have an answer or an error.
func (c Counts) Ended() int { return c.Completed + c.Failed }

// BatchUsage is what the lines of a batch have cost together, in tokens.
type BatchUsage struct {
	Input     int64 `json:"input"`
	Cached    int64 `json:"cached"` // of Input
	Output    int64 `json:"output"`
	Reasoning int64 `json:"reasoning"` // of Output
}

// Checkpoint is how far whoever looks after a batch has come; what comes after it is in the batch's log.
type Checkpoint struct {
	Fed    int     // lines 1 to Fed have become jobs, or needed none
	Offset int64   // where line Fed+1 begins in the input
	Told   LineSet // lines whose end has been told on the batch's subject, and is counted
	Seq    int64   // seq of the latest event that Told takes account of
}

// LineSet is a set of line numbers, from 1, one bit for each.
type LineSet []byte

// Has reports whether the line is in the set.
func (s LineSet) Has(line int) bool {
	i := (line - 1) / 8
	return line > 0 && i < len(s) && s[i]&(1<<((line-1)%8)) != 0
}

// Add puts a line into the set and reports whether it was not there.
func (s *LineSet) Add(line int) bool {
	if line < 1 || s.Has(line) {
		return false
	}
	i := (line - 1) / 8
	if grow := i + 1 - len(*s); grow > 0 {
		*s = append(*s, make([]byte, grow)...)
	}
	(*s)[i] |= 1 << ((line - 1) % 8)
	return true
}

// Len is how many lines are in the set.
func (s LineSet) Len() int {
	n := 0
	for _, b := range s {
		n += bits.OnesCount8(b)
	}
	return n
}

// NewBatchID returns "batch_" and a UUIDv7.
func NewBatchID() string { return newID(BatchPrefix) }

// IsBatch reports whether the id of a Ref is a batch's: batches have logs and subjects as jobs do.
func (r Ref) IsBatch() bool { return strings.HasPrefix(r.Job, BatchPrefix) }

// Ref names the batch.
func (b *Batch) Ref() Ref { return Ref{Tenant: b.Tenant, Job: b.ID} }

// LineJobID is the id of the job that runs a line: the batch's own digits, so that it sorts by the batch's time, and
// the line's number, so that a line becomes a job only once.
func (b *Batch) LineJobID(line int) string {
	const hex = "0123456789abcdef"
	var number [8]byte
	for i := range number {
		number[i] = hex[line>>(4*(len(number)-1-i))&15]
	}
	return jobPrefix + strings.TrimPrefix(b.ID, BatchPrefix) + string(number[:])
}

// FinalEvent is the event that closes the log of a batch in a final state.
func (b *Batch) FinalEvent() Event {
	return Event{Type: EventType(b.State), Attempt: b.Epoch, At: b.EndedAt, Batch: b.Brief()}
}
