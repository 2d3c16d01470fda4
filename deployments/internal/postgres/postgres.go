// Package postgres runs a PostgreSQL server of one's own, in a temporary folder: the tests' and the fault suite's. Its
// data survives the server's process, not the machine.
package postgres

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// Server is a PostgreSQL server. It is for one goroutine at a time.
type Server struct {
	program string
	args    []string
	port    int
	dir     string // holds the data and the socket
	attr    *syscall.SysProcAttr
	cmd     *exec.Cmd
	log     bytes.Buffer
	ended   chan struct{} // closed when the server has ended
}

// startLimit is how long PostgreSQL may take to answer.
const startLimit = time.Minute

// startTries is how many ports are tried: another program may take the free one that was found.
const startTries = 3

// New makes a database cluster for the server program at path and starts it on a free port. The settings, as name=value,
// come on top of few connections, little memory and no fsync.
func New(ctx context.Context, path string, settings ...string) (_ *Server, err error) {
	s := &Server{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.prepare(ctx, path); err != nil {
		return nil, err
	}
	for _, setting := range append([]string{"fsync=off", "full_page_writes=off", "max_connections=400", "shared_buffers=64MB"}, settings...) {
		s.args = append(s.args, "-c", setting)
	}
	for range startTries {
		if s.port, err = freePort(ctx); err != nil {
			return nil, err
		}
		if err = s.Start(ctx); err == nil || ctx.Err() != nil {
			break
		}
		s.End(syscall.SIGQUIT)
	}
	return s, err
}

// URL is the address of the database postgres, for its superuser.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres://sluice@127.0.0.1:%d/postgres?sslmode=disable", s.port)
}

// PID is the server's first process, whose children the others are; 0 if it does not run.
func (s *Server) PID() int {
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// prepare makes a database cluster.
func (s *Server) prepare(ctx context.Context, path string) (err error) {
	if s.dir, err = os.MkdirTemp("", "sluice-postgres-"); err != nil {
		return fmt.Errorf("make folder for PostgreSQL: %w", err)
	}
	if s.program, err = filepath.EvalSymlinks(path); err != nil { // the other programs are beside the real one
		return fmt.Errorf("find PostgreSQL: %w", err)
	}
	if s.attr, err = s.identity(); err != nil {
		return err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(filepath.Dir(s.program), "initdb"), "-D", s.data(), "-U", "sluice", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = s.attr, s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Start starts the server, again after End with what it had, and waits until it answers. The children of a server that
// was killed need a moment to notice; until then a new one refuses to start.
func (s *Server) Start(ctx context.Context) error {
	for {
		err := s.start(ctx)
		if err == nil || !strings.Contains(s.log.String(), "shared memory") {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *Server) start(ctx context.Context) error {
	s.log.Reset()
	args := append([]string{"-D", s.data(), "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-k", s.dir}, s.args...)
	s.cmd = exec.Command(s.program, args...) //nolint:noctx // End ends it, after the command that uses it
	s.cmd.SysProcAttr, s.cmd.Dir = s.attr, s.dir
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	ended := make(chan struct{})
	s.ended = ended
	go func() {
		defer close(ended)
		_ = s.cmd.Wait() // says how it was ended
	}()
	return s.await(ctx)
}

// identity makes the server run as somebody else than root, which it refuses, and die with this program.
func (s *Server) identity() (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the command first
	dieWithParent(attr)
	if os.Geteuid() != 0 {
		return attr, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if err := errors.Join(uidErr, gidErr, os.Chown(s.dir, uid, gid)); err != nil {
			return nil, fmt.Errorf("give the folder to %s: %w", name, err)
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return attr, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// await returns when the server answers.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	db, err := sql.Open("pgx", s.URL())
	if err != nil {
		return fmt.Errorf("open PostgreSQL: %w", err)
	}
	defer db.Close()
	for {
		err := s.answers(ctx, db)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("PostgreSQL has ended: %s", s.log.String())
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// answers asks the server which folder it serves: another one may listen on the port.
func (s *Server) answers(ctx context.Context, db *sql.DB) error {
	var data string
	if err := db.QueryRowContext(ctx, "SHOW data_directory").Scan(&data); err != nil {
		return fmt.Errorf("ask PostgreSQL: %w", err)
	}
	if data != s.data() {
		return fmt.Errorf("the PostgreSQL that answers is another one, in %s", data)
	}
	return nil
}

// End ends the server with a signal: SIGINT cuts its clients off and stops in order, SIGQUIT at once, SIGKILL as a crash.
func (s *Server) End(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig) // it may be gone already
	<-s.ended
	s.cmd = nil
}

// Close ends the server and removes its folder.
func (s *Server) Close() error {
	s.End(syscall.SIGQUIT)
	if s.dir == "" {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove PostgreSQL's folder: %w", err)
	}
	return nil
}
