package bell

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// FuzzDecode reads what came from another process: only line numbers come out, and they travel unchanged.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "1", "1,2,1000000", "0", "-1", ",", "1,,2", "1000001", " 1", "0x1", "\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := decode(data)
		for _, n := range lines {
			require.Positive(t, n)
			require.LessOrEqual(t, n, completion.MaxBatchLines)
		}
		require.Equal(t, lines, decode(encode(lines)))
	})
}
