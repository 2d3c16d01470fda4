package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// upload adds a file that is ready.
func upload(t *testing.T, s *store.Store, change ...func(*completion.File)) completion.File {
	t.Helper()
	f := completion.File{ID: completion.NewFileID(), Tenant: "acme", Name: "in.jsonl", Purpose: completion.PurposeBatch, CreatedAt: now()}
	for _, c := range change {
		c(&f)
	}
	require.NoError(t, s.AddFile(t.Context(), f))
	f, err := s.ReadyFile(t.Context(), f.Tenant, f.ID, 7)
	require.NoError(t, err)
	return f
}

func fileIDs(list []completion.File) []string {
	all := []string{}
	for _, f := range list {
		all = append(all, f.ID)
	}
	return all
}

func doomed(t *testing.T, s *store.Store, at time.Time) []string {
	t.Helper()
	list, err := s.DoomedFiles(t.Context(), at, 100)
	require.NoError(t, err)
	return fileIDs(list)
}

func fileRoundTrip(t *testing.T, s *store.Store) {
	at := now()
	f := completion.File{ID: completion.NewFileID(), Tenant: "acme", Name: "a\x00é.jsonl", Purpose: completion.PurposeBatchOutput, Batch: "batch_1", CreatedAt: at, ExpiresAt: at.Add(time.Hour)}
	early := f
	early.Name, early.Purpose, early.ExpiresAt = "x", "", time.Time{}
	require.NoError(t, s.AddFile(t.Context(), early))
	require.ErrorIs(t, s.DescribeFile(t.Context(), completion.File{ID: f.ID, Tenant: "other"}), completion.ErrNotFound)
	require.NoError(t, s.DescribeFile(t.Context(), f))
	_, err := s.File(t.Context(), "acme", f.ID, at)
	require.ErrorIs(t, err, completion.ErrNotFound, "its content has not come")
	_, err = s.ReadyFile(t.Context(), "other", f.ID, 5)
	require.ErrorIs(t, err, completion.ErrNotFound)
	ready, err := s.ReadyFile(t.Context(), "acme", f.ID, 5<<32)
	require.NoError(t, err)
	f.Bytes, f.Name = 5<<32, "a\uFFFDé.jsonl"
	require.Equal(t, f, ready)
	require.ErrorIs(t, s.DescribeFile(t.Context(), early), completion.ErrNotFound, "it is ready")
	got, err := s.File(t.Context(), "acme", f.ID, at)
	require.NoError(t, err)
	require.Equal(t, f, got)
	_, err = s.File(t.Context(), "other", f.ID, at)
	require.ErrorIs(t, err, completion.ErrNotFound, "I8")
	_, err = s.File(t.Context(), "acme", f.ID, f.ExpiresAt)
	require.ErrorIs(t, err, completion.ErrNotFound, "expired")
}

func fileList(t *testing.T, s *store.Store) {
	at := now()
	var want []string
	for i := range 5 {
		f := upload(t, s, func(f *completion.File) {
			f.ID = fmt.Sprintf("file-%d", i)
			if i == 3 {
				f.Purpose = completion.PurposeVision
			}
		})
		want = append(want, f.ID)
	}
	upload(t, s, func(f *completion.File) { f.ExpiresAt = at })
	upload(t, s, func(f *completion.File) { f.Tenant = "other" })
	require.NoError(t, s.AddFile(t.Context(), completion.File{ID: "file-unready", Tenant: "acme", CreatedAt: at}))
	for name, row := range map[string]struct {
		query store.FileQuery
		want  []string
		more  bool
	}{
		"All":     {store.FileQuery{}, want, false},
		"Limit":   {store.FileQuery{Limit: 2}, want[:2], true},
		"After":   {store.FileQuery{Limit: 3, After: want[1]}, want[2:], false},
		"Newest":  {store.FileQuery{Newest: true, Limit: 2, After: want[4]}, []string{want[3], want[2]}, true},
		"Purpose": {store.FileQuery{Purpose: completion.PurposeVision, Limit: 100_000}, want[3:4], false},
	} {
		page, more, err := s.ListFiles(t.Context(), "acme", row.query, at)
		require.NoError(t, err, name)
		require.Equal(t, row.want, fileIDs(page), name)
		require.Equal(t, row.more, more, name)
	}
}

