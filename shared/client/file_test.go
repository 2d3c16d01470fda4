package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// received answers an upload with what arrived of it.
func received(w http.ResponseWriter, r *http.Request) {
	form, err := r.MultipartReader()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	got := map[string]any{"id": "file-1", "object": "file", "status": "processed", "expires_at": nil, "bytes": r.ContentLength}
	for {
		part, err := form.NextPart()
		if err != nil {
			break
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return
		}
		switch part.FormName() {
		case "purpose":
			got["purpose"] = string(text)
		case "file":
			got["filename"] = part.FileName() + ": " + string(text)
		case "expires_after[seconds]":
			got["expires_at"], _ = strconv.Atoi(string(text))
		}
	}
	_ = json.NewEncoder(w).Encode(got)
}

func TestUploadFile(t *testing.T) {
	t.Parallel()
	c := serve(t, received)
	u := Upload{Name: `a "b".jsonl`, Purpose: completion.PurposeBatch, Content: strings.NewReader("hello\n"), Age: 90 * time.Minute}
	f, err := c.UploadFile(t.Context(), u)
	require.NoError(t, err)
	require.Equal(t, File{ID: "file-1", Name: u.Name + ": hello\n", Purpose: completion.PurposeBatch, Bytes: -1, ExpiresAt: 5400}, f)

	u.Content, u.Size, u.Age = strings.NewReader("hello\n"), 6, 0
	f, err = c.UploadFile(t.Context(), u)
	require.NoError(t, err)
	require.Equal(t, u.Name+": hello\n", f.Name)
	require.Positive(t, f.Bytes, "a known size is told")
	require.Zero(t, f.ExpiresAt)

	u.Content = strings.NewReader("hello, world\n")
	_, err = c.UploadFile(t.Context(), u)
	require.ErrorContains(t, err, "ContentLength", "more content than was said")
	broken := errors.New("disk is gone")
	u.Content, u.Size = iotest.ErrReader(broken), 0
	_, err = c.UploadFile(t.Context(), u)
	require.ErrorIs(t, err, broken)
}

func TestUploadFile_RefusedBeforeItsContent(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":{"message":"No key.","code":"invalid_api_key"}}`)
	})
	patient := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(patient.CloseIdleConnections)
	c.http = &http.Client{Transport: patient}
	_, err := c.UploadFile(t.Context(), Upload{Name: "x", Content: iotest.ErrReader(errors.New("read")), Size: 1 << 40})
	require.EqualError(t, err, "No key. [401 invalid_api_key]")
}

func TestContent(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/files/whole/content" {
			fmt.Fprint(w, "0123456789")
			return
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("0123456789"))
	})
	for _, x := range []struct {
		id             string
		offset, length int64
		want           string
	}{
		{"file-1", 0, 0, "0123456789"},
		{"whole", 0, 0, "0123456789"},
		{"file-1", 4, 0, "456789"},
		{"file-1", 4, 2, "45"},
		{"file-1", 0, 1, "0"},
		{"file-1", 8, 100, "89"},
	} {
		in, err := c.Content(t.Context(), x.id, x.offset, x.length)
		require.NoError(t, err)
		got, err := io.ReadAll(in)
		require.NoError(t, errors.Join(err, in.Close()))
		require.Equal(t, x.want, string(got))
	}
	_, err := c.Content(t.Context(), "whole", 4, 0)
	require.EqualError(t, err, "read bytes=4- of whole: the server answered 200 OK")
	_, err = c.Content(t.Context(), "file-1", 10, 0)
	var refused *Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, refused.Status)
}

func TestFiles(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"object":"list","data":[{"id":"file-1","filename":%q,"new":[]}],"has_more":true,"id":"file-2","deleted":true,"filename":%q}`, r.URL.RawQuery, r.Method+" "+r.URL.EscapedPath())
	})
	files, more, err := c.Files(t.Context(), FileQuery{Purpose: completion.PurposeBatch, Oldest: true, Limit: 5, After: "file-0"})
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, []File{{ID: "file-1", Name: "after=file-0&limit=5&order=asc&purpose=batch"}}, files)
	f, err := c.File(t.Context(), "a/b")
	require.NoError(t, err)
	require.Equal(t, File{ID: "file-2", Name: "GET /v1/files/a%2Fb"}, f)
	require.NoError(t, c.DeleteFile(t.Context(), "file-1"))
}
