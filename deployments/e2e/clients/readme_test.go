package clients_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/modelsim"
)

// examples are those of the package's README.md, on another address.
func examples(t *testing.T, address string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(source, "README.md"))
	require.NoError(t, err)
	var found []string
	for _, block := range regexp.MustCompile("(?s)```js\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		example := strings.ReplaceAll(block[1], "http://127.0.0.1:8080", address)
		require.NotEqual(t, block[1], example)
		found = append(found, example)
	}
	return found
}

// keep puts an example into a file of the built package.
func keep(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(built, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestReadme_ExamplesRun(t *testing.T) {
	t.Parallel()
	answer := modelsim.Answer("hello")
	want := []string{
		regexp.QuoteMeta(answer),
		fmt.Sprintf(`used \d+ tokens\ncompleted %d characters`, len(answer)),
		regexp.QuoteMeta(answer),
		`line 1 200\n1 of 1`,
		fmt.Sprintf("user,assistant true 0 %d", len(modelsim.Answer("Be brief.", "hello"))),
		"404 not_found",
	}
	in := setup(t)
	batch := in.batch(t, 1, "tokens=5&tps=0")
	all := examples(t, "http://"+in.http.address())
	require.Len(t, all, len(want))
	for i, example := range all {
		t.Run(strconv.Itoa(i+1), func(t *testing.T) {
			t.Parallel()
			path := keep(t, fmt.Sprintf("example-%d.mjs", i+1), `import "./websocket.mjs";`+"\n"+example)
			cmd := exec.CommandContext(t.Context(), "node", path)
			cmd.Env = append(os.Environ(), "SLUICE_API_KEY="+in.key, "BATCH="+batch.ID)
			cmd.Stderr = t.Output()
			out, err := cmd.Output()
			require.NoError(t, err)
			require.Regexp(t, "^"+want[i]+"\n$", string(out))
		})
	}
}

// TestReadme_ExamplesAreTyped holds the examples against the package's declarations, as strictly as there is.
func TestReadme_ExamplesAreTyped(t *testing.T) {
	t.Parallel()
	args := []string{
		filepath.Join(built, "node_modules/typescript/bin/tsc"), "--noEmit", "--strict", "--exactOptionalPropertyTypes",
		"--noUncheckedIndexedAccess", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom",
	}
	for i, example := range examples(t, "") {
		args = append(args, keep(t, fmt.Sprintf("typed-%d.mts", i+1), "declare const process: { env: Record<string, string | undefined> };\n"+example))
	}
	out, err := exec.CommandContext(t.Context(), "node", args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
