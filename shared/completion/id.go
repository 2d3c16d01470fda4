package completion

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
)

// Ref names one job and the tenant that owns it. Both parts are valid subject tokens (see ValidToken).
type Ref struct {
	Tenant string
	Job    string
}

// Subject is the NATS subject on which viewers see the job's events.
func (r Ref) Subject() string { return "completions." + r.Tenant + "." + r.Job }

// NewJobID returns "job_" and a UUIDv7 (RFC 9562, section 5.7) in 32 lower-case hexadecimal digits: unguessable, and
// sorted by creation time to the millisecond.
func NewJobID() string { return newID(jobPrefix) }

// jobPrefix begins every job's id.
const jobPrefix = "job_"

// Alias is the id of a job in another vocabulary: the same digits behind another prefix, such as "chatcmpl-" or "resp_".
func Alias(prefix, job string) string { return prefix + strings.TrimPrefix(job, jobPrefix) }

// Unalias is the reverse of Alias. ok is false for what cannot be a job's id.
func Unalias(prefix, id string) (job string, ok bool) {
	digits, ok := strings.CutPrefix(id, prefix)
	job = jobPrefix + digits
	return job, ok && digits != "" && ValidToken(job)
}

func newID(prefix string) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(time.Now().UnixMilli())<<16)
	_, _ = rand.Read(id[6:]) // crypto/rand.Read never fails: it ends the program instead
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return prefix + hex.EncodeToString(id[:])
}

// ValidToken reports whether s may stand as one token of a NATS subject: 1 to 64 of a-z, 0-9, '_' and '-'. Upper case
// is refused because credential tags are lower-cased, and '*' or '>' because they would expand.
func ValidToken(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
