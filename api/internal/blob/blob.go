// Package blob keeps the content of files, in a local folder or in a bucket of an S3-compatible store.
//
// A blob is written once and read often; it is there as a whole or not at all, and what is there outlives a crash of the
// machine. Who owns a blob, and for how long it is kept, others know: see package files.
package blob

import (
	"context"
	"fmt"
	"io"
	"strings"

	"sluice/shared/completion"
)

// Store keeps blobs by their names, which Name makes. It is safe for concurrent use, also by several processes.
type Store interface {
	// Put keeps what r yields under name and returns its size. It holds a bounded part of it in memory, however large it
	// is. After an error, which may be r's own, there is nothing new under the name, unless a bucket has stored what it
	// did not confirm; Delete removes that too. Who puts under a name that is there replaces it for those who open it later.
	Put(ctx context.Context, name string, r io.Reader) (bytes int64, err error)
	// Open returns the blob, or an error that is fs.ErrNotExist. Reading ends with ctx.
	Open(ctx context.Context, name string) (Blob, error)
	// Delete removes the blob and what a Put of it has left that was interrupted, or is still under way: that one fails.
	// It is no error if there is none.
	Delete(ctx context.Context, name string) error
}

// Blob is the content of one file. It is for one goroutine.
type Blob interface {
	io.ReadSeekCloser
	Size() int64 // in bytes
}

// Name is that of a tenant's file.
func Name(tenant, file string) string { return tenant + "/" + file }

// split returns the parts of a name. They cannot lead out of a folder.
func split(name string) (tenant, file string, err error) {
	tenant, file, _ = strings.Cut(name, "/")
	if !completion.ValidToken(tenant) || !completion.ValidToken(file) {
		return "", "", fmt.Errorf("blob %q: want TENANT/FILE", name)
	}
	return tenant, file, nil
}

// source is r until ctx ends.
type source struct {
	ctx context.Context
	r   io.Reader
}

func (s source) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}
