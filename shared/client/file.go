package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sluice/shared/completion"
)

// File is a file as the API shows it. Times are Unix times in seconds.
type File struct {
	ID        string             `json:"id"`
	Name      string             `json:"filename"`
	Purpose   completion.Purpose `json:"purpose"`
	Bytes     int64              `json:"bytes"`
	CreatedAt int64              `json:"created_at"`
	ExpiresAt int64              `json:"expires_at,omitzero"` // 0: never
}

// Upload is what UploadFile sends.
type Upload struct {
	Name    string // as the file shall be called, without folders
	Purpose completion.Purpose
	Content io.Reader
	Size    int64         // bytes of Content, which must be as many; 0: not known
	Age     time.Duration // how long the file is kept, in whole seconds; 0: the server's default
}

// UploadFile stores a file. Content is streamed, never whole in memory; an error leaves no file behind. It is sent once
// the server has let the request in, so that a refusal does not cost its transfer, where the HTTP client's transport has an
// ExpectContinueTimeout, as the default one has.
func (c *Client) UploadFile(ctx context.Context, u Upload) (File, error) {
	form, kind, err := u.form()
	if err != nil {
		return File{}, fmt.Errorf("encode upload: %w", err)
	}
	head, tail := form[0], form[1]
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+filePath(""), io.MultiReader(head, u.Content, tail))
	if err != nil {
		return File{}, fmt.Errorf("build upload: %w", err)
	}
	if u.Size > 0 {
		req.ContentLength = int64(head.Len()) + u.Size + int64(tail.Len())
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Expect", "100-continue")
	resp, err := c.do(req)
	if err != nil {
		return File{}, err
	}
	defer resp.Body.Close()
	var f File
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil {
		return File{}, fmt.Errorf("read answer to an upload: %w", err)
	}
	return f, nil
}

// form is what stands before and after the content in the body, and the body's content type.
func (u Upload) form() (around [2]*bytes.Buffer, kind string, err error) {
	around = [2]*bytes.Buffer{{}, {}}
	var all bytes.Buffer
	w := multipart.NewWriter(&all)
	err = w.WriteField("purpose", string(u.Purpose))
	if u.Age > 0 {
		err = errors.Join(err, w.WriteField("expires_after[anchor]", "created_at"),
			w.WriteField("expires_after[seconds]", strconv.FormatInt(int64(u.Age/time.Second), 10)))
	}
	_, fileErr := w.CreateFormFile("file", u.Name)
	around[0].Write(all.Bytes())
	all.Reset()
	err = errors.Join(err, fileErr, w.Close())
	around[1].Write(all.Bytes())
	return around, w.FormDataContentType(), err
}

// FileQuery narrows and pages a list of files. The zero value is the first page of everything, newest first.
type FileQuery struct {
	Purpose completion.Purpose
	Oldest  bool   // oldest first
	Limit   int    // 0: the server's default
	After   string // the last id of the page before
}

// Files reads one page of files and whether there are more.
func (c *Client) Files(ctx context.Context, q FileQuery) (files []File, more bool, err error) {
	v := pageOf(q.After, q.Limit, q.Oldest)
	if q.Purpose != "" {
		v.Set("purpose", string(q.Purpose))
	}
	var page struct {
		Data    []File `json:"data"`
		HasMore bool   `json:"has_more"`
	}
	err = c.call(ctx, http.MethodGet, filePath("")+"?"+v.Encode(), nil, nil, &page)
	return page.Data, page.HasMore, err
}

// File reads what there is to know of a file.
func (c *Client) File(ctx context.Context, id string) (File, error) {
	var f File
	err := c.call(ctx, http.MethodGet, filePath(id), nil, nil, &f)
	return f, err
}

// DeleteFile deletes a file.
func (c *Client) DeleteFile(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, filePath(id), nil, nil, &struct{}{})
}

// Content opens a file's content, from offset on and length bytes of it; a length of 0 means all that follows. An offset
// at or after its end is an *Error with status 416. The caller closes it.
func (c *Client) Content(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	part := ""
	switch {
	case length > 0:
		part = fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
	case offset > 0:
		part = fmt.Sprintf("bytes=%d-", offset)
	}
	resp, err := c.send(ctx, http.MethodGet, filePath(id)+"/content", nil, http.Header{"Range": {part}})
	if err != nil {
		return nil, err
	}
	if part != "" && resp.StatusCode != http.StatusPartialContent {
		return nil, errors.Join(fmt.Errorf("read %s of %s: the server answered %s", part, id, resp.Status), resp.Body.Close())
	}
	return resp.Body, nil
}

func filePath(id string) string {
	if id == "" {
		return "/v1/files"
	}
	return "/v1/files/" + url.PathEscape(id)
}
