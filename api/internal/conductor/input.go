package conductor

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"sluice/api/internal/blob"
	"sluice/api/internal/line"
	"sluice/shared/completion"
)

// input is the file of a batch while its lines are fed.
type input struct {
	file  io.Closer
	next  func() (line.Line, error, bool)
	stop  func()
	at    time.Time // of the last read
	endAt int       // number of the last line read
}

// inputIdle is how long an open input may rest. File storage on a network hangs up on whoever reads nothing for long.
const inputIdle = 20 * time.Second

// openInput opens the input of b after a position.
func openInput(ctx context.Context, files Files, b *completion.Batch, from line.Position) (*input, error) {
	f, err := files.Open(ctx, blob.Name(b.Tenant, b.Input))
	if err != nil {
		return nil, fmt.Errorf("open input: %w", err)
	}
	if _, err := f.Seek(from.Offset, io.SeekStart); err != nil {
		_ = f.Close() // was only read
		return nil, fmt.Errorf("find line %d of input: %w", from.Number+1, err)
	}
	in := &input{file: f, at: time.Now(), endAt: from.Number}
	in.next, in.stop = iter.Pull2(line.Read(f, from, b.Endpoint))
	return in, nil
}

// read returns the next line.
func (in *input) read(ctx context.Context) (line.Line, error) {
	if ctx.Err() != nil {
		return line.Line{}, context.Cause(ctx)
	}
	l, err, ok := in.next()
	switch {
	case !ok:
		return l, fmt.Errorf("read line %d of input: %w", in.endAt+1, io.ErrUnexpectedEOF)
	case err != nil:
		return l, fmt.Errorf("read input: %w", err)
	}
	in.at, in.endAt = time.Now(), l.Number
	return l, nil
}

// close may be called on nil.
func (in *input) close() {
	if in != nil {
		in.stop()
		_ = in.file.Close() // was only read
	}
}

// open returns the input where the next line to feed begins.
func (g *charge) open(ctx context.Context) (*input, error) {
	if g.input != nil && time.Since(g.input.at) < inputIdle {
		return g.input, nil
	}
	g.input.close()
	c := g.b.Checkpoint
	var err error
	g.input, err = openInput(ctx, g.Files, &g.b, line.Position{Number: c.Fed, Offset: c.Offset})
	return g.input, err
}
