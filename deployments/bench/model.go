package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// model is who is asked for a chat completion, streamed.
type model struct {
	url  string // with /v1
	key  string // empty: none is needed
	http *http.Client
}

// keepAlive is an HTTP client whose connections suffice for all samples that are under way.
func keepAlive() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
}

// first is the time until the first chunk with text.
func (m *model) first(ctx context.Context) (took time.Duration, err error) {
	began := time.Now()
	err = m.stream(ctx, func() { took = time.Since(began) })
	return took, err
}

// stream asks and reads the answer to its end, so that the connection is kept. spoke is called at the first text.
func (m *model) stream(ctx context.Context, spoke func()) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+"/chat/completions", strings.NewReader(request))
	if err != nil {
		return fmt.Errorf("build request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if m.key != "" {
		req.Header.Set("Authorization", "Bearer "+m.key)
	}
	resp, err := m.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the model: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the model: it answered %s", resp.Status)
	}
	silent := true
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if silent && ok && speaks(data) {
			silent = false
			spoke()
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if silent {
		return errSilent
	}
	return nil
}
