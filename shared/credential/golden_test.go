package credential_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/testkit/golden"
)

// TestGolden_Roles are the rights that sluice nats init writes into the programs' credentials. A release that needs more
// than an older one has written needs new credentials, and its upgrade notes have to say so.
func TestGolden_Roles(t *testing.T) {
	t.Parallel()
	a, err := credential.New(credential.Limits{})
	require.NoError(t, err)
	rights := map[credential.Role]jwt.Permissions{}
	for role, creds := range a.Users {
		token, err := jwt.ParseDecoratedJWT(creds)
		require.NoError(t, err)
		claims, err := jwt.DecodeUserClaims(token)
		require.NoError(t, err)
		rights[role] = claims.Permissions
	}
	written, err := json.Marshal(rights)
	require.NoError(t, err)
	golden.Check(t, "roles", written, func(t testing.TB, data []byte) { require.NotEmpty(t, data) })
}

// TestGolden_Viewer are the tags of a viewer's credential, which the signing keys' templates of whatever release made the
// accounts look for, and those templates.
func TestGolden_Viewer(t *testing.T) {
	t.Parallel()
	a, err := credential.New(credential.Limits{})
	require.NoError(t, err)
	m, err := credential.NewMinter(a.Signing)
	require.NoError(t, err)
	account, err := jwt.DecodeAccountClaims(a.Viewers.JWT)
	require.NoError(t, err)
	stream, err := m.Stream(completion.Ref{Tenant: "acme", Job: "job_1"}, time.Now().Add(time.Minute))
	require.NoError(t, err)
	tenant, err := m.Tenant("acme", time.Now().Add(time.Minute))
	require.NoError(t, err)
	type scope struct {
		Tags     jwt.TagList     `json:"tags"`
		Template jwt.Permissions `json:"template"`
	}
	scopes := map[string]scope{}
	for name, c := range map[string]credential.Credential{"stream": stream, "tenant": tenant} {
		claims, err := jwt.DecodeUserClaims(c.Token)
		require.NoError(t, err)
		signer, ok := account.SigningKeys.GetScope(claims.Issuer)
		require.True(t, ok)
		scopes[name] = scope{claims.Tags, signer.(*jwt.UserScope).Template.Permissions}
	}
	written, err := json.Marshal(scopes)
	require.NoError(t, err)
	golden.Check(t, "viewer", written, func(t testing.TB, data []byte) { require.NotEmpty(t, data) })
}

// TestGolden_Signing is the file signing.json, which an api of any release reads.
func TestGolden_Signing(t *testing.T) {
	t.Parallel()
	s := credential.Signing{Account: "A", Stream: "S", Tenant: "T"}
	written, err := json.Marshal(s)
	require.NoError(t, err)
	golden.Check(t, "signing", written, func(t testing.TB, data []byte) {
		var got credential.Signing
		require.NoError(t, json.Unmarshal(data, &got))
		require.Equal(t, s, got)
	})
}
