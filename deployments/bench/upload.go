package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// aimGrowth is by how much an api may grow while it takes a large file, in MB.
	aimGrowth = 40
	// lineBytes is how long a line of the large file is: so 200 MB are 50,000 lines.
	lineBytes = 4000
)

// upload measures what an api needs to take a large file and to validate it for a batch.
func upload(ctx context.Context, s *site, r *Report) error {
	name := fmt.Sprintf("memory that the api adds for a file of %d MB, upload and validation", s.Upload)
	if s.lacking(r, name) {
		return nil
	}
	c, err := s.install(ctx, setup{})
	if err != nil {
		return err
	}
	defer c.leave()
	if err := rest(ctx, s.Settle); err != nil {
		return err
	}
	before, err := usageOf(c.apiProcess.PID())
	if err != nil {
		return err
	}
	s.note("upload %d MB", s.Upload)
	file, took, err := c.upload(ctx, input{name: "large", model: briefModel, lines: s.Upload * megabyte / lineBytes, bytes: lineBytes})
	if err != nil {
		return err
	}
	began := time.Now()
	b, err := c.create(ctx, file)
	if err != nil {
		return err
	}
	if err := c.await(ctx, b.ID, validated); err != nil {
		return err
	}
	checked := time.Since(began)
	after, err := usageOf(c.apiProcess.PID())
	if err != nil {
		return err
	}
	size := float64(s.Upload)
	r.Rows = append(r.Rows,
		plain(name, "MB", float64(after.peak-before.memory)/megabyte).below(aimGrowth),
		plain("… upload", "MB per s", size/took.Seconds()),
		plain("… validation", "MB per s", size/checked.Seconds()),
	)
	return nil
}
