package telemetry

import (
	"runtime"
	"runtime/debug"
)

// Version of all programs, stamped at build time by -ldflags "-X sluice/shared/telemetry.Version=v1.2.3".
var Version = "dev"

// Build is what a program was built from.
type Build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Revision string `json:"revision"` // the commit; empty if it was built outside of a repository
	Time     string `json:"time"`     // of the commit
	Modified bool   `json:"modified"` // the sources were not those of the commit
}

// ThisBuild describes the running program.
func ThisBuild() Build {
	b := Build{Version: Version, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
