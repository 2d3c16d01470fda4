package telemetry_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/telemetry"
)

func TestBuild_String(t *testing.T) {
	t.Parallel()
	const revision = "0123456789abcdef0123456789abcdef01234567"
	for want, b := range map[string]telemetry.Build{
		"v1.2.3 (go1.26.8)":                                  {Version: "v1.2.3", Go: "go1.26.8"},
		"v1.2.3 (revision 0123456789ab, go1.26.8)":           {Version: "v1.2.3", Go: "go1.26.8", Revision: revision},
		"dev (revision 0123456789ab with changes, go1.26.8)": {Version: "dev", Go: "go1.26.8", Revision: revision, Modified: true},
		"dev (revision 0123, go1.26.8)":                      {Version: "dev", Go: "go1.26.8", Revision: "0123"},
	} {
		require.Equal(t, want, b.String())
	}
}
