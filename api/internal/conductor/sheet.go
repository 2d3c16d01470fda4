package conductor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/api/internal/blob"
	"sluice/shared/completion"
)

// sheet is a file that a batch writes. It comes into being with its first row, and stays invisible until it is published.
type sheet struct {
	g    *charge
	name string // of what is in it
	id   string // empty: nothing was written
	pipe *io.PipeWriter
	buf  *bufio.Writer
	done chan error // the outcome, once
}

const sheetBuffer = 64 << 10

// sheet returns a file of what its name says. It must be ended or dropped.
func (g *charge) sheet(name string) *sheet { return &sheet{g: g, name: name} }

// write adds a row.
func (s *sheet) write(ctx context.Context, row []byte) error {
	if s.pipe == nil {
		if err := s.begin(ctx); err != nil {
			return err
		}
	}
	_, err := s.buf.Write(row)
	if err == nil {
		err = s.buf.WriteByte('\n')
	}
	if err != nil {
		return fmt.Errorf("write %s file: %w", s.name, err)
	}
	return nil
}

func (s *sheet) begin(ctx context.Context) error {
	b, now, age := &s.g.b, time.Now(), s.g.b.OutputAge
	if age <= 0 {
		age = completion.BatchFileAge
	}
	id := completion.NewFileID()
	err := s.g.Store.AddFile(ctx, completion.File{
		ID: id, Tenant: b.Tenant, Name: b.ID + "_" + s.name + ".jsonl", Purpose: completion.PurposeBatchOutput, Batch: b.ID,
		CreatedAt: now, ExpiresAt: now.Add(age),
	})
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	s.id, s.pipe, s.buf, s.done = id, w, bufio.NewWriterSize(w, sheetBuffer), make(chan error, 1)
	go func() {
		_, err := s.g.Files.Put(ctx, blob.Name(b.Tenant, id), r)
		_ = r.CloseWithError(err) // never fails
		s.done <- err
	}()
	return nil
}

// end waits until the file is whole.
func (s *sheet) end() error {
	if s.pipe == nil {
		return nil
	}
	err := s.buf.Flush()
	_ = s.pipe.CloseWithError(err) // never fails
	s.pipe = nil
	if err := errors.Join(err, <-s.done); err != nil {
		return fmt.Errorf("write %s file: %w", s.name, err)
	}
	return nil
}

// errDropped is why the rest of a file does not come.
var errDropped = errors.New("the file is given up")

// drop gives up a file that was not ended. It may be called afterwards too.
func (s *sheet) drop() {
	if s.pipe != nil {
		_ = s.pipe.CloseWithError(errDropped) // never fails
		if err := <-s.done; err != nil {
			s.g.log.Debug("a file was given up", "file_id", s.id, "error", err)
		}
		s.pipe = nil
	}
}
