package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/tidwall/gjson"
)

// fetchLimit is how many bytes of an answer are read.
const fetchLimit = 4 << 20

// fetch asks url, with the key if there is one.
func fetch(ctx context.Context, url, key string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, nil, fmt.Errorf("build request: %w", err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, fetchLimit))
	return resp.StatusCode, body, err
}

// gist is what an answer says, in a line.
func gist(body []byte) string {
	text := strings.Join(strings.Fields(string(body)), " ")
	return strings.ToValidUTF8(text[:min(len(text), 120)], "")
}

// checkUpstream asks the upstream which models it has, and says in one sentence what is wrong with its address or key; an
// empty base is OpenAI's.
func checkUpstream(ctx context.Context, base, key string) (found string, err error) {
	if base == "" {
		base = "https://api.openai.com/v1"
	}
	status, body, err := fetch(ctx, strings.TrimSuffix(base, "/")+"/models", key)
	var name *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "", fmt.Errorf("nothing listens at %s: start the upstream, or set OPENAI_BASE_URL to where it is", base)
	case errors.As(err, &name):
		return "", fmt.Errorf("the host of %s is not found: check OPENAI_BASE_URL and the network", base)
	case errors.Is(err, context.DeadlineExceeded):
		return "", fmt.Errorf("%s does not answer in time: check OPENAI_BASE_URL and the network", base)
	case err != nil:
		return "", fmt.Errorf("%s cannot be asked: check OPENAI_BASE_URL: %w", base, err)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		if key == "" {
			return "", fmt.Errorf("%s wants a key (HTTP %d): set OPENAI_API_KEY", base, status)
		}
		return "", fmt.Errorf("%s refuses the key (HTTP %d): set OPENAI_API_KEY to one that it takes", base, status)
	case status == http.StatusNotFound, status < 300 && !gjson.GetBytes(body, "data").IsArray():
		return "", fmt.Errorf("%s is not the address of an OpenAI API (HTTP %d): set OPENAI_BASE_URL to one, which mostly ends in /v1", base, status)
	case status >= 300:
		return "", fmt.Errorf("%s answers with HTTP %d, so it fails itself: %s", base, status, gist(body))
	default:
		return base + " answers", nil
	}
}
