package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// batchState is how far a run of a batch has come: what its state file has, beside its output, from before the upload
// until the output is there. With it, a run that was cut off anywhere goes on and asks for nothing twice.
type batchState struct {
	API    string `json:"api"`
	SHA256 string `json:"sha256"` // of the requests
	Bytes  int64  `json:"bytes"`
	Key    string `json:"idempotency_key"`
	Ask    ask    `json:"ask"`
	File   string `json:"file_id,omitzero"`  // empty: not uploaded yet
	Batch  string `json:"batch_id,omitzero"` // empty: not made yet, as far as is known
	Seq    int64  `json:"seq,omitzero"`      // of the latest event that was seen when the run was left
}

// statePath is where the state of a run is kept: beside its output, or its input where the output is a stream. A run from
// standard input into a stream has none.
func statePath(in, out string) string {
	switch {
	case !stream(out):
		return out + ".sluice"
	case in != stdio:
		return in + ".sluice"
	}
	return ""
}

// stream reports whether path is not a file to be replaced: standard output, or a device or a pipe.
func stream(path string) bool {
	if path == stdio {
		return true
	}
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular()
}

// readState reads a state file.
func readState(path string) (s batchState, err error) {
	if path == "" {
		return s, &exitError{2, errors.New("a run from standard input to standard output cannot be resumed; sluice batch follow shows the output of a batch")}
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, &exitError{2, fmt.Errorf("there is nothing to resume, for %s is not there: run it without --resume", path)}
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil || s.Key == "" {
		return s, errors.Join(fmt.Errorf("%s is not the state of a run: remove it, and run it without --resume", path), err)
	}
	return s, nil
}

// begin writes a new state file; that there is one already is an error that says what to do.
func (s *batchState) begin(path, resume string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &exitError{2, fmt.Errorf("%s says that an earlier run has not ended. Go on with it:\n  %s\nor remove that file to begin anew", path, resume)}
	}
	if err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(f).Encode(s), f.Sync(), f.Close())
}

// keep writes the state file anew.
func (s *batchState) keep(path string) error {
	if path == "" {
		return nil
	}
	return save(path, 0o600, func(w io.Writer) error { return json.NewEncoder(w).Encode(s) })
}

// end removes the state file.
func (s *batchState) end(path string) error {
	if path == "" {
		return nil
	}
	return os.Remove(path)
}

// save writes a file that is there as a whole or not at all; what was there before stays until then. A new file has mode,
// less what the user's mask takes away.
func save(path string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link stays one
	}
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:8])
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(name))
		}
	}()
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(name, path)
}
