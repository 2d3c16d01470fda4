package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// shelf keeps keys, and counts how often it is asked.
type shelf struct {
	mu    sync.Mutex
	keys  map[string]completion.Key
	asked int
	away  error

	silence time.Duration
}

func (s *shelf) UseKey(_ context.Context, hash string, at time.Time) (completion.Key, error) {
	time.Sleep(s.silence) // a slow database: the fake clock's time, and no time in tests that set no silence
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.away != nil {
		return completion.Key{}, s.away
	}
	k, ok := s.keys[hash]
	if !ok {
		return completion.Key{}, fmt.Errorf("use: %w", completion.ErrNotFound)
	}
	k.LastUsedAt = at
	return k, nil
}

func (s *shelf) set(secret string, change func(*completion.Key)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[completion.HashSecret(secret)]
	change(&k)
	s.keys[completion.HashSecret(secret)] = k
}

func setup(scopes ...completion.Scope) (*Guard, *shelf, string) {
	k, secret := completion.NewKey("acme", scopes, time.Now())
	s := &shelf{keys: map[string]completion.Key{k.Hash: k}}
	return New(s, "", slog.New(slog.DiscardHandler)), s, secret
}

func requireCode(t *testing.T, code completion.Code, err error) {
	t.Helper()
	var e *completion.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code)
}

func TestGuard_Check(t *testing.T) {
	t.Parallel()
	g, s, secret := setup(completion.ScopeRead)
	for _, header := range []string{"Bearer " + secret, "bearer  " + secret} {
		c, err := g.Check(t.Context(), header, completion.ScopeRead)
		require.NoError(t, err)
		require.Equal(t, "acme", c.Tenant)
	}
	require.Equal(t, 1, s.asked, "the second check is answered from memory")
	_, err := g.Check(t.Context(), "Bearer "+secret, completion.ScopeSubmit)
	requireCode(t, completion.CodeScope, err)
	for _, header := range []string{"", "Bearer", "Bearer ", secret, "Basic " + secret, "Bearer x" + secret, "Bearer " + secret + "x", "Bearer " + strings.Repeat("x", 300)} {
		_, err := g.Check(t.Context(), header, completion.ScopeRead)
		requireCode(t, completion.CodeNoKey, err)
		require.NotContains(t, err.Error(), secret)
	}
}

func TestGuard_Open(t *testing.T) {
	t.Parallel()
	g := New(nil, "local", slog.New(slog.DiscardHandler))
	c, err := g.Check(t.Context(), "", completion.ScopeAdmin)
	require.NoError(t, err)
	require.Equal(t, "local", c.Tenant)
	require.NoError(t, g.Still(t.Context(), c))
}

// A revocation takes effect within ten seconds, for requests and for what is under way.
func TestGuard_I8_Revocation(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*completion.Key){
		"Revoked": func(k *completion.Key) { k.RevokedAt = time.Now() },
		"Expired": func(k *completion.Key) { k.ExpiresAt = time.Now() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g, s, secret := setup(completion.ScopeRead)
				c, err := g.Check(t.Context(), "Bearer "+secret, completion.ScopeRead)
				require.NoError(t, err)
				s.set(secret, end)
				time.Sleep(10 * time.Second) // the fake clock passes the time for which an answer is believed
				_, err = g.Check(t.Context(), "Bearer "+secret, completion.ScopeRead)
				requireCode(t, completion.CodeNoKey, err)
				requireCode(t, completion.CodeNoKey, g.Still(t.Context(), c))
			})
		})
	}
}

func TestGuard_ExpiresWhileRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, s, secret := setup(completion.ScopeRead)
		s.set(secret, func(k *completion.Key) { k.ExpiresAt = time.Now().Add(time.Second) })
		_, err := g.Check(t.Context(), "Bearer "+secret, completion.ScopeRead)
		require.NoError(t, err)
		time.Sleep(time.Second) // the fake clock reaches the key's expiry
		_, err = g.Check(t.Context(), "Bearer "+secret, completion.ScopeRead)
		requireCode(t, completion.CodeNoKey, err)
	})
}

func TestGuard_StoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, s, secret := setup(completion.ScopeRead)
		c, err := g.Check(t.Context(), "Bearer "+secret, completion.ScopeRead)
		require.NoError(t, err)
		time.Sleep(fresh) // the fake clock passes the time for which an answer is believed
		s.away = completion.NewError(completion.CodeUnavailable, "").Because(errors.New("away"))
		_, err = g.Check(t.Context(), "Bearer "+secret, completion.ScopeRead)
		requireCode(t, completion.CodeUnavailable, err)
		require.NoError(t, g.Still(t.Context(), c), "what runs goes on")
		s.away = nil
		_, err = g.Check(t.Context(), "Bearer "+secret, completion.ScopeRead)
		require.NoError(t, err)
	})
}

// Requests that come while the store does not answer wait for it together, not one after the other.
func TestGuard_StoreSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, s, secret := setup(completion.ScopeRead)
		s.away, s.silence = completion.NewError(completion.CodeUnavailable, ""), 10*time.Second
		began := time.Now()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				_, err := g.Check(t.Context(), "Bearer "+secret, completion.ScopeRead)
				requireCode(t, completion.CodeUnavailable, err)
			})
		}
		all.Wait()
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Equal(t, 1, s.asked)
	})
}

// Many requests with one key cost one read, and guesses are forgotten.
func TestGuard_ManyAtOnce(t *testing.T) {
	t.Parallel()
	g, s, secret := setup(completion.ScopeRead)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			_, err := g.Check(context.Background(), "Bearer "+secret, completion.ScopeRead)
			if err != nil {
				panic(err)
			}
		})
	}
	all.Wait()
	require.Equal(t, 1, s.asked)
	for i := range remembered + 10 {
		_, err := g.Check(t.Context(), fmt.Sprintf("Bearer guess %d", i), completion.ScopeRead)
		requireCode(t, completion.CodeNoKey, err)
	}
	require.LessOrEqual(t, len(g.known), remembered)
}

// FuzzGuard_Check shows any header: only the key itself opens anything, and only for its scope.
func FuzzGuard_Check(f *testing.F) {
	g, _, secret := setup(completion.ScopeRead)
	for _, header := range []string{"", "Bearer", "Bearer " + secret, "bearer " + secret, "Bearer  " + secret + " ", "Basic " + secret, secret, "Bearer\t" + secret, "Bearer " + secret + "\x00", "Bearer \xff"} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		c, err := g.Check(t.Context(), header, completion.ScopeRead)
		kind, rest, _ := strings.Cut(header, " ")
		if strings.EqualFold(kind, "Bearer") && strings.TrimSpace(rest) == secret {
			require.NoError(t, err)
			require.Equal(t, "acme", c.Tenant)
			_, err = g.Check(t.Context(), header, completion.ScopeSubmit)
			requireCode(t, completion.CodeScope, err)
			return
		}
		requireCode(t, completion.CodeNoKey, err)
		require.Empty(t, c)
	})
}
