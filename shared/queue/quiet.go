package queue

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// quiet drops what go-redis prints on its own: the same failures are returned as errors, and logged by whoever asked.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(quiet{}) } // go-redis has one logger for all clients
