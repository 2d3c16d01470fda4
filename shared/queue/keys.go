package queue

import (
	"strings"

	"sluice/shared/completion"
)

// keys names what asynq and we keep for one lane. All keys of a lane share one cluster slot.
type keys struct {
	prefix    string // of every key
	task      string // prefix of a task's hash: msg, state, …
	pending   string // list: pushed on the left, taken from the right; here a task waits to be sorted, see sortLua
	paused    string // exists while nothing shall be taken
	active    string // list
	lease     string // sorted set: when each active task's lease ends, in Unix seconds
	retry     string // sorted set: when to deliver again, in Unix seconds
	scheduled string // sorted set: when to deliver first, in Unix seconds
	archived  string // sorted set: poison

	// ours
	tide    string // counter, see Fresh
	ring    string // list: the tenants that have waiting tasks, the next one to be served on the left
	wait    string // prefix of a tenant's list: its waiting tasks, the oldest on the left
	running string // hash: tenant to the most tasks running at once, see SetRunning
	runs    string // prefix of a tenant's set: its running tasks, and some that have ended, if it has a limit
	admit   string // prefix of a tenant's sorted set: reserved job to when the reservation lapses, in Unix milliseconds
	taken   string // prefix of counters: jobs accepted in one stretch of time, see Accepted
}

func keysOf(lane completion.Lane) keys {
	p, own := "asynq:{"+string(lane)+"}:", "sluice:{"+string(lane)+"}:"
	return keys{
		prefix: p, task: p + "t:", pending: p + "pending", paused: p + "paused", active: p + "active", lease: p + "lease",
		retry: p + "retry", scheduled: p + "scheduled", archived: p + "archived",
		tide: own + "tide", ring: own + "ring", wait: own + "wait:", running: own + "running", runs: own + "runs:", admit: own + "admit:",
		taken: own + "accepted:",
	}
}

// act is what one of asynq's scripts does, as far as it matters here.
type act int

const (
	other   act = iota
	dequeue     // pending to active, with a lease
	forward     // scheduled or retry to pending, where due
	settle      // active to whatever ends the delivery: done, retry, archive, requeue
)

// actOf recognises a script by its keys, which say more than its hash does and change less often.
func actOf(keys []string) act {
	has := func(i int, name string) bool { return i < len(keys) && strings.HasSuffix(keys[i], ":"+name) }
	switch {
	case has(0, "pending") && has(1, "paused"):
		return dequeue
	case len(keys) == 2 && has(1, "pending") && (has(0, "scheduled") || has(0, "retry")):
		return forward
	case has(0, "active") && has(1, "lease"), has(1, "active") && has(2, "lease"):
		return settle
	default:
		return other
	}
}
