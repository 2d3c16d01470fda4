package e2e_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGuarantees_HaveProofs reads the page that states the guarantees: every test it names is there, and every
// guarantee's number stands in the name of a test.
func TestGuarantees_HaveProofs(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "deployments", "docs", "guarantees.md"))
	require.NoError(t, err)
	names := testNames(t, root)
	for _, name := range regexp.MustCompile("`(Test\\w+)").FindAllStringSubmatch(string(page), -1) {
		require.True(t, strings.Contains(names, "func "+name[1]+"("), "%s, which the page names", name[1]) //nolint:testifylint // the whole list would be shown
	}
	for n := range 10 {
		number := fmt.Sprintf("I%d", n+1)
		require.True(t, regexp.MustCompile(`[_/"]`+number+`[_"(/]`).MatchString(names), "a test for %s", number)
		require.Contains(t, string(page), "| "+number+" |")
	}
}

// testNames are the lines that name tests: functions, and the cases of contract suites.
func testNames(t *testing.T, root string) string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^(func Test.*|\s+"\w+/I\d+_\w+":.*|\s+t\.Run\(".*)$`)
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "data"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || !strings.Contains(path, "test"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, found := range line.FindAll(text, -1) {
			all.Write(append(found, '\n'))
		}
		return err
	})
	require.NoError(t, err)
	return all.String()
}
