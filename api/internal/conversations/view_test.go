package conversations

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestSnippet(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é ", 100)
	for _, c := range []struct{ text, query, want string }{
		{"hello", "ELL", "hello"},
		{"", "x", ""},
		{"hello", "x", "hello"},
		{"a\nb\t c", "b", "a b c"},
		{long + "Needle" + long, "nEEDLE", "…" + strings.Repeat("é ", 30) + "Needle" + strings.Repeat("é ", 29) + "é…"},
		{"ΟΔΟΣ οδός", "οδος", "ΟΔΟΣ οδός"},
	} {
		require.Equal(t, c.want, snippet(c.text, c.query), "%q in %q", c.query, c.text)
	}
}

func FuzzSnippet(f *testing.F) {
	f.Add("hello", "l")
	f.Add("\xffİß", "i")
	f.Fuzz(func(t *testing.T, text, query string) {
		cut := snippet(text, query)
		require.LessOrEqual(t, utf8.RuneCountInString(cut), 2*around+2+len(query))
	})
}
