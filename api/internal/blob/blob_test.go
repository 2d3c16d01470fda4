package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/api/internal/blob"
	"sluice/api/internal/blob/blobtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultClient.CloseIdleConnections() }),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// large is more than two parts of an upload to a bucket.
const large = 17<<20 + 3

// kept is a store and the names of all that it keeps, whole or not.
type kept struct {
	blob.Store
	list func(t *testing.T) []string
}

func inFolder(t *testing.T) kept {
	dir := filepath.Join(t.TempDir(), "files")
	s, err := blob.New(blob.Config{Dir: dir})
	require.NoError(t, err)
	return kept{s, func(t *testing.T) []string {
		var all []string
		require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				all = append(all, path)
			}
			return err
		}))
		return all
	}}
}

func inBucket(t *testing.T) kept {
	b := blobtest.New(t)
	s, err := blob.New(b.Config)
	require.NoError(t, err)
	return kept{s, func(t *testing.T) []string {
		var all []string
		for _, key := range b.Keys(t) {
			all = append(all, strings.Replace(key, b.Config.Prefix+"/", "", 1))
		}
		return all
	}}
}

// TestStore is the contract, over both.
func TestStore(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*testing.T, kept){
		"RoundTrip": roundTrip, "Sizes": sizes, "Seek": seek, "None": none, "SourceFails": sourceFails, "ContextEnds": contextEnds,
		"Replace": replace, "AtOnce": atOnce, "Names": names, "Interrupted": interrupted, "Memory": memory,
	}
	for kind, open := range map[string]func(*testing.T) kept{"Folder": inFolder, "Bucket": inBucket} {
		for name, check := range cases {
			t.Run(kind+"/"+name, func(t *testing.T) {
				if name != "Memory" { // which measures the whole process
					t.Parallel()
				}
				check(t, open(t))
			})
		}
	}
}

var name = blob.Name("acme", "file-1")

// content is what cannot be guessed from its place.
func content(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func read(t *testing.T, s blob.Store, name string) []byte {
	t.Helper()
	b, err := s.Open(t.Context(), name)
	require.NoError(t, err)
	all, err := io.ReadAll(b)
	require.NoError(t, err)
	require.Equal(t, int64(len(all)), b.Size())
	require.NoError(t, b.Close())
	return all
}

func roundTrip(t *testing.T, s kept) {
	want := []byte("one\r\ntwo\x00\xff")
	n, err := s.Put(t.Context(), name, iotest.OneByteReader(bytes.NewReader(want)))
	require.NoError(t, err)
	require.Equal(t, int64(len(want)), n)
	require.Equal(t, []string{name}, s.list(t))
	require.Equal(t, want, read(t, s, name))
	_, err = s.Open(t.Context(), blob.Name("other", "file-1"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, s.Delete(t.Context(), name))
	require.Empty(t, s.list(t))
	_, err = s.Open(t.Context(), name)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func sizes(t *testing.T, s kept) {
	for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 8<<20 - 1, 8 << 20, 8<<20 + 1, 16 << 20, large} {
		want := content(size)
		n, err := s.Put(t.Context(), name, struct{ io.Reader }{bytes.NewReader(want)})
		require.NoError(t, err, size)
		require.Equal(t, int64(size), n)
		require.True(t, bytes.Equal(want, read(t, s, name)), size)
		require.Equal(t, []string{name}, s.list(t))
	}
}

func seek(t *testing.T, s kept) {
	want := content(large)
	_, err := s.Put(t.Context(), name, bytes.NewReader(want))
	require.NoError(t, err)
	b, err := s.Open(t.Context(), name)
	require.NoError(t, err)
	defer b.Close()
	end, err := b.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	require.Equal(t, int64(large), end)
	n, err := b.Read(make([]byte, 1))
	require.Zero(t, n)
	require.ErrorIs(t, err, io.EOF)
	for _, from := range []int{large - 1, 0, 9 << 20, 5} {
		at, err := b.Seek(int64(from), io.SeekStart)
		require.NoError(t, err)
		require.Equal(t, int64(from), at)
		some := make([]byte, min(100_000, large-from))
		_, err = io.ReadFull(b, some)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want[from:from+len(some)], some), from)
	}
	_, err = b.Seek(-1, io.SeekStart)
	require.Error(t, err)
}

func none(t *testing.T, s kept) {
	_, err := s.Open(t.Context(), name)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, s.Delete(t.Context(), name))
}

// A source that fails leaves nothing, wherever it fails, and even if it does so with an error that means the end elsewhere.
func sourceFails(t *testing.T, s kept) {
	broken := errors.New("broken")
	for _, size := range []int{0, 10, 64 << 10, 1 << 20, 8 << 20, large} {
		for _, cause := range []error{broken, io.ErrUnexpectedEOF} {
			_, err := s.Put(t.Context(), name, io.MultiReader(bytes.NewReader(content(size)), iotest.ErrReader(cause)))
			require.ErrorIs(t, err, cause, size)
			require.Empty(t, s.list(t), size)
		}
	}
}

// ender ends a context when it has been read so far.
type ender struct {
	io.Reader
	left int
	end  context.CancelFunc
}

func (e *ender) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if e.left -= n; e.left <= 0 {
		e.end()
	}
	return n, err
}

func contextEnds(t *testing.T, s kept) {
	for _, left := range []int{1, 10 << 20} {
		ctx, end := context.WithCancel(t.Context())
		_, err := s.Put(ctx, name, &ender{bytes.NewReader(content(large)), left, end})
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, s.list(t))
	}
}

