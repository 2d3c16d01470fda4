package follow

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func TestAfter(t *testing.T) {
	t.Parallel()
	seq, err := (&From{LastID: "9007199254740991"}).Seq()
	require.NoError(t, err)
	require.Equal(t, int64(completion.MaxSeq), seq)
	for _, value := range []string{"9007199254740992", "9223372036854775807", "-1", "1.0", "x"} {
		_, err := (&From{After: value, LastID: "1"}).Seq()
		require.Equal(t, completion.CodeInvalidRequest, completion.AsError(err).Code, value)
		require.Equal(t, "after", completion.AsError(err).Param)
	}
}

// FuzzAfter reads where a viewer wants to resume, and compares it with a simpler reading.
func FuzzAfter(f *testing.F) {
	for _, v := range []string{"", "0", "-0", "+1", "007", "1_0", "0x1", "1e3", " 1", "9007199254740991", "9007199254740992", "9223372036854775807", "18446744073709551616", "١"} {
		f.Add(v, "")
		f.Add("", v)
		f.Add(v, "7")
	}
	number := regexp.MustCompile(`^(-0+|\+?[0-9]+)$`)
	f.Fuzz(func(t *testing.T, after, lastID string) {
		got, err := (&From{After: after, LastID: lastID}).Seq()
		value, name := after, "after"
		if after == "" {
			value, name = lastID, "Last-Event-ID"
		}
		digits := strings.TrimLeft(value, "+-0")
		want, fits := uint64(0), true
		if digits != "" {
			n, err := strconv.ParseUint(digits, 10, 64)
			want, fits = n, err == nil && n <= completion.MaxSeq
		}
		if value != "" && (!number.MatchString(value) || !fits) {
			require.Equal(t, completion.CodeInvalidRequest, completion.AsError(err).Code, "%q", value)
			require.Equal(t, name, completion.AsError(err).Param)
			return
		}
		require.NoError(t, err, "%q", value)
		require.Equal(t, int64(want), got, "%q", value)
	})
}
