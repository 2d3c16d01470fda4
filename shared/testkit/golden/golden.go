// Package golden holds what one release writes and another one reads, as files: testdata/v1/<name>.json, and v2 and so on
// where a format was changed. Today's writer has to write the newest version, today's reader to read all of them, and what
// is written has to hold all that the oldest version has, for that is what an older reader looks for.
//
// The flag -update writes the first version of a format, and a new version of one that was changed. The older ones stay
// until no release that writes or reads them may run beside today's: then they are deleted by hand.
package golden

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write golden files of formats that are new or changed")

// Check compares what today's writer made of a sample with the versions of its format, and has each of them read. JSON
// is compared byte for byte with the newest version.
func Check(t testing.TB, name string, written []byte, read func(t testing.TB, data []byte)) {
	t.Helper()
	require.True(t, json.Valid(written), "%s is not JSON: %s", name, written)
	versions := versions(t, name)
	if *update && (len(versions) == 0 || string(versions[len(versions)-1].data) != string(written)) {
		versions = append(versions, write(t, name, len(versions)+1, written))
	}
	require.NotEmpty(t, versions, "there is no golden file of %s: -update writes it", name)
	newest := versions[len(versions)-1]
	require.Equal(t, string(newest.data), string(written),
		"the format of %s has changed since %s: releases that read it run beside this one. If they can, -update writes a new version; keep the old one", name, newest.path)
	for _, v := range versions {
		require.NoError(t, lacks(parse(t, v.data), parse(t, written), name), "a reader of %s needs it", v.path)
		read(t, v.data)
	}
}

// version is one golden file.
type version struct {
	number int
	path   string
	data   []byte
}

func versions(t testing.TB, name string) []version {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "v*", name+".json"))
	require.NoError(t, err)
	var list []version
	for _, path := range paths {
		number, err := strconv.Atoi(filepath.Base(filepath.Dir(path))[1:])
		require.NoError(t, err, path)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		list = append(list, version{number, path, data})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].number < list[j].number })
	return list
}

func write(t testing.TB, name string, number int, data []byte) version {
	t.Helper()
	path := filepath.Join("testdata", fmt.Sprintf("v%d", number), name+".json")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return version{number, path, data}
}

func parse(t testing.TB, data []byte) any {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal(data, &v))
	return v
}

// lacks says what of want is missing from have, or is different there. What have has beside it does not matter: readers
// pass over fields that they do not know.
func lacks(want, have any, at string) error {
	switch want := want.(type) {
	case map[string]any:
		fields, ok := have.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %v, no object any more", at, have)
		}
		for key, value := range want {
			field, there := fields[key]
			if !there {
				return fmt.Errorf("%s.%s is not there any more", at, key)
			}
			if err := lacks(value, field, at+"."+key); err != nil {
				return err
			}
		}
	case []any:
		list, ok := have.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Errorf("%s has not the same elements any more", at)
		}
		for i := range want {
			if err := lacks(want[i], list[i], fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	default:
		if !reflect.DeepEqual(want, have) {
			return fmt.Errorf("%s is %v, no longer %v", at, have, want)
		}
	}
	return nil
}
