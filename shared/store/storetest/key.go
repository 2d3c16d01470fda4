package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

func newKey(t *testing.T, s *store.Store, tenant string, scopes ...completion.Scope) (completion.Key, string) {
	t.Helper()
	k, secret := completion.NewKey(tenant, scopes, now())
	k.Name, k.ExpiresAt = "laptop \x00", now().Add(time.Hour)
	require.NoError(t, s.AddKey(t.Context(), k))
	return k, secret
}

func keyRoundTrip(t *testing.T, s *store.Store) {
	ours, _ := newKey(t, s, "acme", completion.ScopeRead, completion.ScopeSubmit)
	bare, _ := completion.NewKey("acme", nil, now())
	require.NoError(t, s.AddKey(t.Context(), bare))
	theirs, _ := newKey(t, s, "other", completion.ScopeAdmin)
	ours.Name, theirs.Name = "laptop \uFFFD", "laptop \uFFFD"
	keys, err := s.Keys(t.Context(), "acme")
	require.NoError(t, err)
	require.ElementsMatch(t, []completion.Key{ours, bare}, keys)
	keys, err = s.Keys(t.Context(), "")
	require.NoError(t, err)
	require.ElementsMatch(t, []completion.Key{ours, bare, theirs}, keys)
	require.Error(t, s.AddKey(t.Context(), ours), "a key is added once")
}

func keyUse(t *testing.T, s *store.Store) {
	k, secret := newKey(t, s, "acme", completion.ScopeRead)
	at := now().Add(time.Minute)
	used, err := s.UseKey(t.Context(), completion.HashSecret(secret), at)
	require.NoError(t, err)
	require.Equal(t, k.ID, used.ID)
	require.Equal(t, at, used.LastUsedAt)
	keys, err := s.Keys(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, at, keys[0].LastUsedAt)
	for _, wrong := range []string{"", "x", secret, completion.HashSecret(secret + "x")} {
		_, err = s.UseKey(t.Context(), wrong, at)
		require.ErrorIs(t, err, completion.ErrNotFound, wrong)
	}
}

func keyGrant(t *testing.T, s *store.Store) {
	k, secret := newKey(t, s, "acme", completion.ScopeRead)
	_, other := newKey(t, s, "acme", completion.ScopeRead)
	require.NoError(t, s.GrantKey(t.Context(), k.ID, completion.Scopes))
	used, err := s.UseKey(t.Context(), completion.HashSecret(secret), now())
	require.NoError(t, err)
	require.Equal(t, completion.Scopes, used.Scopes)
	used, err = s.UseKey(t.Context(), completion.HashSecret(other), now())
	require.NoError(t, err)
	require.Equal(t, []completion.Scope{completion.ScopeRead}, used.Scopes, "the others stay as they are")
	require.ErrorIs(t, s.GrantKey(t.Context(), "key_0", completion.Scopes), completion.ErrNotFound)
}

func keyRevoke(t *testing.T, s *store.Store) {
	k, secret := newKey(t, s, "acme", completion.ScopeRead)
	_, err := s.RevokeKey(t.Context(), "other", k.ID, now())
	require.ErrorIs(t, err, completion.ErrNotFound)
	used, err := s.UseKey(t.Context(), completion.HashSecret(secret), now())
	require.NoError(t, err)
	require.True(t, used.Usable(now()), "another tenant's revocation does nothing")

	first := now()
	for _, at := range []time.Time{first, first.Add(time.Hour)} {
		revoked, err := s.RevokeKey(t.Context(), "acme", k.ID, at)
		require.NoError(t, err)
		require.Equal(t, first, revoked.RevokedAt)
	}
	used, err = s.UseKey(t.Context(), completion.HashSecret(secret), now())
	require.NoError(t, err)
	require.False(t, used.Usable(now()))
	_, err = s.RevokeKey(t.Context(), "acme", "key_none", now())
	require.ErrorIs(t, err, completion.ErrNotFound)
}

func limitsSet(t *testing.T, s *store.Store) {
	all, err := s.Limits(t.Context())
	require.NoError(t, err)
	require.Empty(t, all)
	every := completion.Limits{SubmitsPerSecond: 0.5, Queued: 1, Running: 2, BodyBytes: 3, Streams: 4}
	require.NoError(t, s.SetLimits(t.Context(), completion.EveryTenant, every, now()))
	require.NoError(t, s.SetLimits(t.Context(), "acme", every, now()))
	require.NoError(t, s.SetLimits(t.Context(), "acme", completion.Limits{Running: 9}, now()))
	all, err = s.Limits(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]completion.Limits{completion.EveryTenant: every, "acme": {Running: 9}}, all)
}
