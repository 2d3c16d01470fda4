//go:build race

package e2e_test

// The inside of SQLite is not watched, as in make test.
func init() { raceFlags = []string{"-race", "-gcflags=modernc.org/...=-race=false"} }
