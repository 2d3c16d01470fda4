package api_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/api"
	"sluice/api/internal/blob"
	"sluice/api/internal/blob/blobtest"
	"sluice/shared/completion"
	"sluice/shared/store"
)

const filesPath = "/v1/files"

// formField is one of an upload's form; with a file name it is a file.
type formField struct{ name, value, file string }

// form renders fields in their order.
func form(t *testing.T, fields ...formField) (body, kind string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for _, f := range fields {
		var w io.Writer
		var err error
		if f.file != "" {
			w, err = m.CreateFormFile(f.name, f.file)
		} else {
			w, err = m.CreateFormField(f.name)
		}
		require.NoError(t, err)
		_, err = io.WriteString(w, f.value)
		require.NoError(t, err)
	}
	require.NoError(t, m.Close())
	return b.String(), m.FormDataContentType()
}

func (s *server) send(t *testing.T, fields ...formField) (*http.Response, string) {
	t.Helper()
	body, kind := form(t, fields...)
	return s.do(t, http.MethodPost, filesPath, body, "Content-Type", kind)
}

// uploaded is a file that the API has taken.
type uploaded struct {
	ID   string
	JSON gjson.Result
}

func (s *server) upload(t *testing.T, purpose, name, content string, more ...formField) uploaded {
	t.Helper()
	resp, body := s.send(t, append([]formField{{"purpose", purpose, ""}, {"file", content, name}}, more...)...)
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	return uploaded{gjson.Get(body, "id").Str, gjson.Parse(body)}
}

// storage is a server and what its files' content is kept in.
type storage struct {
	*server
	kept func(t *testing.T) []string
}

func inFolder(t *testing.T, change ...func(*api.Config)) storage {
	t.Helper()
	dir := t.TempDir()
	s := setup(t, append(change, func(c *api.Config) { c.Files.Dir = dir })...)
	return storage{s, func(t *testing.T) (all []string) {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				all = append(all, path)
			}
			return err
		}))
		return all
	}}
}

func inBucket(t *testing.T, change ...func(*api.Config)) storage {
	t.Helper()
	b := blobtest.New(t)
	return storage{setup(t, append(change, func(c *api.Config) { c.Files = b.Config })...), func(t *testing.T) []string { return b.Keys(t) }}
}

var storages = map[string]func(*testing.T, ...func(*api.Config)) storage{"Folder": inFolder, "Bucket": inBucket}

// requireNothing checks that an upload has left neither content nor a row, once the server has seen its end.
func (s storage) requireNothing(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		rows, err := s.back.Store.DoomedFiles(t.Context(), time.Now().Add(2*store.UploadTime), 10)
		return err == nil && len(rows) == 0 && len(s.kept(t)) == 0
	}, 10*time.Second, 20*time.Millisecond)
	_, body := s.do(t, http.MethodGet, filesPath, "")
	require.Empty(t, gjson.Get(body, "data").Array())
}

