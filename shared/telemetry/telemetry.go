// Package telemetry sets up what a program tells about itself: its log, its metrics, its traces, and the private port on which those
// who run the installation read them. What it tells carries ids, never content or keys.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
)

// Config of the log.
type Config struct {
	LogLevel  string `env:"SLUICE_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"Least severe level that is logged: debug, info, warn or error."`
	LogFormat string `env:"SLUICE_LOG_FORMAT" enum:"text,json" default:"text" help:"text for people, json for machines."`
}

// Logger returns a logger that writes to w as c says.
func (c Config) Logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, fmt.Errorf("log level %q: %w", c.LogLevel, err)
	}
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(correlate{slog.NewJSONHandler(w, o)}), nil
	}
	return slog.New(correlate{slog.NewTextHandler(w, o)}), nil
}