func replace(t *testing.T, s kept) {
	_, err := s.Put(t.Context(), name, strings.NewReader("first"))
	require.NoError(t, err)
	old, err := s.Open(t.Context(), name)
	require.NoError(t, err)
	defer old.Close()
	_, err = s.Put(t.Context(), name, io.MultiReader(strings.NewReader("second, and"), iotest.ErrReader(io.ErrClosedPipe)))
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.Equal(t, "first", string(read(t, s, name)), "as it was")
	_, err = s.Put(t.Context(), name, strings.NewReader("second"))
	require.NoError(t, err)
	require.Equal(t, "second", string(read(t, s, name)))
}

// Whoever puts under the same name at once, what is there is one of them as a whole.
func atOnce(t *testing.T, s kept) {
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			_, err := s.Put(t.Context(), name, io.LimitReader(same('a'+byte(i)), 9<<20))
			require.NoError(t, err)
		})
	}
	all.Wait()
	got := read(t, s, name)
	require.Len(t, got, 9<<20)
	require.Equal(t, len(got), bytes.Count(got, got[:1]))
	require.Equal(t, []string{name}, s.list(t))
}

// same yields one byte for ever.
type same byte

func (s same) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s)
	}
	return len(p), nil
}

func names(t *testing.T, s kept) {
	for _, bad := range []string{"", "acme", "acme/", "/file", "../file", "acme/..", "acme/../x", "acme/a/b", "acme/.part", "Acme/x", "acme/x\x00", "acme/" + strings.Repeat("x", 65), `acme\x`} {
		_, err := s.Put(t.Context(), bad, strings.NewReader("x"))
		require.ErrorContains(t, err, "want TENANT/FILE", bad)
		_, err = s.Open(t.Context(), bad)
		require.ErrorContains(t, err, "want TENANT/FILE", bad)
		require.ErrorContains(t, s.Delete(t.Context(), bad), "want TENANT/FILE", bad)
	}
	require.Empty(t, s.list(t))
}

// Delete removes what a Put has written that is still under way, of that name only; the Put fails.
func interrupted(t *testing.T, s kept) {
	other := blob.Name("acme", "file-10")
	begun, resume := make(chan struct{}), make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		_, err := s.Put(t.Context(), name, io.MultiReader(bytes.NewReader(content(9<<20)), readerFunc(func([]byte) (int, error) {
			close(begun)
			<-resume
			return 0, io.EOF
		})))
		failed <- err
	}()
	<-begun
	_, err := s.Put(t.Context(), other, strings.NewReader("other"))
	require.NoError(t, err)
	require.Len(t, s.list(t), 2)
	require.NoError(t, s.Delete(t.Context(), name))
	require.Equal(t, []string{other}, s.list(t))
	close(resume)
	require.Error(t, <-failed)
	require.Equal(t, []string{other}, s.list(t))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// What is in memory does not grow with the blob.
func memory(t *testing.T, s kept) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := s.Put(t.Context(), name, io.LimitReader(same('x'), 96<<20))
	require.NoError(t, err)
	require.Equal(t, int64(96<<20), n)
	b, err := s.Open(t.Context(), name)
	require.NoError(t, err)
	copied, err := io.Copy(io.Discard, b)
	require.NoError(t, err)
	require.Equal(t, n, copied)
	require.NoError(t, b.Close())
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(24<<20), "bytes that were allocated for 96 MB")
}

func TestFolder_Private(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "files")
	s, err := blob.New(blob.Config{Dir: dir})
	require.NoError(t, err)
	_, err = s.Put(t.Context(), name, strings.NewReader("x"))
	require.NoError(t, err)
	for path, want := range map[string]fs.FileMode{dir: fs.ModeDir | 0o700, dir + "/acme": fs.ModeDir | 0o700, dir + "/acme/file-1": 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, want, info.Mode(), path)
	}
	require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(dir, "evil")))
	_, err = s.Put(t.Context(), blob.Name("evil", "x"), strings.NewReader("x"))
	require.ErrorContains(t, err, "escapes")
	_, err = blob.New(blob.Config{Dir: dir + "/acme/file-1"})
	require.ErrorContains(t, err, "SLUICE_FILES_DIR")
}

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	good := blob.Config{Endpoint: "https://s3.example.org", Bucket: "b", Region: "r", AccessKey: "a", SecretKey: "s"}
	require.NoError(t, good.Validate())
	require.NoError(t, blob.Config{}.Validate())
	good.Endpoint, good.Prefix = "http://127.0.0.1:9000/", "a/b"
	require.NoError(t, good.Validate())
	err := blob.Config{Endpoint: "s3.example.org", Bucket: "a/b", Prefix: "/x", AccessKey: "a"}.Validate()
	for _, fault := range []string{"S3 endpoint", "S3 bucket", "S3 prefix", "S3 keys"} {
		require.ErrorContains(t, err, fault)
	}
	for _, endpoint := range []string{"https://", "ftp://x", "https://x/path", "https://u:p@x", "https://x?q"} {
		good.Endpoint = endpoint
		require.ErrorContains(t, good.Validate(), "S3 endpoint", endpoint)
	}
	require.ErrorContains(t, blob.Config{Bucket: "b"}.Validate(), "SLUICE_S3_ENDPOINT")
}

// A server that is away is an error, not a blob that is not there.
func TestBucket_Away(t *testing.T) {
	t.Parallel()
	s, err := blob.New(blob.Config{Endpoint: "http://127.0.0.1:1", Bucket: "b", Region: "us-east-1", AccessKey: "a", SecretKey: "s"})
	require.NoError(t, err)
	_, err = s.Open(t.Context(), name)
	require.Error(t, err)
	require.NotErrorIs(t, err, fs.ErrNotExist)
	_, err = s.Put(t.Context(), name, strings.NewReader("x"))
	require.Error(t, err)
	require.Error(t, s.Delete(t.Context(), name))
}
