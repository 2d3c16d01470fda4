//go:build race

package page_test

func init() { buildFlags = append(buildFlags, "-race") }
