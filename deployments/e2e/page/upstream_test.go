package page_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidwall/gjson"

	"sluice/shared/modelsim"
)

// upstream is the simulated model, whose answers can be held back: what a test looks at in mid-answer stays there for as long
// as that takes.
type upstream struct {
	server *httptest.Server
	sim    *modelsim.Sim
	gates  sync.Map // by model
	keys   atomic.Int64
}

func openUpstream() *upstream {
	u := &upstream{sim: modelsim.New(modelsim.Config{})}
	u.server = httptest.NewServer(u)
	return u
}

func (u *upstream) close() {
	u.gates.Range(func(_, g any) bool {
		g.(*gate).open()
		return true
	})
	u.server.CloseClientConnections()
	u.server.Close()
	u.sim.Close()
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if g, known := u.gates.Load(gjson.GetBytes(body, "model").Str); known {
		w = &held{ResponseWriter: w, gate: g.(*gate), gone: r.Context().Done()}
	}
	u.sim.ServeHTTP(w, r)
}

// gate lets so much of an answer through as the test wants.
type gate struct {
	model string // that answers so

	mu      sync.Mutex
	allowed int           // deltas; negative: all
	changed chan struct{} // closed when there are more
}

// length of an answer behind a gate, in deltas.
const length = 90

// gated is a model whose answers stop where the test wants.
func gated(t *testing.T) *gate {
	t.Helper()
	g := &gate{model: fmt.Sprintf("sim?tps=400&tokens=%d&key=held%d", length, model.keys.Add(1)), changed: make(chan struct{})}
	model.gates.Store(g.model, g)
	t.Cleanup(g.open)
	return g
}

// failing is a model that fails once.
func failing() string { return fmt.Sprintf("sim?fail=400&times=1&key=failing%d", model.keys.Add(1)) }

// allow lets n deltas of each answer through, from its start.
func (g *gate) allow(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.allowed = n
	close(g.changed)
	g.changed = make(chan struct{})
}

// open lets everything through.
func (g *gate) open() { g.allow(-1) }

// wait returns when the delta of that index may pass, false if the client is gone.
func (g *gate) wait(index int, gone <-chan struct{}) bool {
	for {
		g.mu.Lock()
		allowed, changed := g.allowed, g.changed
		g.mu.Unlock()
		if allowed < 0 || index < allowed {
			return true
		}
		select {
		case <-changed:
		case <-gone:
			return false
		}
	}
}

// held is an answer behind a gate.
type held struct {
	http.ResponseWriter
	gate *gate
	gone <-chan struct{}
	sent int // deltas
}

func (h *held) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func (h *held) Flush() { _ = http.NewResponseController(h.ResponseWriter).Flush() }

func (h *held) Write(b []byte) (int, error) {
	for range bytes.Count(b, []byte("data: ")) {
		if !h.gate.wait(h.sent, h.gone) {
			return 0, io.ErrClosedPipe
		}
		h.sent++
	}
	return h.ResponseWriter.Write(b)
}
