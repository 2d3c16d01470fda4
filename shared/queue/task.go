package queue

import (
	"encoding/json"
	"errors"
	"fmt"

	"sluice/shared/completion"
)

const (
	typeName = "completion"
	version  = 1
)

// payload is a task as it lies in Redis: a reference, because asynq rewrites the payloads of all running tasks every few
// seconds.
type payload struct {
	V      int    `json:"v"`
	Tenant string `json:"tenant"`
	Job    string `json:"job"`
}

var errPoison = errors.New("task cannot be read")

// taskID is the id under which Redis has the job's task. The scripts find the tenant in it, see sortLua.
func taskID(ref completion.Ref) string { return ref.Tenant + ":" + ref.Job }

// check refuses what must not become part of a key.
func check(t completion.Task) error {
	if !t.Lane.Valid() {
		return fmt.Errorf("unknown lane %q", t.Lane)
	}
	if !completion.ValidToken(t.Ref.Tenant) || !completion.ValidToken(t.Ref.Job) {
		return fmt.Errorf("bad reference %q %q", t.Ref.Tenant, t.Ref.Job)
	}
	return nil
}

func encode(t completion.Task) ([]byte, error) {
	return json.Marshal(payload{V: version, Tenant: t.Ref.Tenant, Job: t.Ref.Job})
}

// decode answers errPoison for what no version of encode wrote. Unknown fields are ignored.
func decode(name string, b []byte) (completion.Ref, error) {
	if name != typeName {
		return completion.Ref{}, fmt.Errorf("%w: type %q", errPoison, name)
	}
	var p payload
	if err := json.Unmarshal(b, &p); err != nil {
		return completion.Ref{}, fmt.Errorf("%w: %w", errPoison, err)
	}
	if p.V != version {
		return completion.Ref{}, fmt.Errorf("%w: version %d", errPoison, p.V)
	}
	if !completion.ValidToken(p.Tenant) || !completion.ValidToken(p.Job) {
		return completion.Ref{}, fmt.Errorf("%w: bad reference", errPoison)
	}
	return completion.Ref{Tenant: p.Tenant, Job: p.Job}, nil
}
