package clients_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/modelsim"
)

// TestReadme_ExamplesRun runs every example of the package's README.md as it stands, on another address.
func TestReadme_ExamplesRun(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(source, "README.md"))
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```js\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	answer := modelsim.Answer("hello")
	want := []string{
		regexp.QuoteMeta(answer),
		fmt.Sprintf(`used \d+ tokens\ncompleted %d characters`, len(answer)),
		regexp.QuoteMeta(answer),
		"404 not_found",
	}
	require.Len(t, blocks, len(want))
	in := setup(t)
	for i, block := range blocks {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			t.Parallel()
			example := strings.ReplaceAll(block[1], "http://127.0.0.1:8080", "http://"+in.http.address())
			require.NotEqual(t, block[1], example)
			path := filepath.Join(built, fmt.Sprintf("example-%d.mjs", i+1))
			require.NoError(t, os.WriteFile(path, []byte(`import "./websocket.mjs";`+"\n"+example), 0o600))
			cmd := exec.CommandContext(t.Context(), "node", path)
			cmd.Env = append(os.Environ(), "SLUICE_API_KEY="+in.key)
			cmd.Stderr = t.Output()
			out, err := cmd.Output()
			require.NoError(t, err)
			require.Regexp(t, "^"+want[i]+"\n$", string(out))
		})
	}
}
