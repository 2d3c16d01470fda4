package delivery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	require.NoError(t, private().Validate())
	require.NoError(t, Config{}.Validate(), "a process that sends none")
	for want, bad := range map[string]Config{
		"webhook slots -1":       {Slots: -1},
		"webhook timeout 999ms":  {Slots: 1, Timeout: 999 * time.Millisecond},
		"webhook timeout 1m0.1s": {Slots: 1, Timeout: time.Minute + 100*time.Millisecond},
	} {
		require.ErrorContains(t, bad.Validate(), want)
	}
}
