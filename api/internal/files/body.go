package files

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"sluice/shared/completion"
)

// formBytes is what a form may have besides the content of its file.
const formBytes = 1 << 20

// body is that of an upload. It may take its time as long as something comes, and has a size that no form exceeds.
type body struct {
	from    io.Reader
	control *http.ResponseController
	limit   time.Duration // longest that nothing comes
	left    int64         // bytes that may still come
}

// newBody puts limits of its own on r's body in place of those that hold for every request.
func newBody(w http.ResponseWriter, r *http.Request, limit time.Duration) *body {
	b := &body{from: r.Body, control: http.NewResponseController(w), limit: limit, left: completion.MaxFileBytes + formBytes}
	_ = b.control.SetWriteDeadline(time.Time{}) // like all of these: a connection that is gone needs none
	return b
}

func (b *body) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, tooLarge(completion.MaxFileBytes)
	}
	_ = b.control.SetReadDeadline(time.Now().Add(b.limit))
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// restLimit is how long the server may look for the end of a body that was refused, before it answers.
const restLimit = time.Second

// end leaves the connection to the answer. whole: nothing more will come.
func (b *body) end(whole bool) {
	_ = b.control.SetWriteDeadline(time.Now().Add(restLimit + b.limit))
	if whole {
		_ = b.control.SetReadDeadline(time.Time{})
		return
	}
	_ = b.control.SetReadDeadline(time.Now().Add(restLimit))
}

// atMost is r, as long as it has no more bytes than limit.
type atMost struct {
	r     io.Reader
	limit int64
	read  int64
	err   error // what r ended with, if not with io.EOF
}

func (a *atMost) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if a.read += int64(n); a.read > a.limit {
		err = tooLarge(a.limit)
	}
	if err != nil && err != io.EOF { //nolint:errorlint // a reader's end is io.EOF itself; one that wraps it means a fault
		a.err = err
	}
	return n, err
}

func tooLarge(limit int64) error {
	e := completion.NewError(completion.CodeTooLarge, fmt.Sprintf("The file is too large: it may have at most %d bytes.", limit))
	e.Param = fieldFile
	return e
}
