// Package s3 runs an S3-compatible server of one's own, in a temporary folder: the tests'. It is versitygw, built from the Go
// module proxy by the versions in server.mod, which to change takes a folder with it and server.sum as go.mod and go.sum.
package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed" // for what the server is built from
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

var (
	//go:embed server.mod
	mod []byte
	//go:embed server.sum
	sum []byte
)

const (
	program = "github.com/versity/versitygw/cmd/versitygw"
	// startLimit is how long the server may take to answer.
	startLimit = 30 * time.Second
	startTries = 3 // ports: another program may take the free one that was found
)

// Build returns the server's program, in the user's cache, where it is made once for each list of versions. That takes a
// minute or two.
func Build(ctx context.Context) (path string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the S3 server: %w", err)
	}
	id := sha256.Sum256(append(mod, sum...))
	path = filepath.Join(cache, "sluice", "s3-"+hex.EncodeToString(id[:8]))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintln(os.Stderr, "building the S3 server of the tests")
	if err := build(ctx, path); err != nil {
		return "", fmt.Errorf("build the S3 server: %w", err)
	}
	return path, nil
}

// build makes path in one step, so that it is whole if it is there, whoever else builds at the same time.
func build(ctx context.Context, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string][]byte{"go.mod": mod, "go.sum": sum} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", "server", program)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return os.Rename(filepath.Join(dir, "server"), path)
}

// Server is an S3-compatible server.
type Server struct {
	addr           string
	access, secret string
	dir            string
	cmd            *exec.Cmd
	log            bytes.Buffer
	ended          chan struct{} // closed when the server has ended
}

// New starts the program at path on a free port, without buckets.
func New(ctx context.Context, path string) (_ *Server, err error) {
	s := &Server{access: "sluice", secret: rand.Text()}
	if s.dir, err = os.MkdirTemp("", "sluice-s3-"); err != nil {
		return nil, fmt.Errorf("make folder for S3: %w", err)
	}
	for range startTries {
		if err = s.start(ctx, path); err == nil || ctx.Err() != nil {
			break
		}
		s.end()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// URL is the address of the server, with its access key and secret key as user and password.
func (s *Server) URL() string {
	u := url.URL{Scheme: "http", User: url.UserPassword(s.access, s.secret), Host: s.addr}
	return u.String()
}

func (s *Server) start(ctx context.Context, path string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("find a free port: %w", err)
	}
	s.addr = l.Addr().String()
	if err := l.Close(); err != nil {
		return fmt.Errorf("free the port: %w", err)
	}
	s.log.Reset()
	s.cmd = exec.Command(path, "--port", s.addr, "--quiet", "posix", s.dir) //nolint:noctx // Close ends it, after the command that uses it
	s.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.access, "ROOT_SECRET_KEY="+s.secret)
	s.cmd.SysProcAttr = attributes()
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return fmt.Errorf("start S3: %w", err)
	}
	cmd, ended := s.cmd, make(chan struct{})
	s.ended = ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // says how it was ended
	}()
	return s.await(ctx)
}

// await returns when the server answers.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := s.answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("the S3 server has ended: %s", s.log.String())
		case <-ctx.Done():
			return fmt.Errorf("the S3 server does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// answers asks the server something that needs no key.
func (s *Server) answers(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func (s *Server) end() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may be gone already
	<-s.ended
	s.cmd = nil
}

// Close ends the server and removes its folder.
func (s *Server) Close() error {
	s.end()
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove S3's folder: %w", err)
	}
	return nil
}