func TestFiles_RoundTrip(t *testing.T) {
	t.Parallel()
	for kind, start := range storages {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			content := strings.Repeat("a line\r\n\x00\xff", 1<<20) // more than one part of an upload to a bucket
			begin := time.Now().Unix()
			f := s.upload(t, "batch", "päper.jsonl", content)
			created := f.JSON.Get("created_at").Int()
			require.InDelta(t, begin, created, 5)
			require.JSONEq(t, fmt.Sprintf(`{"id":%q,"object":"file","bytes":%d,"created_at":%d,"expires_at":%d,"filename":"päper.jsonl","purpose":"batch","status":"processed","status_details":null}`,
				f.ID, len(content), created, created+30*24*3600), f.JSON.Raw)
			_, body := s.do(t, http.MethodGet, filesPath+"/"+f.ID, "")
			require.JSONEq(t, f.JSON.Raw, body)
			path := filesPath + "/" + f.ID + "/content"
			resp, body := s.do(t, http.MethodGet, path, "")
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Equal(t, sha256.Sum256([]byte(content)), sha256.Sum256([]byte(body)), "byte for byte")
			for name, want := range map[string]string{
				"Content-Type": "application/jsonl", "Etag": `"` + f.ID + `"`, "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff",
				"Content-Disposition": "attachment; filename*=utf-8''p%C3%A4per.jsonl", "Content-Length": strconv.Itoa(len(content)),
			} {
				require.Equal(t, want, resp.Header.Get(name), name)
			}
			head, body := s.do(t, http.MethodHead, path, "")
			require.Equal(t, http.StatusOK, head.StatusCode)
			require.Equal(t, resp.Header.Get("Content-Length"), head.Header.Get("Content-Length"))
			require.Empty(t, body)
			for header, want := range map[string]string{"bytes=0-5": content[:6], "bytes=-4": content[len(content)-4:], "bytes=9000000-9000010": content[9000000:9000011]} {
				resp, body := s.do(t, http.MethodGet, path, "", "Range", header)
				require.Equal(t, http.StatusPartialContent, resp.StatusCode)
				require.Equal(t, want, body, header)
			}
			resp, body = s.do(t, http.MethodGet, path, "", "Range", "bytes=99999999-")
			require.Equal(t, http.StatusRequestedRangeNotSatisfiable, resp.StatusCode)
			require.JSONEq(t, `{"error":{"message":"The file does not have the range that was asked for.","type":"invalid_request_error","param":null,"code":"range_not_satisfiable"}}`, body)
			resp, _ = s.do(t, http.MethodGet, path, "", "If-None-Match", `"`+f.ID+`"`)
			require.Equal(t, http.StatusNotModified, resp.StatusCode)
			resp, body = s.do(t, http.MethodDelete, filesPath+"/"+f.ID, "")
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.JSONEq(t, `{"id":"`+f.ID+`","object":"file","deleted":true}`, body)
			for _, path := range []string{filesPath + "/" + f.ID, path} {
				resp, body = s.do(t, http.MethodGet, path, "")
				require.Equal(t, http.StatusNotFound, resp.StatusCode)
				require.Equal(t, "not_found", gjson.Get(body, "error.code").Str)
			}
		})
	}
}

// The fields come in any order, and what they mean does not depend on it.
func TestFiles_AnyOrder(t *testing.T) {
	t.Parallel()
	s := setup(t)
	file, purpose := formField{"file", "{}", "a"}, formField{"purpose", "batch", ""}
	anchor, seconds := formField{"expires_after[anchor]", "created_at", ""}, formField{"expires_after[seconds]", "3600", ""}
	for _, row := range []struct {
		fields []formField
		age    int64 // 0: never
	}{
		{[]formField{file, purpose}, 30 * 24 * 3600},
		{[]formField{purpose, file}, 30 * 24 * 3600},
		{[]formField{seconds, file, anchor, purpose}, 3600},
		{[]formField{purpose, anchor, seconds, file}, 3600},
		{[]formField{file, {"purpose", "user_data", ""}}, 0},
		{[]formField{{"purpose", "vision", ""}, seconds, anchor, file}, 3600},
		{[]formField{{"purpose", "assistants", ""}, {"file", "", "empty"}}, 0},
	} {
		resp, body := s.send(t, row.fields...)
		require.Equal(t, http.StatusOK, resp.StatusCode, body)
		_, read := s.do(t, http.MethodGet, filesPath+"/"+gjson.Get(body, "id").Str, "")
		require.JSONEq(t, body, read)
		expires := gjson.Get(read, "expires_at")
		if row.age == 0 {
			require.Equal(t, gjson.Null, expires.Type)
			continue
		}
		require.Equal(t, row.age, expires.Int()-gjson.Get(read, "created_at").Int())
	}
}

