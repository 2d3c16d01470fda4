package modelsim

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/http"
	"time"
)

// How long an embedding is if the request does not say, and at most.
const (
	dimensions    = 8
	maxDimensions = 4096
)

// Embedding is a text's: a vector of length 1 that depends on the text and n only. It means nothing.
func Embedding(text string, n int) []float32 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // never fails
	source := rand.New(rand.NewPCG(h.Sum64(), 0))
	v, sum := make([]float32, n), 0.0
	for i := range v {
		x := source.NormFloat64()
		v[i] = float32(x)
		sum += x * x
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(sum))
	}
	return v
}

type embedding struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"` // floats, or their bytes in base64
}

type embedRequest struct {
	Model      string  `json:"model"`
	Input      prompts `json:"input"`
	Dimensions *int    `json:"dimensions"`
	Format     string  `json:"encoding_format"`
}

func (s *Sim) embed(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	var req embedRequest
	bad := readBody(w, r, &req)
	if bad == nil {
		bad = req.check()
	}
	var script script
	if bad == nil {
		script, bad = s.play(w, req.Model)
	}
	if bad != nil {
		writeFailure(w, bad)
		return
	}
	s.send(w, r, func(ctx context.Context, w http.ResponseWriter) error {
		wait := time.After(script.first)
		if script.stall != never {
			wait = nil
		}
		select {
		case <-ctx.Done():
			return errGone
		case <-wait:
			writeJSON(w, http.StatusOK, req.answer())
			return nil
		}
	})
}

func (r *embedRequest) check() *failure {
	if r.Dimensions == nil {
		n := dimensions
		r.Dimensions = &n
	}
	switch {
	case len(r.Input) == 0:
		return invalid("input", "Missing required parameter: 'input'.")
	case *r.Dimensions < 1 || *r.Dimensions > maxDimensions:
		return invalid("dimensions", fmt.Sprintf("Invalid 'dimensions': it must be from 1 to %d.", maxDimensions))
	}
	return nil
}

func (r *embedRequest) answer() map[string]any {
	list, tokens := make([]embedding, 0, len(r.Input)), 0
	for i, text := range r.Input {
		tokens += len(Tokens(text))
		e := embedding{Object: "embedding", Index: i, Embedding: Embedding(text, *r.Dimensions)}
		if r.Format == "base64" {
			b, _ := binary.Append(nil, binary.LittleEndian, e.Embedding) // floats always can
			e.Embedding = base64.StdEncoding.EncodeToString(b)
		}
		list = append(list, e)
	}
	return map[string]any{
		"object": "list", "data": list, "model": r.Model, "usage": map[string]int{"prompt_tokens": tokens, "total_tokens": tokens},
	}
}
