package e2e_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
)

// upload is a file of the table: its text, or its lines, where a line is JSON or a text.
type upload struct {
	Name, Text string
	Lines      []json.RawMessage
}

func (u *upload) content() string {
	if u.Lines == nil {
		return u.Text
	}
	var b strings.Builder
	for _, line := range u.Lines {
		var text string
		if json.Unmarshal(line, &text) != nil {
			text = string(line)
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}

func fileCreate(ctx context.Context, c *goCall) error {
	var args struct {
		File         *upload
		Purpose      openai.FilePurpose
		ExpiresAfter openai.FileNewParamsExpiresAfter `json:"expires_after"`
	}
	if err := json.Unmarshal(c.arg(0), &args); err != nil {
		return err
	}
	body := openai.FileNewParams{Purpose: args.Purpose, ExpiresAfter: args.ExpiresAfter}
	if args.File != nil {
		body.File = openai.File(strings.NewReader(args.File.content()), args.File.Name, "application/jsonl")
	}
	file, err := c.client.Files.New(ctx, body)
	return c.saw.keep(file, err)
}

func fileList(ctx context.Context, c *goCall) error {
	_, opts, err := c.query(0)
	if err != nil {
		return err
	}
	page, err := c.client.Files.List(ctx, openai.FileListParams{}, opts...)
	if err := c.saw.keep(page, err); err != nil {
		return err
	}
	return list(c, c.client.Files.ListAutoPaging(ctx, openai.FileListParams{}, opts...))
}

func fileContent(ctx context.Context, c *goCall) error {
	answer, err := c.client.Files.Content(ctx, c.text(0))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	c.saw.Text = string(text)
	return err
}

func batchCreate(ctx context.Context, c *goCall) error {
	batch, err := c.client.Batches.New(ctx, param.Override[openai.BatchNewParams](c.arg(0)))
	return c.saw.keep(batch, err)
}

func batchList(ctx context.Context, c *goCall) error {
	_, opts, err := c.query(0)
	if err != nil {
		return err
	}
	page, err := c.client.Batches.List(ctx, openai.BatchListParams{}, opts...)
	if err := c.saw.keep(page, err); err != nil {
		return err
	}
	return list(c, c.client.Batches.ListAutoPaging(ctx, openai.BatchListParams{}, opts...))
}
