package standalone

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReachable(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"http://[::]:8080": "http://127.0.0.1:8080", "nats://0.0.0.0:4222": "nats://127.0.0.1:4222", "ws://0.0.0.0:8081": "ws://127.0.0.1:8081",
		"https://10.0.0.1:8443": "https://10.0.0.1:8443", "http://[::1]:8080": "http://[::1]:8080", "": "",
	} {
		require.Equal(t, want, reachable(address))
	}
}
