package modelsim

import (
	_ "embed"
	"strings"
)

//go:embed doc.go
var doc string

// Directives explains the directives: the part of this package's documentation that lists them.
func Directives() string {
	_, text, _ := strings.Cut(doc, "// # Directives\n")
	text, _, _ = strings.Cut(text, "package modelsim")
	text = strings.ReplaceAll(text, "\n// ", "\n")
	text = strings.ReplaceAll(text, "\n//", "\n")
	return strings.TrimSpace(strings.TrimPrefix(text, "//"))
}
