package main

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/migrations"
	"sluice/shared/embedded"
)

// tenants is a database of a test's own, and a way to say sluice tenants to it.
func tenants(t *testing.T) func(args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	db, err := embedded.OpenSQLite(filepath.Join(dir, "sluice.db"))
	require.NoError(t, err)
	_, err = migrations.Up(t.Context(), db)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	return func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(context.Background(), slices.Concat([]string{"tenants"}, args, []string{"--data-dir", dir}), &terminal{out: &out, err: &out})
		return out.String(), err
	}
}

func TestTenants_Preset(t *testing.T) {
	t.Parallel()
	say := tenants(t)
	for _, step := range []struct {
		args []string
		want string
	}{
		{nil, `{}`},
		{[]string{"--parameters", `{"model":"m","temperature":0,"stop":[]}`}, `{"parameters":{"model":"m","temperature":0,"stop":[]}}`},
		{[]string{"--system", "Be <brief>."}, `{"system":"Be <brief>.","parameters":{"model":"m","temperature":0,"stop":[]}}`},
		{[]string{"--parameters", `{"seed":1}`}, `{"system":"Be <brief>.","parameters":{"seed":1}}`},
		{[]string{"--system", ""}, `{"parameters":{"seed":1}}`},
		{nil, `{"parameters":{"seed":1}}`},
		{[]string{"--clear"}, `{}`},
		{nil, `{}`},
	} {
		out, err := say(append([]string{"preset", "acme"}, step.args...)...)
		require.NoError(t, err, step.args)
		require.JSONEq(t, step.want, out, step.args)
	}
	_, err := say("preset", "*", "--system", "Be kind.")
	require.NoError(t, err)
	out, err := say("preset", "acme")
	require.NoError(t, err)
	require.JSONEq(t, `{}`, out, "what is set for all is not the tenant's own")
}

func TestTenants_Preset_Faults(t *testing.T) {
	t.Parallel()
	say := tenants(t)
	for said, args := range map[string][]string{
		`tenant "A b"`:                      {"A b"},
		"name nothing else":                 {"acme", "--clear", "--system", "x"},
		"(parameters.temperature)":          {"acme", "--parameters", `{"temperature":3,"top_p":2}`},
		"(parameters.top_p)":                {"acme", "--parameters", `{"temperature":3,"top_p":2}`},
		"parameters.seed: a string":         {"acme", "--parameters", `{"seed":"x"}`},
		`parameters: json: unknown field "`: {"acme", "--parameters", `{"tempo":1}`},
		"parameters: unexpected EOF":        {"acme", "--parameters", `{`},
		"parameters: more than one":         {"acme", "--parameters", `{} {}`},
		"parameters: json: cannot":          {"acme", "--parameters", `7`},
	} {
		_, err := say(append([]string{"preset"}, args...)...)
		require.ErrorContains(t, err, said, "%q", args)
		var exit *exitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 2, exit.status, args)
	}
	out, err := say("preset", "acme")
	require.NoError(t, err)
	require.JSONEq(t, `{}`, out)
}

func TestTenants_Completions(t *testing.T) {
	t.Parallel()
	say := tenants(t)
	for _, step := range []struct{ args, want string }{
		{"--completions-per-day=7", `acme( +-){5} +7 +- +-`},
		{"--completions=8", `acme( +-){5} +7 +8 +-`},
		{"--owner-completions-per-day=9", `acme( +-){5} +7 +8 +9`},
		{"--completions-per-day=0", `acme( +-){5} +- +8 +9`},
	} {
		out, err := say("set", "acme", step.args)
		require.NoError(t, err)
		require.Regexp(t, step.want, out)
	}
	for flag, said := range map[string]string{
		"--completions-per-day=-1": "completions per day -1", "--completions=-2": "completions -2", "--owner-completions-per-day=-3": "owner completions per day -3",
	} {
		_, err := say("set", "acme", flag)
		require.ErrorContains(t, err, said)
	}
}
