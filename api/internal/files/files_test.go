package files

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/api/internal/blob"
	"sluice/shared/completion"
	"sluice/shared/store"
	"sluice/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// unlimited is for tenants that may do what they like.
type unlimited struct{}

func (unlimited) Submit(context.Context, string) error { return nil }

// place is a face over a real store and folder.
type place struct {
	*face
	rows *store.Store
	dir  string
}

func setup(t testing.TB) *place {
	t.Helper()
	rows := store.New(testkit.SQLite(t), store.Options{})
	dir := t.TempDir()
	blobs, err := blob.New(blob.Config{Dir: dir})
	require.NoError(t, err)
	return &place{&face{Parts{Store: rows, Blobs: blobs, Limits: unlimited{}, Logger: slog.New(slog.DiscardHandler), Client: time.Minute}}, rows, dir}
}

// contents lists the files on the disk.
func (p *place) contents(t testing.TB) []string {
	t.Helper()
	var all []string
	require.NoError(t, filepath.WalkDir(p.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	}))
	return all
}

// send uploads a body as it is.
func (p *place) send(t testing.TB, kind string, body io.Reader) (completion.File, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/files", body)
	r.Header.Set("Content-Type", kind)
	return p.accept(t.Context(), "acme", r, newBody(httptest.NewRecorder(), r, p.Client))
}

// FuzzForm sends whatever: it is kept as a whole or leaves nothing.
func FuzzForm(f *testing.F) {
	purpose := "--B\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
	file := "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n{}\r\n"
	age := "--B\r\nContent-Disposition: form-data; name=\"expires_after[anchor]\"\r\n\r\ncreated_at\r\n--B\r\nContent-Disposition: form-data; name=\"expires_after[seconds]\"\r\n\r\n3600\r\n"
	for _, s := range []string{purpose + file + "--B--", file + purpose + age + "--B--\r\n", file + "--B--", purpose + file, file + file + "--B--", "--B--", "", purpose + "--B\r\n\r\n\r\n--B--", file + "--B\r\nx"} {
		f.Add([]byte(s))
	}
	p := setup(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		file, err := p.send(t, "multipart/form-data; boundary=B", bytes.NewReader(body))
		if err != nil {
			require.Contains(t, []completion.Code{completion.CodeInvalidRequest, completion.CodeTooLarge}, completion.AsError(err).Code, err)
		} else {
			require.True(t, utf8.ValidString(file.Name))
			require.NotEmpty(t, file.Name)
			require.Contains(t, completion.Uploads, file.Purpose)
			b, err := p.Blobs.Open(t.Context(), blob.Name(file.Tenant, file.ID))
			require.NoError(t, err)
			all, err := io.ReadAll(b)
			require.NoError(t, errors.Join(err, b.Close()))
			require.Len(t, all, int(file.Bytes))
			require.True(t, bytes.Contains(body, all))
			_, err = p.rows.DeleteFile(t.Context(), file.Tenant, file.ID, time.Now())
			require.NoError(t, err)
			require.NoError(t, NewJanitor(p.rows, p.Blobs, p.Logger).round(t.Context()))
		}
		require.Empty(t, p.contents(t))
		left, err := p.rows.DoomedFiles(t.Context(), time.Now().Add(2*store.UploadTime), 10)
		require.NoError(t, err)
		require.Empty(t, left)
	})
}

