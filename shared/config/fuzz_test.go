package config

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// target has a flag of each kind that the programs have.
type target struct {
	Addr  string
	Count int
	Wait  time.Duration
	On    bool
}

// read parses a settings file without a command line.
func read(t *testing.T, body string) (target, error) {
	t.Helper()
	var got target
	resolver, err := file(strings.NewReader(body))
	if err != nil {
		require.ErrorContains(t, err, "read settings file")
		return got, err
	}
	parser, err := New("fuzz", "", &got, kong.Resolvers(resolver))
	require.NoError(t, err)
	_, err = parser.Parse(nil)
	return got, err
}

// FuzzFile reads any settings file: an error, or nothing but what the program has flags for.
func FuzzFile(f *testing.F) {
	for _, s := range []string{
		"", "# nothing\n", "addr: x\nwait: 5s\non: true\ncount: 7\n", "addr: [a, b]\n", "addr: {a: 1}\n", "addr: null\ncount: ~\n", "wate: 1s\n", "addr: a\naddr: b\n",
		"count: 0x10\n", "count: 1.5\n", "count: .nan\n", "on: yes\n", "a: &a [*a]\n", "<<: {addr: x}\n", "addr: x\n---\naddr: y\n", "addr: x\n---\nwate: y\n", "%YAML 1.2\n---\n", "? [a]\n: b\n", "1: 2\n", "help: true\n", "just text", "- a\n", "\t", "\ufeffaddr: x", "addr: \"\\ud83d\"\n", "{addr: x, wait: 1s}", "addr: |\n  a\n  b\n", "!!binary a: b",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if _, err := read(t, body); err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		for all := yaml.NewDecoder(strings.NewReader(body)); ; { // of every document
			var got map[string]any
			err := all.Decode(&got)
			for name := range got {
				require.Contains(t, []string{"addr", "count", "wait", "on", "help"}, name)
			}
			if err != nil {
				require.ErrorIs(t, err, io.EOF)
				break
			}
		}
	})
}

// FuzzFile_RoundTrip writes settings as YAML and reads them.
func FuzzFile_RoundTrip(f *testing.F) {
	for _, s := range []string{"", "127.0.0.1:8080", "null", "~", "true", "0x10", "1e3", "a: b", "#", "- a", "'", "\"", "a\nb", "\t", " a ", "é\u2028", "${X}", "*", "&a", "a,b", "%", "@", "`"} {
		f.Add(s, 7, int64(time.Second), true)
	}
	f.Fuzz(func(t *testing.T, addr string, count int, wait int64, on bool) {
		if strings.ToValidUTF8(addr, "") != addr || strings.ContainsFunc(addr, func(r rune) bool { return r < ' ' || r == '\x7f' || r == '\ufeff' }) {
			return
		}
		quoted := "'" + strings.ReplaceAll(addr, "'", "''") + "'"
		body, err := yaml.Marshal(map[string]any{"count": count, "wait": time.Duration(wait).String(), "on": on})
		require.NoError(t, err)
		got, err := read(t, string(body)+"addr: "+quoted+"\n")
		require.NoError(t, err, "%s", quoted)
		require.Equal(t, target{Addr: addr, Count: count, Wait: time.Duration(wait), On: on}, got)
	})
}
