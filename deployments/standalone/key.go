package standalone

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/store"
)

// natsKeys is the folder of NATS' accounts and keys, in the data folder.
const natsKeys = "nats-keys"

// KeyFile is the file in the data folder that has the local tenant's API key.
const KeyFile = "api-key"

// localKey returns the API key of the local tenant, with all scopes, those too that came after the key. It makes one at the
// first start, and makes it known again if the database was lost.
func localKey(ctx context.Context, s *store.Store, c Config) (string, error) {
	if !c.NeedsKeys() {
		return "", nil
	}
	path := filepath.Join(c.DataDir, KeyFile)
	text, err := os.ReadFile(path)
	secret, now := strings.TrimSpace(string(text)), time.Now()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, secret = completion.NewKey(c.Tenant, nil, now)
		if err := credential.WriteSecret(path, []byte(secret)); err != nil {
			return "", fmt.Errorf("keep the local API key: %w", err)
		}
	case err != nil:
		return "", fmt.Errorf("read the local API key: %w", err)
	case secret == "":
		return "", fmt.Errorf("read the local API key: %s is empty; delete it to have a new one", path)
	}
	known, err := s.UseKey(ctx, completion.HashSecret(secret), now)
	switch {
	case errors.Is(err, completion.ErrNotFound):
		k := completion.KeyOf(secret, c.Tenant, completion.Scopes, now)
		k.Name = "local"
		err = s.AddKey(ctx, k)
	case err == nil && !slices.Equal(known.Scopes, completion.Scopes):
		err = s.GrantKey(ctx, known.ID, completion.Scopes)
	}
	if err != nil {
		return "", fmt.Errorf("make the local API key known: %w", err)
	}
	return secret, nil
}
