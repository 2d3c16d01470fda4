package main

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
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// postgres is a server of our own in a temporary folder, without fsync: its data is thrown away.
type postgres struct {
	url   string
	dir   string // holds the data and the socket
	bin   string // holds the programs
	attr  *syscall.SysProcAttr
	cmd   *exec.Cmd
	log   bytes.Buffer
	ended chan struct{} // closed when the server has ended
}

// startLimit is how long PostgreSQL may take to answer.
const startLimit = time.Minute

// startTries is how many ports are tried: another program may take the free one that was found.
const startTries = 3

func startPostgres(ctx context.Context) (_ *postgres, err error) {
	p := &postgres{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.stop())
		}
	}()
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	for range startTries {
		if err = p.start(ctx); err == nil || ctx.Err() != nil {
			break
		}
		p.halt()
	}
	return p, err
}

// prepare makes a database cluster.
func (p *postgres) prepare(ctx context.Context) (err error) {
	if p.dir, err = os.MkdirTemp("", "sluice-postgres-"); err != nil {
		return fmt.Errorf("make folder for PostgreSQL: %w", err)
	}
	path, err := filepath.EvalSymlinks(server.find()) // the other programs are beside the real one
	if err != nil {
		return fmt.Errorf("find PostgreSQL: %w", err)
	}
	p.bin = filepath.Dir(path)
	if p.attr, err = p.identity(); err != nil {
		return err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(p.bin, "initdb"), "-D", p.data(), "-U", "sluice", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = p.attr, p.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

func (p *postgres) data() string { return filepath.Join(p.dir, "data") }

// start starts the server on a free port and waits until it answers.
func (p *postgres) start(ctx context.Context) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	p.log.Reset()
	p.cmd = exec.Command(filepath.Join(p.bin, "postgres"), "-D", p.data(), "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", p.dir, //nolint:noctx // stop ends it, after the command that uses it
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "max_connections=400", "-c", "shared_buffers=64MB")
	p.cmd.SysProcAttr, p.cmd.Dir = p.attr, p.dir
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		p.cmd = nil
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	ended := make(chan struct{})
	p.ended = ended
	go func() {
		defer close(ended)
		_ = p.cmd.Wait() // says how it was ended
	}()
	p.url = fmt.Sprintf("postgres://sluice@127.0.0.1:%d/postgres?sslmode=disable", port)
	return p.await(ctx)
}

// identity makes the server run as somebody else than root, which it refuses, and die with this program.
func (p *postgres) identity() (*syscall.SysProcAttr, error) {
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
		if err := errors.Join(uidErr, gidErr, os.Chown(p.dir, uid, gid)); err != nil {
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
func (p *postgres) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	db, err := sql.Open("pgx", p.url)
	if err != nil {
		return fmt.Errorf("open PostgreSQL: %w", err)
	}
	defer db.Close()
	for {
		err := p.answers(ctx, db)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("PostgreSQL has ended: %s", p.log.String())
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// answers asks the server which folder it serves: another one may listen on the port.
func (p *postgres) answers(ctx context.Context, db *sql.DB) error {
	var data string
	if err := db.QueryRowContext(ctx, "SHOW data_directory").Scan(&data); err != nil {
		return fmt.Errorf("ask PostgreSQL: %w", err)
	}
	if data != p.data() {
		return fmt.Errorf("the PostgreSQL that answers is another one, in %s", data)
	}
	return nil
}

// halt ends the server at once.
func (p *postgres) halt() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGQUIT) // immediate shutdown; it may be gone already
	<-p.ended
	p.cmd = nil
}

// stop ends the server and removes its folder.
func (p *postgres) stop() error {
	p.halt()
	if p.dir == "" {
		return nil
	}
	if err := os.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("remove PostgreSQL's folder: %w", err)
	}
	return nil
}
