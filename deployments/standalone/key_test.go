package standalone

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/api"
	"sluice/shared/completion"
	"sluice/shared/store"
	"sluice/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The local key may do everything, also one that was made when there was less to do, and in a database that was lost.
func TestLocalKey_HasAllScopes(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, s *store.Store, secret string){
		"lost": func(*testing.T, *store.Store, string) {},
		"older": func(t *testing.T, s *store.Store, secret string) {
			old := completion.KeyOf(secret, "local", []completion.Scope{completion.ScopeSubmit, completion.ScopeRead, completion.ScopeAdmin}, time.Now())
			require.NoError(t, s.AddKey(t.Context(), old))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := store.New(testkit.SQLite(t), store.Options{})
			c := Config{Config: api.Config{Tenant: "local", Auth: "on"}, DataDir: t.TempDir()}
			_, secret := completion.NewKey("local", nil, time.Now())
			require.NoError(t, os.WriteFile(filepath.Join(c.DataDir, KeyFile), []byte(secret), 0o600))
			prepare(t, s, secret)
			for range 2 {
				got, err := localKey(t.Context(), s, c)
				require.NoError(t, err)
				require.Equal(t, secret, got)
				keys, err := s.Keys(t.Context(), "local")
				require.NoError(t, err)
				require.Len(t, keys, 1)
				require.Equal(t, completion.Scopes, keys[0].Scopes)
			}
		})
	}
}