func TestFiles_BadForms(t *testing.T) {
	t.Parallel()
	s := inFolder(t)
	file, purpose := formField{"file", "{}", "a"}, formField{"purpose", "batch", ""}
	anchor, seconds := formField{"expires_after[anchor]", "created_at", ""}, formField{"expires_after[seconds]", "3600", ""}
	for name, row := range map[string]struct {
		fields []formField
		param  string
	}{
		"NoFile":         {[]formField{purpose}, "file"},
		"NoPurpose":      {[]formField{file}, "purpose"},
		"Nothing":        {nil, "file"},
		"Text":           {[]formField{purpose, {"file", "{}", ""}}, "file"},
		"TwoFiles":       {[]formField{file, file, purpose}, "file"},
		"TwoPurposes":    {[]formField{file, purpose, purpose}, "purpose"},
		"BadPurpose":     {[]formField{file, {"purpose", "batch_output", ""}}, "purpose"},
		"LongPurpose":    {[]formField{file, {"purpose", strings.Repeat("batch", 1000), ""}}, "purpose"},
		"Unknown":        {[]formField{file, purpose, {"tag", "x", ""}}, "tag"},
		"Unnamed":        {[]formField{file, purpose, {"", "x", ""}}, ""},
		"EmptyBatch":     {[]formField{purpose, {"file", "", "a"}}, "file"},
		"NoSeconds":      {[]formField{file, purpose, anchor}, "expires_after[seconds]"},
		"NoAnchor":       {[]formField{file, purpose, seconds}, "expires_after[anchor]"},
		"BadAnchor":      {[]formField{file, purpose, seconds, {"expires_after[anchor]", "now", ""}}, "expires_after[anchor]"},
		"FewSeconds":     {[]formField{file, purpose, anchor, {"expires_after[seconds]", "3599", ""}}, "expires_after[seconds]"},
		"ManySeconds":    {[]formField{file, purpose, anchor, {"expires_after[seconds]", "2592001", ""}}, "expires_after[seconds]"},
		"NumberIsNone":   {[]formField{file, purpose, anchor, {"expires_after[seconds]", "1h", ""}}, "expires_after[seconds]"},
		"NumberTooLarge": {[]formField{file, purpose, anchor, {"expires_after[seconds]", "99999999999999999999999", ""}}, "expires_after[seconds]"},
	} {
		resp, body := s.send(t, row.fields...)
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, name)
		require.Equal(t, "invalid_request", gjson.Get(body, "error.code").Str, name)
		require.Equal(t, row.param, gjson.Get(body, "error.param").Str, "%s: %s", name, body)
	}
	body, kind := form(t, file, purpose)
	for name, row := range map[string]struct {
		body, kind string
		status     int
	}{
		"NoType":        {body, "", http.StatusUnsupportedMediaType},
		"JSON":          {"{}", "application/json", http.StatusUnsupportedMediaType},
		"Mixed":         {body, strings.Replace(kind, "form-data", "mixed", 1), http.StatusUnsupportedMediaType},
		"NoBoundary":    {body, "multipart/form-data", http.StatusBadRequest},
		"OtherBoundary": {body, "multipart/form-data; boundary=x", http.StatusBadRequest},
		"Empty":         {"", kind, http.StatusBadRequest},
		"Cut":           {body[:len(body)-8], kind, http.StatusBadRequest},
		"CutInFile":     {body[:strings.Index(body, "{}")+1], kind, http.StatusBadRequest},
		"LongHeader":    {strings.Replace(body, "Content-Disposition", "X: "+strings.Repeat("x", 11<<20)+"\r\nContent-Disposition", 1), kind, http.StatusBadRequest},
	} {
		resp, told := s.do(t, http.MethodPost, filesPath, row.body, "Content-Type", row.kind)
		require.Equal(t, row.status, resp.StatusCode, "%s: %s", name, told)
		require.Equal(t, "false", resp.Header.Get("X-Should-Retry"), name)
	}
	s.requireNothing(t)
}

// part is the beginning of a form with a file.
const part = "--B\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"

// dial begins an upload of so many bytes by hand.
func (s *server) dial(t *testing.T, size int) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: %d\r\n\r\n%s", filesPath, s.key, size+len(part), part)
	require.NoError(t, err)
	return conn
}

