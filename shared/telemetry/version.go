package telemetry

import (
	"fmt"
	"strings"
)

// String is what --version prints after the program's name: version, revision if it is known, and Go.
func (b Build) String() string {
	from := b.Go
	if b.Revision != "" {
		from = "revision " + b.Revision[:min(12, len(b.Revision))] + ", " + from
		if b.Modified {
			from = strings.Replace(from, ",", " with changes,", 1)
		}
	}
	return fmt.Sprintf("%s (%s)", b.Version, from)
}
