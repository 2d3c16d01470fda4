package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// bucket keeps each blob in an object of its own. An object comes into being when all of its parts are there.
type bucket struct {
	s3     minio.Core
	name   string
	prefix string
}

const (
	// partBytes is how much of a blob is in memory while it is put, and sent in one request; of a small one it is firstBytes.
	partBytes  = 8 << 20
	firstBytes = 64 << 10
	// tries of a request that failed for a reason that may pass, with pauses of up to a second.
	tries = 4
	// abortLimit is how long an upload's parts may take to go when its context has ended.
	abortLimit = 10 * time.Second
)

func openBucket(c Config) (*bucket, error) {
	u, err := c.endpoint()
	if err != nil {
		return nil, err
	}
	client, err := minio.NewCore(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(c.AccessKey, c.SecretKey, ""), Secure: u.Scheme == "https", Region: c.Region, MaxRetries: tries,
	})
	if err != nil {
		return nil, fmt.Errorf("S3 at %s: %w", c.Endpoint, err)
	}
	return &bucket{*client, c.Bucket, c.Prefix}, nil
}

// key is the object of a blob.
func (b *bucket) key(name string) (string, error) {
	_, _, err := split(name)
	return path.Join(b.prefix, name), err
}

func (b *bucket) Put(ctx context.Context, name string, r io.Reader) (int64, error) {
	key, err := b.key(name)
	if err != nil {
		return 0, err
	}
	r = source{ctx, r}
	part, err := fill(make([]byte, 0, firstBytes), r)
	if err == nil && len(part) == firstBytes {
		part, err = fill(append(make([]byte, 0, partBytes), part...), r)
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	if len(part) == partBytes {
		return b.putParts(ctx, key, part, r)
	}
	_, err = b.s3.PutObject(ctx, b.name, key, bytes.NewReader(part), int64(len(part)), "", "", minio.PutObjectOptions{})
	if err != nil {
		return 0, fmt.Errorf("put %s: %w", name, err)
	}
	return int64(len(part)), nil
}

// fill reads into what part has free; if that is not full afterwards, r has ended. It is not io.ReadFull, which cannot tell
// the end of r from the io.ErrUnexpectedEOF of an upload that was cut.
func fill(part []byte, r io.Reader) ([]byte, error) {
	for len(part) < cap(part) {
		n, err := r.Read(part[len(part):cap(part)])
		part = part[:len(part)+n]
		if errors.Is(err, io.EOF) {
			return part, nil
		}
		if err != nil {
			return part, err
		}
	}
	return part, nil
}

// putParts sends part, which is full, and what r has after it, one part after the other.
func (b *bucket) putParts(ctx context.Context, key string, part []byte, r io.Reader) (size int64, err error) {
	upload, err := b.s3.NewMultipartUpload(ctx, b.name, key, minio.PutObjectOptions{})
	if err != nil {
		return 0, fmt.Errorf("begin %s: %w", key, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.abort(ctx, key, upload))
		}
	}()
	var list []minio.CompletePart
	for len(part) > 0 {
		sent, err := b.s3.PutObjectPart(ctx, b.name, key, upload, len(list)+1, bytes.NewReader(part), int64(len(part)), minio.PutObjectPartOptions{})
		if err != nil {
			return 0, fmt.Errorf("put part %d of %s: %w", len(list)+1, key, err)
		}
		list = append(list, minio.CompletePart{PartNumber: sent.PartNumber, ETag: sent.ETag})
		size += int64(len(part))
		if part, err = fill(part[:0], r); err != nil {
			return 0, fmt.Errorf("read %s: %w", key, err)
		}
	}
	if _, err := b.s3.CompleteMultipartUpload(ctx, b.name, key, upload, list, minio.PutObjectOptions{}); err != nil {
		return 0, fmt.Errorf("complete %s: %w", key, err)
	}
	return size, nil
}

// abort removes the parts of an upload that has failed, perhaps because ctx has ended.
func (b *bucket) abort(ctx context.Context, key, upload string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortLimit)
	defer cancel()
	if err := b.s3.AbortMultipartUpload(ctx, b.name, key, upload); err != nil && !missing(err) {
		return fmt.Errorf("abort %s: %w", key, err)
	}
	return nil
}

// missing reports that what was asked for is not there.
func missing(err error) bool {
	code := minio.ToErrorResponse(err).Code
	return code == minio.NoSuchKey || code == minio.NoSuchUpload
}

func (b *bucket) Open(ctx context.Context, name string) (Blob, error) {
	key, err := b.key(name)
	if err != nil {
		return nil, err
	}
	object, err := b.s3.Client.GetObject(ctx, b.name, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	info, err := object.Stat()
	if err == nil {
		return &remote{object, info.Size}, nil
	}
	if missing(err) {
		err = fs.ErrNotExist
	}
	return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), object.Close())
}

func (b *bucket) Delete(ctx context.Context, name string) error {
	key, err := b.key(name)
	if err != nil {
		return err
	}
	if err := b.s3.RemoveIncompleteUpload(ctx, b.name, key); err != nil && !missing(err) { // first, or a Put could end in between
		return fmt.Errorf("delete parts of %s: %w", name, err)
	}
	if err := b.s3.RemoveObject(ctx, b.name, key, minio.RemoveObjectOptions{}); err != nil && !missing(err) {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// remote is a blob in a bucket.
type remote struct {
	*minio.Object
	size int64
}

func (r *remote) Size() int64 { return r.size }
