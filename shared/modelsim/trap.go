package modelsim

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
)

// sendAndTrap sends the answer on a connection that it then offers to keep, waits for the next request on it, and
// closes it without an answer: the race that a client meets whose server closes idle connections.
func (a *answer) sendAndTrap(ctx context.Context, w http.ResponseWriter, pace *pacer) error {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return errDrop
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	raw := &rawResponse{conn: conn, buf: buf.Writer, header: w.Header()}
	raw.WriteHeader(http.StatusOK)
	if err := a.stream(ctx, raw, pace); err != nil {
		return err
	}
	if err := raw.end(); err != nil {
		return gone(err)
	}
	_, _ = buf.ReadByte() // the next request, or the client's end
	return nil
}

// rawResponse writes a chunked HTTP/1.1 response on a connection taken from net/http.
type rawResponse struct {
	conn   net.Conn
	buf    *bufio.Writer
	header http.Header
	body   io.WriteCloser
}

func (r *rawResponse) Header() http.Header { return r.header }

func (r *rawResponse) WriteHeader(status int) {
	fmt.Fprintf(r.buf, "HTTP/1.1 %d %s\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", status, http.StatusText(status))
	r.body = httputil.NewChunkedWriter(r.buf)
}

func (r *rawResponse) Write(p []byte) (int, error) { return r.body.Write(p) }

// FlushError makes rawResponse work with http.ResponseController.
func (r *rawResponse) FlushError() error { return r.buf.Flush() }

// Hijack returns the connection, for the fault "reset".
func (r *rawResponse) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return r.conn, bufio.NewReadWriter(bufio.NewReader(r.conn), r.buf), nil
}

func (r *rawResponse) end() error {
	if err := r.body.Close(); err != nil {
		return err
	}
	if _, err := r.buf.WriteString("\r\n"); err != nil {
		return err
	}
	return r.buf.Flush()
}
