package modelsim

import (
	"net/http"
	"strings"
)

const (
	paced   = "sim"
	instant = "sim-instant"
)

type model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func newModel(id string) model {
	return model{ID: id, Object: "model", Created: 1735689600, OwnedBy: "modelsim"}
}

func (s *Sim) listModels(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []model{newModel(paced), newModel(instant)}})
}

func (s *Sim) getModel(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if _, bad := s.script(id); bad != nil {
		writeFailure(w, bad)
		return
	}
	writeJSON(w, http.StatusOK, newModel(id))
}

// script reads the name of a model: which it is, and its directives.
func (s *Sim) script(name string) (script, *failure) {
	base, query, _ := strings.Cut(name, "?")
	sc := script{faults: noFaults, tokens: -1, big: -1}
	switch base {
	case paced:
		sc.tps, sc.first = s.cfg.TokensPerSecond, s.cfg.FirstToken
	case instant:
	default:
		return sc, &failure{
			Status: http.StatusNotFound, Code: "model_not_found", Param: "model",
			Message: "The model '" + base + "' does not exist. This is a simulated upstream; its models are '" + paced + "' and '" + instant + "'.",
		}
	}
	return sc, sc.parse(query)
}

// failure is an error answer.
type failure struct {
	Status               int
	Code, Param, Message string
}

func invalid(param, message string) *failure {
	return &failure{Status: http.StatusBadRequest, Param: param, Message: message}
}

// envelope is OpenAI's; its keys are all required.
func (f *failure) envelope() map[string]any {
	kind := "invalid_request_error"
	switch {
	case f.Code == "insufficient_quota":
		kind = f.Code
	case f.Status == http.StatusTooManyRequests:
		kind = "rate_limit_error"
	case f.Status >= http.StatusInternalServerError:
		kind = "server_error"
	}
	return map[string]any{"error": map[string]any{"message": f.Message, "type": kind, "param": orNull(f.Param), "code": orNull(f.Code)}}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func writeFailure(w http.ResponseWriter, f *failure) { writeJSON(w, f.Status, f.envelope()) }
