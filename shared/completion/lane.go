package completion

// Lane is a class of service with its own queue and its own slots in every worker (I10).
type Lane string

// The lanes.
const (
	LaneInteractive Lane = "interactive" // somebody waits for the answer
	LaneBatch       Lane = "batch"       // high volume, nobody waits
)

// Lanes are all lanes, the most urgent first.
var Lanes = []Lane{LaneInteractive, LaneBatch}

// Valid reports whether l is a known lane.
func (l Lane) Valid() bool { return l == LaneInteractive || l == LaneBatch }
