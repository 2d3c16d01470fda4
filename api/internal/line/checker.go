package line

import (
	"context"
	"io"
	"iter"

	"github.com/tidwall/gjson"

	"sluice/api/internal/request"
	"sluice/shared/completion"
)

// Models knows which models there are.
type Models interface {
	Check(ctx context.Context, model string) error
	Native(ctx context.Context, model string) bool
}

// Checker validates one file. It holds some 40 bytes for each line. It is for one goroutine.
type Checker struct {
	Total  int                    // lines so far, bad ones included
	Bad    int                    // of them
	Model  string                 // the first one that a line names
	Errors []completion.LineError // the first completion.MaxBatchErrors faults; when there are more, the last entry says how many

	endpoint completion.Endpoint
	body     int64 // most bytes of one
	models   Models
	ids      map[[16]byte]int32 // number of the line that has it
	known    map[string]model
}

// model is what the catalog says of one.
type model struct {
	err    error
	native bool
}

// maxKnown bounds how many answers of the catalog are remembered.
const maxKnown = 1000

// NewChecker returns a Checker of a file of requests to endpoint e, whose bodies may have so many bytes; 0: as many as any may.
func NewChecker(e completion.Endpoint, m Models, bytes int64) *Checker {
	return &Checker{endpoint: e, body: bytes, models: m, ids: map[[16]byte]int32{}, known: map[string]model{}}
}

// Check reads a whole file and yields its lines as Read does, with the faults that only the file as a whole can show, or that
// depend on what models there are. A fault of the file itself has Line 0 and comes last. The file is good if nothing but good
// lines came; Checker's fields say what was found up to the latest line.
func (c *Checker) Check(ctx context.Context, r io.Reader) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		for l, err := range Read(r, Position{}, c.endpoint) {
			f := AsFault(err)
			switch {
			case l.Number > completion.MaxBatchLines:
				yield(l, c.note(newFault(0, CodeTooMany, "", "The file has more than %d lines.", completion.MaxBatchLines)))
				return
			case err != nil && f == nil:
				yield(l, err)
				return
			case f == nil:
				f = c.line(ctx, &l)
			}
			c.Total = l.Number
			if !yield(l, c.note(f)) {
				return
			}
		}
		if c.Total == 0 {
			yield(Line{}, c.note(newFault(0, CodeEmpty, "", "The file is empty; it must have at least one line.")))
		}
	}
}

// note keeps a fault, and returns it as an error.
func (c *Checker) note(f *Fault) error {
	if f == nil {
		return nil
	}
	c.Bad++
	switch n := c.Bad - completion.MaxBatchErrors; {
	case n <= 0:
		c.Errors = append(c.Errors, f.LineError)
	default:
		more := newFault(0, CodeMore, "", "There are %d more errors.", n+1)
		c.Errors[completion.MaxBatchErrors-1] = more.LineError
	}
	return f
}

// line checks a line that is good by itself.
func (c *Checker) line(ctx context.Context, l *Line) *Fault {
	if c.Model == "" {
		c.Model = l.Model
	}
	f := c.unique(l)
	if f == nil {
		f = c.size(l)
	}
	if f == nil {
		f = c.model(ctx, l)
	}
	if f != nil {
		f.CustomID = l.CustomID
	}
	return f
}

func (c *Checker) unique(l *Line) *Fault {
	key := digest([]byte(l.CustomID))
	if n, ok := c.ids[key]; ok {
		return newFault(l.Number, CodeDuplicate, "custom_id", "Line %d has the same custom_id; it must be unique in the file.", n)
	}
	c.ids[key] = int32(l.Number) //nolint:gosec // at most completion.MaxBatchLines
	return nil
}

// size holds the line to what the tenant may submit.
func (c *Checker) size(l *Line) *Fault {
	if c.body > 0 && int64(len(l.Body)) > c.body {
		return newFault(l.Number, CodeTooLarge, "body", "The body is too large: the tenant's limit is %d bytes.", c.body)
	}
	return nil
}

// model checks what depends on the model.
func (c *Checker) model(ctx context.Context, l *Line) *Fault {
	m := c.ask(ctx, l.Model)
	if c.endpoint == completion.EndpointResponses {
		if _, err := request.Response(gjson.ParseBytes(l.Body), "body", m.native); err != nil {
			return faultOf(l.Number, err)
		}
	}
	if m.err != nil {
		f := faultOf(l.Number, m.err)
		f.Param = "body.model"
		return f
	}
	return nil
}

// ask asks the catalog, once for each model.
func (c *Checker) ask(ctx context.Context, name string) model {
	m, ok := c.known[name]
	if !ok {
		if len(c.known) >= maxKnown {
			clear(c.known)
		}
		m = model{err: c.models.Check(ctx, name), native: c.models.Native(ctx, name)}
		c.known[name] = m
	}
	return m
}