func fileDelete(t *testing.T, s *store.Store) {
	f, at := upload(t, s), now()
	_, err := s.DeleteFile(t.Context(), "other", f.ID, at)
	require.ErrorIs(t, err, completion.ErrNotFound)
	b := begin(t, s, func(b *completion.Batch) { b.Input = f.ID })
	_, err = s.DeleteFile(t.Context(), "acme", f.ID, at)
	requireCode(t, err, completion.CodeFileInUse)
	require.Empty(t, doomed(t, s, at))
	b = take(t, s, b)
	require.NoError(t, s.MoveBatch(t.Context(), &b, completion.BatchFailed, at))
	gone, err := s.DeleteFile(t.Context(), "acme", f.ID, at)
	require.NoError(t, err)
	require.Equal(t, f, gone)
	_, err = s.DeleteFile(t.Context(), "acme", f.ID, at)
	require.ErrorIs(t, err, completion.ErrNotFound)
	page, _, err := s.ListFiles(t.Context(), "acme", store.FileQuery{}, at)
	require.NoError(t, err)
	require.Empty(t, page)
	for range 2 {
		require.Equal(t, []string{f.ID}, doomed(t, s, at), "until it is dropped")
	}
	require.NoError(t, s.DropFile(t.Context(), "other", f.ID))
	require.Equal(t, []string{f.ID}, doomed(t, s, at), "another tenant's word counts for nothing")
	for range 2 {
		require.NoError(t, s.DropFile(t.Context(), "acme", f.ID))
	}
	require.Empty(t, doomed(t, s, at))
}

func fileDoomed(t *testing.T, s *store.Store) {
	at := now()
	upload(t, s)
	upload(t, s, func(f *completion.File) { f.CreatedAt = at.Add(-time.Hour * 24 * 365) })
	old := upload(t, s, func(f *completion.File) { f.ExpiresAt = at })
	read := upload(t, s, func(f *completion.File) { f.ExpiresAt = at.Add(time.Second) })
	b := begin(t, s, func(b *completion.Batch) { b.Input = read.ID })
	fresh := completion.File{ID: completion.NewFileID(), Tenant: "acme", CreatedAt: at}
	stuck := completion.File{ID: completion.NewFileID(), Tenant: "acme", CreatedAt: at.Add(-store.UploadTime)}
	require.NoError(t, s.AddFile(t.Context(), fresh))
	require.NoError(t, s.AddFile(t.Context(), stuck))
	require.ElementsMatch(t, []string{old.ID, stuck.ID}, doomed(t, s, at))
	_, err := s.ReadyFile(t.Context(), "acme", stuck.ID, 1)
	require.ErrorIs(t, err, completion.ErrNotFound, "too late: its content is being deleted")
	require.NotContains(t, doomed(t, s, at.Add(time.Second)), read.ID)
	b = take(t, s, b)
	require.NoError(t, s.MoveBatch(t.Context(), &b, completion.BatchFailed, at))
	require.Contains(t, doomed(t, s, at.Add(time.Second)), read.ID)
	some, err := s.DoomedFiles(t.Context(), at, 1)
	require.NoError(t, err)
	require.Len(t, some, 1)
}

// fileAgainstBatch: a batch has its input, or is not made.
func fileAgainstBatch(t *testing.T, s *store.Store) {
	for i := range 20 {
		f := upload(t, s, func(f *completion.File) { f.ExpiresAt = now().Add(time.Minute) })
		b := newBatch(func(b *completion.Batch) { b.Input = f.ID })
		var addErr, goErr error
		var gone []string
		var wg sync.WaitGroup
		wg.Go(func() { _, _, addErr = s.AddBatch(t.Context(), b) })
		wg.Go(func() {
			if i%2 == 0 {
				_, goErr = s.DeleteFile(t.Context(), "acme", f.ID, now())
				return
			}
			var list []completion.File
			list, goErr = s.DoomedFiles(t.Context(), f.ExpiresAt, 100)
			gone = fileIDs(list)
		})
		wg.Wait()
		switch {
		case i%2 == 0 && addErr == nil:
			requireCode(t, goErr, completion.CodeFileInUse)
		case i%2 == 0:
			require.ErrorIs(t, addErr, completion.ErrNotFound)
			require.NoError(t, goErr)
		case addErr == nil:
			require.NoError(t, goErr)
			require.NotContains(t, gone, f.ID)
		default:
			require.ErrorIs(t, addErr, completion.ErrNotFound)
			require.True(t, slices.Contains(gone, f.ID))
		}
	}
}
