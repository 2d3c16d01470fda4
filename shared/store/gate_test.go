package store

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func TestGates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g gates
		a, b := completion.Ref{Tenant: "t", Job: "a"}, completion.Ref{Tenant: "u", Job: "a"}
		leave, err := g.enter(t.Context(), a)
		require.NoError(t, err)
		var order []int
		for i := range 3 {
			go func() {
				if leave, err := g.enter(t.Context(), a); err == nil {
					order = append(order, i)
					leave()
				}
			}()
			synctest.Wait()
		}
		impatient, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := g.enter(impatient, a)
			gone <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-gone, context.Canceled)
		other, err := g.enter(t.Context(), b)
		require.NoError(t, err, "another tenant's conversation")
		other()
		require.Empty(t, order, "somebody is inside")
		leave()
		synctest.Wait()
		require.Equal(t, []int{0, 1, 2}, order)
		require.Empty(t, g.open, "nothing is left behind")
	})
}
