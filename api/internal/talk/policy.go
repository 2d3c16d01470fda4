package talk

import (
	"cmp"

	"sluice/shared/completion"
)

// act is what a request wants done to a conversation.
type act int

const (
	say   act = iota // something new is said
	edit             // something that was said is said otherwise
	again            // what was said last is answered once more
)

// policy is what becomes of the turns under way: as asked, or what goes with the act. A new turn waits for them; another
// version of what was said makes them pointless.
func (a act) policy(asked completion.Policy) completion.Policy {
	if a == say {
		return cmp.Or(asked, completion.PolicyQueue)
	}
	return cmp.Or(asked, completion.PolicyInterrupt)
}

// cancels are the turns that a new one under the policy ends. turn_running: the policy does not let it in.
func cancels(p completion.Policy, live []completion.Job) ([]string, error) {
	switch {
	case len(live) == 0 || p == completion.PolicyQueue:
		return nil, nil
	case p == completion.PolicyReject:
		return nil, completion.NewError(completion.CodeTurn, "")
	}
	ids := make([]string, 0, len(live))
	for i := range live {
		ids = append(ids, live[i].ID)
	}
	return ids, nil
}
