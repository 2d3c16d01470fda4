package config_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/config"
)

type sample struct {
	config.File
	HTTPAddr string        `env:"SLUICE_SAMPLE_ADDR" default:"127.0.0.1:1" help:"Where to listen."`
	Wait     time.Duration `default:"1s"`
}

func parse(t *testing.T, body string, args ...string) (sample, error) {
	t.Helper()
	var s sample
	if body != "" {
		path := filepath.Join(t.TempDir(), "settings.yaml")
		require.NoError(t, os.WriteFile(path, []byte(body), 0o600))
		args = append(args, "--config", path)
	}
	parser, err := config.New("sample", "a sample", &s)
	require.NoError(t, err)
	_, err = parser.Parse(args)
	return s, err
}

func TestParse_Order(t *testing.T) {
	s, err := parse(t, "")
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:1", s.HTTPAddr)
	require.Equal(t, time.Second, s.Wait)

	s, err = parse(t, "http_addr: 127.0.0.1:2\nwait: 5s\n")
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:2", s.HTTPAddr)
	require.Equal(t, 5*time.Second, s.Wait)

	t.Setenv("SLUICE_SAMPLE_ADDR", "127.0.0.1:3")
	s, err = parse(t, "http_addr: 127.0.0.1:2\n")
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:3", s.HTTPAddr, "the environment wins over the file")

	s, err = parse(t, "http_addr: 127.0.0.1:2\n", "--http-addr", "127.0.0.1:4")
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:4", s.HTTPAddr, "a flag wins over all")
}

func TestParse_Faults(t *testing.T) {
	t.Parallel()
	_, err := parse(t, "httpaddr: x\nwate: 1s\n")
	require.ErrorContains(t, err, `unknown key "httpaddr"`)
	require.ErrorContains(t, err, `unknown key "wate"`)
	_, err = parse(t, "wait: soon\n")
	require.Error(t, err)
	_, err = parse(t, "just text")
	require.Error(t, err)
	_, err = parse(t, "wait: 1s\n---\nwate: 1s\n")
	require.ErrorContains(t, err, "one YAML document", "nothing in a file is passed over")
	_, err = parse(t, "", "--nope")
	require.Error(t, err)
	_, err = parse(t, "# nothing\n")
	require.NoError(t, err)
}

func TestReference(t *testing.T) {
	t.Parallel()
	parser, err := config.New("sample", "", &sample{})
	require.NoError(t, err)
	require.Contains(t, config.Reference(parser.Model), "| `--http-addr` | `SLUICE_SAMPLE_ADDR` | `127.0.0.1:1` | Where to listen. |\n")
}

// TestSecrets are refused on the command line, and taken from the environment and the file.
func TestSecrets(t *testing.T) {
	type target struct {
		config.File
		Key     string `env:"TEST_SECRET_KEY" secret:""`
		Address string `env:"TEST_SECRET_ADDRESS" secret:"url"`
	}
	parse := func(c *target, args ...string) error {
		parser, err := config.New("x", "", c)
		require.NoError(t, err)
		_, err = parser.Parse(args)
		return err
	}
	for _, args := range [][]string{{"--key=k"}, {"--key", "k"}, {"--address=postgres://u:p@h/d"}} {
		err := parse(&target{}, args...)
		require.ErrorContains(t, err, "TEST_SECRET_")
		require.NotContains(t, err.Error(), "p@h")
	}
	var c target
	require.NoError(t, parse(&c, "--address=postgres://u@h/d"))
	require.Equal(t, "postgres://u@h/d", c.Address)
	file := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(file, []byte("key: k\naddress: postgres://u:p@h/d\n"), 0o600))
	c = target{}
	require.NoError(t, parse(&c, "--config="+file))
	require.Equal(t, "k", c.Key)
	t.Setenv("TEST_SECRET_KEY", "e")
	t.Setenv("TEST_SECRET_ADDRESS", "postgres://u:p@h/e")
	c = target{}
	require.NoError(t, parse(&c))
	require.Equal(t, "e", c.Key)
	require.Equal(t, "postgres://u:p@h/e", c.Address)
}

// TestSecrets_File are files of their own, as container engines, Kubernetes and systemd hand secrets out.
func TestSecrets_File(t *testing.T) {
	type target struct {
		config.File
		Key   string `env:"TEST_FILE_KEY" secret:"" required:""`
		Plain string `env:"TEST_FILE_PLAIN"`
	}
	parse := func(args ...string) (target, error) {
		var c target
		parser, err := config.New("x", "", &c)
		require.NoError(t, err)
		_, err = parser.Parse(args)
		return c, err
	}
	dir := t.TempDir()
	file, settings := filepath.Join(dir, "key"), filepath.Join(dir, "settings.yaml")
	require.NoError(t, os.WriteFile(file, []byte("from a file\n"), 0o600))
	require.NoError(t, os.WriteFile(settings, []byte("key: from the settings\n"), 0o600))
	t.Setenv("TEST_FILE_KEY_FILE", file)
	t.Setenv("TEST_FILE_PLAIN_FILE", file)
	c, err := parse("--config", settings)
	require.NoError(t, err)
	require.Equal(t, target{Key: "from a file", File: c.File}, c, "it wins over the settings file; only secrets have one")
	t.Setenv("TEST_FILE_KEY", "k")
	_, err = parse()
	require.ErrorContains(t, err, "both TEST_FILE_KEY and TEST_FILE_KEY_FILE are set")
	t.Setenv("TEST_FILE_KEY", "")
	t.Setenv("TEST_FILE_KEY_FILE", file+".none")
	_, err = parse()
	require.ErrorContains(t, err, "TEST_FILE_KEY_FILE: open "+file+".none")
}
