package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pages are the README and all of the docs.
func pages(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(root, "deployments", "docs", "*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return append(all, filepath.Join(root, "README.md"))
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	fence   = regexp.MustCompile("(?s)```.*?```")
	proof   = regexp.MustCompile("\\[`(Test\\w+)`\\]\\(([^)]+)\\)")
)

// anchors are what the headings of a page are linked by.
func anchors(page string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case strings.ContainsRune("`'’\"*()[]{},.:;!?/&+=<>#…", r):
				return -1
			}
			return r
		}, strings.ToLower(m[1]))
		all[name] = true
	}
	return all
}

// TestDocs_LinksLead follows each link between the pages, to its heading too.
func TestDocs_LinksLead(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(string(text), ""), -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			require.FileExists(t, target, "%s links to %s", page, m[1])
			if anchor == "" || !strings.HasSuffix(target, ".md") {
				continue
			}
			there, err := os.ReadFile(target)
			require.NoError(t, err)
			require.True(t, anchors(string(there))[anchor], "%s links to %s", page, m[1])
		}
	}
}

// TestFeatures_AreShown reads the page of features: each row names a test, and each test that it names is in the file that it leads to.
func TestFeatures_AreShown(t *testing.T) {
	t.Parallel()
	page := filepath.Join(root, "deployments", "docs", "features.md")
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	rows := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| feature ") {
			continue
		}
		rows++
		shown := proof.FindAllStringSubmatch(line, -1)
		require.NotEmpty(t, shown, line)
		for _, m := range shown {
			file, err := os.ReadFile(filepath.Join(filepath.Dir(page), m[2]))
			require.NoError(t, err, line)
			require.True(t, strings.Contains(string(file), "func "+m[1]+"("), "%s in %s", m[1], m[2]) //nolint:testifylint // the whole file would be shown
		}
	}
	require.Greater(t, rows, 40)
}
