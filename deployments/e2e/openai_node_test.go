package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/npm"
)

// nodeModules installs the packages of the folder openai, once for all tests.
var nodeModules = sync.OnceValues(func() (string, error) { return npm.Install(context.Background(), "openai") })

// nodeFolder makes a folder with the scripts of the folder openai and the packages that they import.
func nodeFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, fillNodeFolder(dir))
	return dir
}

func fillNodeFolder(dir string) error {
	modules, err := nodeModules()
	if err != nil {
		return err
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		return err
	}
	scripts, err := filepath.Glob("openai/*.mjs")
	if err != nil {
		return err
	}
	return npm.Copy(dir, append(scripts, "openai/aimock.json")...)
}

// startAimock runs @copilotkit/aimock, which speaks OpenAI's API and answers as its fixtures say.
func startAimock(t *testing.T) string {
	t.Helper()
	dir := nodeFolder(t)
	p := program{name: nodePath(t), args: []string{"node_modules/@copilotkit/aimock/dist/cli.js", "-p", "0", "-f", "aimock.json", "--strict", "-c", "5"}, dir: dir}.start(t)
	return p.await(t, `listening on (\S+)`)[1]
}

func nodePath(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	require.NoError(t, err, "these tests need Node.js")
	return path
}

// nodeDriver makes the calls of the table with the programs for Node.js, in one process.
type nodeDriver struct {
	in io.Writer

	mu      sync.Mutex // of what follows, and of in
	waiting map[string]chan sight
	err     error // why no more answers come
}

func startNodeDriver(t *testing.T) *nodeDriver {
	t.Helper()
	cmd := exec.Command(nodePath(t), filepath.Join(nodeFolder(t), "driver.mjs"))
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	d := &nodeDriver{in: in, waiting: map[string]chan sight{}}
	var reading sync.WaitGroup
	reading.Go(func() { d.read(out) })
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // what hangs in it has failed its test
		reading.Wait()
		_ = cmd.Wait() // says that it was killed
	})
	return d
}

// read hands out the answers until the process ends.
func (d *nodeDriver) read(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		var s sight
		if err == nil {
			err = json.Unmarshal(line, &s)
		}
		d.mu.Lock()
		if err != nil {
			d.err = errors.Join(errors.New("the driver for Node.js has ended"), err)
			for _, c := range d.waiting {
				close(c)
			}
			d.mu.Unlock()
			return
		}
		d.waiting[s.ID] <- s
		delete(d.waiting, s.ID)
		d.mu.Unlock()
	}
}

func (d *nodeDriver) do(ctx context.Context, o order) sight {
	answer := make(chan sight, 1)
	line, err := json.Marshal(o)
	d.mu.Lock()
	if err = errors.Join(err, d.err); err == nil {
		d.waiting[o.ID] = answer
		_, err = d.in.Write(append(line, '\n'))
	}
	d.mu.Unlock()
	if err != nil {
		return sight{Error: &failure{Message: err.Error()}}
	}
	select {
	case s, ok := <-answer:
		if !ok {
			return sight{Error: &failure{Message: d.err.Error()}}
		}
		return s
	case <-ctx.Done():
		return sight{Error: &failure{Message: "no answer: " + ctx.Err().Error()}}
	}
}