func TestCleanName(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"a.jsonl": "a.jsonl", `C:\Users\me\a b.txt`: "a b.txt", "/etc/passwd": "passwd", "../../x": "x", "..": "file", ".": "file", "/": "file", `\`: "file", "": "file", "\x00\x1b": "file",
		"a\x00b\r\nc": "abc", "\xff.txt": "\uFFFD.txt", "ru\u202Exe.txt": "ruxe.txt", "é日本.csv": "é日本.csv", "x/": "x", "\u2028": "file",
		strings.Repeat("é", 200): strings.Repeat("é", 127), strings.Repeat("x", 300): strings.Repeat("x", 255),
	} {
		require.Equal(t, want, cleanName(given), "%q", given)
	}
}

// keep uploads a small file.
func (p *place) keep(t *testing.T, content string) completion.File {
	t.Helper()
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	require.NoError(t, m.WriteField("purpose", "batch"))
	part, err := m.CreateFormFile("file", "in.jsonl")
	require.NoError(t, err)
	_, err = part.Write([]byte(content))
	require.NoError(t, errors.Join(err, m.Close()))
	file, err := p.send(t, m.FormDataContentType(), &body)
	require.NoError(t, err)
	return file
}

// The content goes of what was deleted, has expired or never became whole, and of nothing else.
func TestJanitor_RemovesWhatIsGone(t *testing.T) {
	t.Parallel()
	p := setup(t)
	stays, read := p.keep(t, "stays"), p.keep(t, "read")
	var goes []completion.File
	for range pageSize + 1 {
		f := p.keep(t, "x")
		_, err := p.rows.DeleteFile(t.Context(), f.Tenant, f.ID, time.Now())
		require.NoError(t, err)
		goes = append(goes, f)
	}
	old := completion.File{ID: completion.NewFileID(), Tenant: "acme", Name: "x", Purpose: completion.PurposeBatch, CreatedAt: time.Now().Add(-store.UploadTime - time.Minute)}
	young, expired := old, old
	young.ID, young.CreatedAt = completion.NewFileID(), time.Now()
	expired.ID, expired.ExpiresAt = completion.NewFileID(), time.Now().Add(-time.Second)
	for _, f := range []completion.File{old, young, expired} {
		require.NoError(t, p.rows.AddFile(t.Context(), f))
		_, err := p.Blobs.Put(t.Context(), blob.Name(f.Tenant, f.ID), strings.NewReader("x"))
		require.NoError(t, err)
	}
	_, err := p.rows.ReadyFile(t.Context(), expired.Tenant, expired.ID, 1)
	require.NoError(t, err)
	now := time.Now()
	_, _, err = p.rows.AddBatch(t.Context(), completion.Batch{
		ID: completion.NewBatchID(), Tenant: "acme", State: completion.BatchValidating, Endpoint: completion.EndpointChat, Input: read.ID,
		Window: time.Hour.String(), CreatedAt: now, UpdatedAt: now, Deadline: now.Add(time.Hour),
	})
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	for range cap(done) { // several at once are harmless
		go func() { done <- NewJanitor(p.rows, p.Blobs, p.Logger).Run(ctx) }()
	}
	require.Eventually(t, func() bool { return len(p.contents(t)) == 3 }, 30*time.Second, 10*time.Millisecond)
	cancel()
	for range cap(done) {
		require.NoError(t, <-done)
	}
	for _, f := range []completion.File{stays, read, young} {
		b, err := p.Blobs.Open(t.Context(), blob.Name(f.Tenant, f.ID))
		require.NoError(t, err)
		require.NoError(t, b.Close())
	}
	for _, f := range append(goes, old, expired) {
		_, err := p.rows.ReadyFile(t.Context(), f.Tenant, f.ID, 1)
		require.ErrorIs(t, err, completion.ErrNotFound)
	}
}

// brittle cannot delete one file.
type brittle struct {
	blob.Store
	stuck string
}

func (b brittle) Delete(ctx context.Context, name string) error {
	if name == b.stuck {
		return os.ErrPermission
	}
	return b.Store.Delete(ctx, name)
}

// What cannot be removed keeps its row, and does not keep the others.
func TestJanitor_OneIsStuck(t *testing.T) {
	t.Parallel()
	p := setup(t)
	a, b := p.keep(t, "a"), p.keep(t, "b")
	for _, f := range []completion.File{a, b} {
		_, err := p.rows.DeleteFile(t.Context(), f.Tenant, f.ID, time.Now())
		require.NoError(t, err)
	}
	j := NewJanitor(p.rows, brittle{p.Blobs, blob.Name(a.Tenant, a.ID)}, p.Logger)
	require.ErrorIs(t, j.round(t.Context()), os.ErrPermission)
	require.Len(t, p.contents(t), 1)
	j.blobs = p.Blobs
	require.NoError(t, j.round(t.Context()))
	require.Empty(t, p.contents(t))
}

// A store of content that is away is not the client's fault, and leaves no row behind that anybody sees.
func TestUpload_BlobsAway(t *testing.T) {
	t.Parallel()
	p := setup(t)
	f := p.keep(t, "x")
	p.Blobs = full{p.Blobs}
	body := "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n--B--"
	_, err := p.send(t, "multipart/form-data; boundary=B", strings.NewReader(body))
	require.Equal(t, completion.CodeUnavailable, completion.AsError(err).Code)
	require.ErrorIs(t, err, io.ErrShortWrite)
	page, _, err := p.rows.ListFiles(t.Context(), "acme", store.FileQuery{}, time.Now())
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Equal(t, f.ID, page[0].ID)
}

// full takes nothing more.
type full struct{ blob.Store }

func (full) Put(context.Context, string, io.Reader) (int64, error) { return 0, io.ErrShortWrite }

// An upload that the janitor gave up before its end is refused, and leaves nothing.
func TestUpload_GivenUp(t *testing.T) {
	t.Parallel()
	p := setup(t)
	u := &upload{face: p.face, put: true, file: completion.File{ID: completion.NewFileID(), Tenant: "acme"}}
	u.form.purpose = completion.PurposeVision
	u.file.Purpose = u.form.purpose
	_, err := p.Blobs.Put(t.Context(), blob.Name(u.file.Tenant, u.file.ID), strings.NewReader("x"))
	require.NoError(t, err)
	_, err = u.finish(t.Context())
	require.Equal(t, completion.CodeUnavailable, completion.AsError(err).Code)
	require.Empty(t, p.contents(t))
}
