// Command plain is what one writes in an afternoon instead of a queue: an HTTP handler that asks the upstream, passes the
// stream on to the client that waits, and inserts the answer into the database. If the client, the upstream, the database or
// the handler's process goes away, the answer is lost.
//
//	plain BASE_URL DATABASE_URL
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	openai "github.com/sashabaranov/go-openai"
	"github.com/uptrace/bun"

	"sluice/shared/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "plain:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("want BASE_URL DATABASE_URL")
	}
	db, err := store.OpenPostgres(args[1])
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.NewCreateTable().Model((*plainAnswer)(nil)).IfNotExists().Exec(ctx); err != nil {
		return fmt.Errorf("make the table: %w", err)
	}
	config := openai.DefaultConfig("")
	config.BaseURL = args[0]
	config.HTTPClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	h := &handler{db: db, client: openai.NewClientWithConfig(config)}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	fmt.Printf("plain at http://%s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// plainAnswer is the row.
type plainAnswer struct {
	bun.BaseModel `bun:"table:plain_answer"`

	ID        int64     `bun:"id,pk,autoincrement"`
	Request   string    `bun:"request,type:text"`
	Text      string    `bun:"text,type:text"`
	CreatedAt time.Time `bun:"created_at,type:timestamptz"`
}

type handler struct {
	db     *bun.DB
	client *openai.Client
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request openai.ChatCompletionRequest
	if err == nil {
		err = json.Unmarshal(body, &request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text, err := h.stream(r.Context(), request, w)
	if err == nil {
		_, err = h.db.NewInsert().Model(&plainAnswer{Request: string(body), Text: text, CreatedAt: time.Now()}).Exec(r.Context())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "plain:", err)
		panic(http.ErrAbortHandler) // net/http's way to drop a connection in mid-answer
	}
	_, _ = io.WriteString(w, "data: [DONE]\n\n") // fails only if the client has gone
}

// stream passes the upstream's chunks on, and returns what they say.
func (h *handler) stream(ctx context.Context, request openai.ChatCompletionRequest, w http.ResponseWriter) (string, error) {
	stream, err := h.client.CreateChatCompletionStream(ctx, request)
	if err != nil {
		return "", fmt.Errorf("ask: %w", err)
	}
	defer stream.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	var text strings.Builder
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return text.String(), nil
		}
		if err != nil {
			return "", fmt.Errorf("read: %w", err)
		}
		for _, c := range chunk.Choices {
			text.WriteString(c.Delta.Content)
		}
		data, err := json.Marshal(chunk)
		if err == nil {
			_, err = fmt.Fprintf(w, "data: %s\n\n", data)
		}
		if err == nil {
			err = flush()
		}
		if err != nil {
			return "", fmt.Errorf("pass on: %w", err)
		}
	}
}
