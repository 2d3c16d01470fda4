package completion

import "slices"

// State is where a job stands.
type State string

// The states.
const (
	Queued    State = "queued"    // waits for a worker; also between two attempts
	Running   State = "running"   // a worker has claimed it
	Completed State = "completed" // final: the answer is stored
	Failed    State = "failed"    // final: permanent error, or the attempts are used up
	Cancelled State = "cancelled" // final: somebody asked for it
	Expired   State = "expired"   // final: it waited longer than it may
)

// States are all states, in the order a job passes through them.
var States = []State{Queued, Running, Completed, Failed, Cancelled, Expired}

// transitions is the whole state machine. Running to Running is the next attempt taking over from a dead worker.
var transitions = map[State][]State{
	Queued:  {Running, Cancelled, Expired},
	Running: {Running, Queued, Completed, Failed, Cancelled, Expired},
}

// Valid reports whether s is a known state.
func (s State) Valid() bool { return slices.Contains(States, s) }

// Final reports whether s is an end: no transition leaves it.
func (s State) Final() bool { return s.Valid() && len(transitions[s]) == 0 }

// Can reports whether a job in state s may go to state to.
func (s State) Can(to State) bool { return slices.Contains(transitions[s], to) }

// Sources are the states from which a job may go to state to. Adapters guard their writes with it.
func Sources(to State) []State { return sources(States, to) }

// sources are those of all states that lead to another one.
func sources[S interface{ Can(to S) bool }](all []S, to S) []S {
	var from []S
	for _, s := range all {
		if s.Can(to) {
			from = append(from, s)
		}
	}
	return from
}