// A client that goes in the middle leaves nothing behind.
func TestFiles_CutUpload(t *testing.T) {
	t.Parallel()
	for kind, start := range storages {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			for _, sent := range []int{0, 1000, 20 << 20} {
				conn := s.dial(t, 64<<20)
				_, err := conn.Write(bytes.Repeat([]byte("x"), sent))
				require.NoError(t, err)
				require.Eventually(t, func() bool { return sent < 20<<20 || len(s.kept(t)) == 1 }, 20*time.Second, 10*time.Millisecond, "it is under way")
				require.NoError(t, conn.Close())
				s.requireNothing(t)
			}
		})
	}
}

// A client that sends nothing for long is answered and cut off; one that sends slowly is not.
func TestFiles_Pace(t *testing.T) {
	t.Parallel()
	const limit = 2 * time.Second
	s := inFolder(t, func(c *api.Config) { c.ClientLimit = limit })
	stalled := s.dial(t, 1000)
	resp, err := http.ReadResponse(bufio.NewReader(stalled), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, gjson.GetBytes(body, "error.message").Str, "nothing came")
	s.requireNothing(t)

	const end = "\r\n--B--\r\n"
	slow := s.dial(t, 20+len(end))
	for range 20 {
		time.Sleep(limit / 16) // the pace of a client over a real connection, whose whole upload takes longer than the limit
		_, err = slow.Write([]byte("x"))
		require.NoError(t, err)
	}
	_, err = slow.Write([]byte(end))
	require.NoError(t, err)
	resp, err = http.ReadResponse(bufio.NewReader(slow), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// zeros is an upload of so many bytes, made while it is sent.
func zeros(n int64) io.Reader {
	return io.MultiReader(strings.NewReader(part), io.LimitReader(zero{}, n), strings.NewReader("\r\n--B--\r\n"))
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (s *server) stream(t *testing.T, body io.Reader, size int64) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+filesPath, body)
	require.NoError(t, err)
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Content-Type", "multipart/form-data; boundary=B")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(text)
}

func TestFiles_TooLarge(t *testing.T) {
	t.Parallel()
	s := inFolder(t)
	resp, body := s.stream(t, zeros(completion.MaxBatchFileBytes+1), -1)
	require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode, body)
	require.Equal(t, "request_too_large", gjson.Get(body, "error.code").Str)
	require.Equal(t, "file", gjson.Get(body, "error.param").Str)
	s.requireNothing(t)

	conn := s.dial(t, 600<<20) // which says so at once
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
	s.requireNothing(t)
}

// What is in memory does not grow with the upload, nor with the download. It measures the whole process, so that it does
// not run beside others.
func TestFiles_ConstantMemory(t *testing.T) {
	for kind, start := range storages {
		t.Run(kind, func(t *testing.T) {
			s := start(t)
			const size = 96 << 20
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			resp, body := s.stream(t, zeros(size), -1)
			require.Equal(t, http.StatusOK, resp.StatusCode, body)
			require.Equal(t, int64(size), gjson.Get(body, "bytes").Int())
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+filesPath+"/"+gjson.Get(body, "id").Str+"/content", nil)
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+s.key)
			resp, err = http.DefaultClient.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			hash := sha256.New()
			n, err := io.Copy(hash, resp.Body)
			require.NoError(t, err)
			require.Equal(t, int64(size), n)
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size/2), "bytes that were allocated")
			want := sha256.New()
			_, _ = io.Copy(want, io.LimitReader(zero{}, size))
			require.Equal(t, hex.EncodeToString(want.Sum(nil)), hex.EncodeToString(hash.Sum(nil)))
		})
	}
}

