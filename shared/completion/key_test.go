package completion_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func TestKey_New(t *testing.T) {
	t.Parallel()
	at := time.Now()
	k, secret := completion.NewKey("acme", []completion.Scope{completion.ScopeRead}, at)
	require.Regexp(t, `^sk-sluice-[a-z2-7]{52}$`, secret)
	require.Equal(t, completion.HashSecret(secret), k.Hash)
	require.NotContains(t, k.Hash, secret)
	require.Equal(t, secret[len(secret)-4:], k.Hint)
	require.Regexp(t, `^key_[0-9a-f]{32}$`, k.ID)
	_, other := completion.NewKey("acme", nil, at)
	require.NotEqual(t, secret, other)
	require.Equal(t, "abc", func() string { k := completion.KeyOf("abc", "acme", nil, at); return k.Hint }())
}

func TestKey_Usable(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		key  completion.Key
		want bool
	}{
		"Plain":   {completion.Key{}, true},
		"Expires": {completion.Key{ExpiresAt: now.Add(time.Second)}, true},
		"Expired": {completion.Key{ExpiresAt: now}, false},
		"Revoked": {completion.Key{RevokedAt: now, ExpiresAt: now.Add(time.Second)}, false},
	} {
		require.Equal(t, c.want, c.key.Usable(now), name)
	}
	k := completion.Key{Scopes: []completion.Scope{completion.ScopeRead}}
	require.True(t, k.Allows(completion.ScopeRead))
	require.False(t, k.Allows(completion.ScopeSubmit))
	require.False(t, k.Allows(completion.ScopeAdmin))
}

func TestLimits_Validate(t *testing.T) {
	t.Parallel()
	require.NoError(t, completion.Limits{}.Validate())
	err := completion.Limits{SubmitsPerSecond: math.NaN(), Queued: -1, Running: -1, BodyBytes: -1, Streams: -1}.Validate()
	for _, name := range []string{"submits per second", "queued", "running", "body bytes", "streams"} {
		require.ErrorContains(t, err, name)
	}
}
