package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// natsLog passes nats-server's warnings and errors on to slog and remembers its first fatal error, which the server
// reports nowhere else.
type natsLog struct {
	log   *slog.Logger
	mu    sync.Mutex
	first string
}

// expected are warnings about what StartNATS chooses on purpose for a server that lives inside one program.
var expected = []string{"Websocket not configured with TLS"}

// outside are marks of what a viewer tried and may not. That is the viewer's error, and must not let it fill the log.
var outside = []string{" Violation - ", "uthentication", " exceeded", "Account fetch failed"}

func byViewer(text string) bool {
	return slices.ContainsFunc(outside, func(mark string) bool { return strings.Contains(text, mark) })
}

func (l *natsLog) Noticef(string, ...any) {}
func (l *natsLog) Debugf(string, ...any)  {}
func (l *natsLog) Tracef(string, ...any)  {}

func (l *natsLog) Warnf(format string, v ...any) {
	for _, e := range expected {
		if strings.HasPrefix(format, e) {
			return
		}
	}
	l.pass(slog.LevelWarn, fmt.Sprintf(format, v...))
}

func (l *natsLog) Errorf(format string, v ...any) { l.pass(slog.LevelError, fmt.Sprintf(format, v...)) }

func (l *natsLog) pass(level slog.Level, text string) {
	if byViewer(text) {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, text)
}

func (l *natsLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == "" {
		l.first = fmt.Sprintf(format, v...)
	}
}

func (l *natsLog) fault() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}