func TestFiles_List(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, body := s.do(t, http.MethodGet, filesPath, "")
	require.JSONEq(t, `{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}`, body)
	var ids []string
	for i := range 5 {
		purpose := "batch"
		if i == 2 {
			purpose = "vision"
		}
		ids = append(ids, s.upload(t, purpose, "a", "{}").ID)
		time.Sleep(2 * time.Millisecond) // ids made in one millisecond have no order, and the server runs on the real clock
	}
	for query, want := range map[string][]string{
		"":                                 {ids[4], ids[3], ids[2], ids[1], ids[0]},
		"?order=asc&limit=2":               {ids[0], ids[1]},
		"?order=asc&after=" + ids[2]:       {ids[3], ids[4]},
		"?limit=2&after=" + ids[3]:         {ids[2], ids[1]},
		"?purpose=vision":                  {ids[2]},
		"?purpose=fine-tune":               {},
		"?after=" + ids[0]:                 {},
		"?order=asc&limit=3&purpose=batch": {ids[0], ids[1], ids[3]},
	} {
		_, body := s.do(t, http.MethodGet, filesPath+query, "")
		got := []string{}
		for _, f := range gjson.Get(body, "data").Array() {
			got = append(got, f.Get("id").Str)
		}
		require.Equal(t, want, got, query)
		require.Equal(t, strings.Contains(query, "limit"), gjson.Get(body, "has_more").Bool(), query)
		if len(want) > 0 {
			require.Equal(t, want[0], gjson.Get(body, "first_id").Str)
			require.Equal(t, want[len(want)-1], gjson.Get(body, "last_id").Str)
		}
	}
	for query, param := range map[string]string{"?limit=0": "limit", "?limit=10001": "limit", "?order=up": "order"} {
		resp, body := s.do(t, http.MethodGet, filesPath+query, "")
		require.Equal(t, http.StatusBadRequest, resp.StatusCode)
		require.Equal(t, param, gjson.Get(body, "error.param").Str)
	}
}

// A file that a live batch reads stays; one that has expired is gone for clients.
func TestFiles_InUseAndExpired(t *testing.T) {
	t.Parallel()
	s := setup(t)
	f := s.upload(t, "batch", "a", "{}")
	now := time.Now()
	b, _, err := s.back.Store.AddBatch(t.Context(), completion.Batch{
		ID: completion.NewBatchID(), Tenant: "acme", State: completion.BatchValidating, Endpoint: completion.EndpointChat, Input: f.ID,
		Window: "1h", CreatedAt: now, UpdatedAt: now, Deadline: now.Add(time.Hour),
	})
	require.NoError(t, err)
	resp, body := s.do(t, http.MethodDelete, filesPath+"/"+f.ID, "")
	require.Equal(t, http.StatusConflict, resp.StatusCode)
	require.Equal(t, "file_in_use", gjson.Get(body, "error.code").Str)
	require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
	resp, body = s.do(t, http.MethodGet, filesPath+"/"+b.Input+"/content", "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "{}", body)

	old := completion.File{ID: completion.NewFileID(), Tenant: "acme", Name: "a", Purpose: completion.PurposeBatch, CreatedAt: now.Add(-2 * time.Hour), ExpiresAt: now.Add(-time.Second)}
	require.NoError(t, s.back.Store.AddFile(t.Context(), old))
	_, err = s.back.Store.ReadyFile(t.Context(), "acme", old.ID, 2)
	require.NoError(t, err)
	for _, path := range []string{"", "/content"} {
		resp, _ := s.do(t, http.MethodGet, filesPath+"/"+old.ID+path, "")
		require.Equal(t, http.StatusNotFound, resp.StatusCode)
	}
	resp, _ = s.do(t, http.MethodDelete, filesPath+"/"+old.ID, "")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
}

// An upload counts as one submit; the limit on bodies is not for files.
func TestFiles_Limits(t *testing.T) {
	t.Parallel()
	s := limited(t, completion.Limits{SubmitsPerSecond: 0.001, BodyBytes: 10})
	s.upload(t, "batch", "a", strings.Repeat("x", 1000))
	resp, body := s.send(t, formField{"purpose", "batch", ""}, formField{"file", "{}", "a"})
	requireLimited(t, "rate_limit_exceeded", resp, body)
}

func TestConfig_Validate_Files(t *testing.T) {
	t.Parallel()
	err := api.Config{Tenant: "A b", Files: blob.Config{Endpoint: "x"}}.Validate()
	for _, fault := range []string{"tenant", "S3 endpoint", "S3 bucket", "S3 keys"} {
		require.ErrorContains(t, err, fault)
	}
}
