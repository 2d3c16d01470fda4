// Package blobtest gives tests a bucket on the real S3-compatible server that make test starts.
package blobtest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"

	"sluice/api/internal/blob"
)

// variable names the server, with its keys as user and password.
const variable = "SLUICE_TEST_S3_URL"

// Bucket is a test's own.
type Bucket struct {
	Config blob.Config
	client *minio.Client
}

// New makes a bucket that is removed at the end of the test.
func New(t testing.TB) *Bucket {
	t.Helper()
	base := os.Getenv(variable)
	if base == "" {
		t.Fatalf("%s is not set: run the tests through make test, or start the servers with make servers", variable)
	}
	u, err := url.Parse(base)
	require.NoError(t, err)
	secret, _ := u.User.Password()
	b := &Bucket{Config: blob.Config{
		Endpoint: u.Scheme + "://" + u.Host, Bucket: "test-" + strings.ToLower(rand.Text()), Prefix: "some/where",
		Region: "us-east-1", AccessKey: u.User.Username(), SecretKey: secret,
	}}
	b.client, err = minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(b.Config.AccessKey, secret, ""), Region: b.Config.Region})
	require.NoError(t, err)
	require.NoError(t, b.client.MakeBucket(context.Background(), b.Config.Bucket, minio.MakeBucketOptions{}))
	t.Cleanup(func() { b.remove(t) })
	return b
}

func (b *Bucket) remove(t testing.TB) {
	ctx := context.Background()
	for o := range b.client.ListObjects(ctx, b.Config.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		require.NoError(t, o.Err)
		require.NoError(t, b.client.RemoveObject(ctx, b.Config.Bucket, o.Key, minio.RemoveObjectOptions{}))
	}
	require.NoError(t, b.client.RemoveBucket(ctx, b.Config.Bucket))
}

// Keys lists all that is in the bucket: objects, and uploads that have not ended, which have a "+" before their key.
func (b *Bucket) Keys(t testing.TB) []string {
	t.Helper()
	var all []string
	for o := range b.client.ListObjects(t.Context(), b.Config.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		require.NoError(t, o.Err)
		all = append(all, o.Key)
	}
	for u := range b.client.ListIncompleteUploads(t.Context(), b.Config.Bucket, "", true) {
		require.NoError(t, u.Err)
		all = append(all, "+"+u.Key)
	}
	return all
}
