package modelsim

import (
	"net/http"
	"strconv"
	"time"
)

// window counts the requests of a key in one second.
type window struct {
	began time.Time
	n     int
}

// excess takes a request of key into account and returns 0, or when there is room for another if limit a second are used up.
func (s *Sim) excess(key string, limit int) time.Duration {
	if limit == 0 {
		return 0
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.windows[key]
	if now.Sub(w.began) >= time.Second {
		w = window{began: now}
	}
	if w.n == limit {
		return w.began.Add(time.Second).Sub(now)
	}
	w.n++
	s.windows[key] = w
	return 0
}

// overLimit refuses a request as OpenAI does, which says twice when to come again.
func overLimit(h http.Header, wait time.Duration) *failure {
	h.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	h.Set("Retry-After-Ms", strconv.Itoa(int((wait+time.Millisecond-1)/time.Millisecond)))
	return &failure{Status: http.StatusTooManyRequests, Code: "rate_limit_exceeded", Message: "Rate limit reached for requests."}
}
