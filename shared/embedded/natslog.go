package embedded

import (
	"fmt"
	"log/slog"
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
var expected = []string{"Plaintext passwords detected", "Websocket not configured with TLS"}

func (l *natsLog) Noticef(string, ...any) {}
func (l *natsLog) Debugf(string, ...any)  {}
func (l *natsLog) Tracef(string, ...any)  {}

func (l *natsLog) Warnf(format string, v ...any) {
	for _, e := range expected {
		if strings.HasPrefix(format, e) {
			return
		}
	}
	l.log.Warn(fmt.Sprintf(format, v...))
}

// Errorf passes on what is wrong with the server. What a viewer tried and may not is the viewer's error, and must not
// let it fill the log.
func (l *natsLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if strings.Contains(text, " Violation - ") {
		l.log.Debug(text)
		return
	}
	l.log.Error(text)
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
