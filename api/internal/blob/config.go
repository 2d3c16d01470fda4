package blob

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
)

// Config says where blobs are kept: in the bucket if there is an endpoint, or else in the folder.
type Config struct {
	Dir       string `name:"files-dir" env:"SLUICE_FILES_DIR" help:"Folder for the content of files; by default ./files, in the all-in-one the folder files in its data folder. Several API processes need one that they share, or S3."`
	Endpoint  string `name:"s3-endpoint" env:"SLUICE_S3_ENDPOINT" help:"Address of an S3-compatible store that keeps the content of files in place of the folder, such as https://s3.eu-central-1.amazonaws.com."`
	Bucket    string `name:"s3-bucket" env:"SLUICE_S3_BUCKET" help:"Its bucket, which must be there."`
	Prefix    string `name:"s3-prefix" env:"SLUICE_S3_PREFIX" help:"Begins the names of all objects in the bucket, followed by a slash; none by default."`
	Region    string `name:"s3-region" env:"SLUICE_S3_REGION" default:"us-east-1" help:"Region of the bucket."`
	AccessKey string `name:"s3-access-key" env:"SLUICE_S3_ACCESS_KEY" help:"Access key of S3."`
	SecretKey string `name:"s3-secret-key" env:"SLUICE_S3_SECRET_KEY" secret:"" help:"Its secret key."`
}

// defaultDir is the folder where none is set.
const defaultDir = "./files"

// Validate reports all faults of c at once.
func (c Config) Validate() error {
	var err error
	if c.Endpoint == "" {
		if c.Bucket+c.Prefix+c.AccessKey+c.SecretKey != "" {
			err = errors.New("S3 settings without an endpoint: set SLUICE_S3_ENDPOINT, or none of them")
		}
		return err
	}
	if _, bad := c.endpoint(); bad != nil {
		err = bad
	}
	if c.Bucket == "" || strings.ContainsAny(c.Bucket, "/ ") {
		err = errors.Join(err, fmt.Errorf("S3 bucket %q: want the name of a bucket", c.Bucket))
	}
	if c.Prefix != "" && (c.Prefix == "." || !fs.ValidPath(c.Prefix)) {
		err = errors.Join(err, fmt.Errorf("S3 prefix %q: want a path without a slash at its ends", c.Prefix))
	}
	if c.AccessKey == "" || c.SecretKey == "" {
		err = errors.Join(err, errors.New("S3 keys: want both SLUICE_S3_ACCESS_KEY and SLUICE_S3_SECRET_KEY"))
	}
	return err
}

func (c Config) endpoint() (*url.URL, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.TrimSuffix(c.Endpoint, "/") != u.Scheme+"://"+u.Host {
		return nil, fmt.Errorf("S3 endpoint %q: want https://HOST or http://HOST:PORT", c.Endpoint)
	}
	return u, nil
}

// New returns the store that c describes. A folder is made if it is not there; a bucket is first asked when it is used.
func New(c Config) (Store, error) {
	if c.Endpoint == "" {
		return openFolder(cmp.Or(c.Dir, defaultDir))
	}
	return openBucket(c)
}
