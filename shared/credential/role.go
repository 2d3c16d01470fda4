package credential

import "github.com/nats-io/jwt/v2"

// Role is a program's part, and its user's name.
type Role string

// The roles. Their users live in SLUICE, but for System.
const (
	API    Role = "api"    // reads, answers replays, closes logs, tells of batches and conversations, rings; creates streams that are missing
	Worker Role = "worker" // writes events
	Setup  Role = "setup"  // creates and alters the streams; the only one that may
	Whole  Role = "whole"  // everything, from inside the server's process only: the all-in-one
	System Role = "sys"    // watches the server
)

// grant is what a user may do. Empty lists allow all.
type grant struct {
	publish, subscribe []string
	from               []string // connection types; empty: any
}

// inbox is where a role's answers arrive, below no other role's.
func inbox(r Role) string { return "_INBOX." + string(r) }

// roles lists what each role needs and nothing else. Direct Get is the only way in which streams are read, and the
// account has no other streams than the event log's.
var roles = map[Role]grant{
	API: {
		publish: []string{
			"in.>", "rp.>", "wake.*", "cancel.*.*", "batch.*.*", "turn.*.*", "completions.*.*",
			"$JS.API.DIRECT.GET.>", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.CREATE.*", "$JS.API.INFO",
		},
		subscribe: []string{"completions.>", "replay.*.*", "batch.*.*", "turn.*.*", inbox(API) + ".>"},
	},
	Worker: {
		publish:   []string{"in.>", "wake.*", "batch.*.*", "turn.*.*", "$JS.API.DIRECT.GET.>", "$JS.API.INFO"},
		subscribe: []string{"wake.*", "cancel.*.*", inbox(Worker) + ".>"},
	},
	Setup: {
		publish:   []string{"$JS.API.STREAM.INFO.*", "$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*", "$JS.API.INFO"},
		subscribe: []string{inbox(Setup) + ".>"},
	},
	Whole:  {from: []string{jwt.ConnectionTypeInProcess}},
	System: {},
}
