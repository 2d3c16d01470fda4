package queue

import (
	"fmt"
	"log/slog"
)

// logger gives asynq's lines to slog. What asynq calls information is detail to us.
type logger struct{ log *slog.Logger }

func (l logger) Debug(args ...any) {}
func (l logger) Info(args ...any)  { l.log.Debug("asynq: " + fmt.Sprint(args...)) }
func (l logger) Warn(args ...any)  { l.log.Warn("asynq: " + fmt.Sprint(args...)) }
func (l logger) Error(args ...any) { l.log.Error("asynq: " + fmt.Sprint(args...)) }
func (l logger) Fatal(args ...any) { l.log.Error("asynq: " + fmt.Sprint(args...)) }
