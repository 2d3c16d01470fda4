package main

import (
	"errors"
	"fmt"
	"time"

	"sluice/shared/completion"
)

// Settings say how long and how hard to measure. Their defaults take about twenty minutes.
type Settings struct {
	Only     []string      `json:"only,omitempty" placeholder:"NAME" enum:"${benches}" help:"Measure only these: ${enum}."`
	Rounds   int           `json:"rounds" default:"5" help:"Rounds in which the sides of a comparison take turns."`
	Requests int           `json:"requests" default:"140" help:"Requests of each side in each round, where they come at a rate."`
	Rate     float64       `json:"rate_per_s" default:"50" help:"Requests per second, at random times."`
	Idle     time.Duration `json:"idle_ns" default:"20s" help:"How long an idle worker is watched."`
	Settle   time.Duration `json:"settle_ns" default:"2s" help:"How long what was started, or did something else before, is left alone before it is measured."`
	Window   time.Duration `json:"window_ns" default:"4s" help:"How long what goes on steadily is measured in each round."`
	Jobs     int           `json:"jobs" default:"3000" help:"Jobs of each side in each round, where they come as fast as they are taken."`
	Paced    int           `json:"paced" default:"1000" help:"Streams of 30 deltas per second at once; then a fifth of them."`
	Streams  int           `json:"streams" default:"10000" help:"Slow streams at once in one worker; at most 10000."`
	Viewers  int           `json:"viewers" default:"1000" help:"Viewers of one job, and jobs with ten viewers each."`
	Missed   int           `json:"missed" default:"2000" help:"Deltas that a viewer who comes late has missed."`
	Slots    int           `json:"slots" default:"16" help:"Slots of each of 1, 2 and 4 workers; with many the machine is what limits them."`
	Stored   int           `json:"stored" default:"1000000" help:"Jobs that are stored already, beside a thousand."`
	Lines    int           `json:"lines" default:"50000" help:"Lines of a batch."`
	Batches  int           `json:"batches" default:"5" help:"Rounds in which a batch and Asynq alone take turns."`
	Upload   int           `json:"upload_mb" default:"200" help:"Size of the large file, in MB; at most 209."`
	Profile  string        `json:"-" placeholder:"DIR" help:"Write profiles of the api and the worker into DIR, of the benches jobs and deltas."`
	Postgres string        `json:"-" env:"SLUICE_TEST_POSTGRES" placeholder:"FILE" help:"PostgreSQL's server program, for what needs one; make bench sets it."`
}

// maxStreams is how many slots a lane of one worker may have.
const maxStreams = 10_000

// Validate is kong's; it reports all faults at once.
func (s Settings) Validate() error {
	var err error
	if s.Rounds < 1 || s.Requests < 1 {
		err = fmt.Errorf("rounds %d, requests %d: want at least 1", s.Rounds, s.Requests)
	}
	if s.Rate <= 0 {
		err = errors.Join(err, fmt.Errorf("rate %g: want more than 0", s.Rate))
	}
	if s.Idle <= 0 || s.Settle < 0 || s.Window <= 0 {
		err = errors.Join(err, fmt.Errorf("idle %s, settle %s, window %s: want more than 0, and not less", s.Idle, s.Settle, s.Window))
	}
	if s.Lines < 1 || s.Batches < 1 {
		err = errors.Join(err, fmt.Errorf("lines %d, batches %d: want at least 1", s.Lines, s.Batches))
	}
	for _, c := range []struct {
		name string
		n    int
	}{{"jobs", s.Jobs}, {"paced", s.Paced}, {"streams", s.Streams}, {"viewers", s.Viewers}, {"missed", s.Missed}, {"slots", s.Slots}, {"stored", s.Stored}} {
		if c.n < 1 {
			err = errors.Join(err, fmt.Errorf("%s %d: want at least 1", c.name, c.n))
		}
	}
	if s.Streams > maxStreams || s.Paced > maxStreams {
		err = errors.Join(err, fmt.Errorf("streams %d, paced %d: want at most %d", s.Streams, s.Paced, maxStreams))
	}
	if s.Upload < 1 || s.Upload*megabyte > completion.MaxBatchFileBytes {
		err = errors.Join(err, fmt.Errorf("upload %d: want 1 to %d", s.Upload, completion.MaxBatchFileBytes/megabyte))
	}
	return err
}

// String is what of them bears on the figures.
func (s Settings) String() string {
	return fmt.Sprintf("%d rounds of %d requests, %g per second; %d batches of %d lines", s.Rounds, s.Requests, s.Rate, s.Batches, s.Lines)
}
