package completion

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// Parameters say how a turn of a conversation is to be answered. What is missing is for the next in line to say: the request
// comes first, then the conversation, its tenant, and the server; what nobody says is the upstream's to decide.
type Parameters struct {
	Model            string   `json:"model,omitempty" doc:"By default the first that is served."`
	Temperature      *float64 `json:"temperature,omitempty" minimum:"0" maximum:"2"`
	TopP             *float64 `json:"top_p,omitempty" minimum:"0" maximum:"1"`
	PresencePenalty  *float64 `json:"presence_penalty,omitempty" minimum:"-2" maximum:"2"`
	FrequencyPenalty *float64 `json:"frequency_penalty,omitempty" minimum:"-2" maximum:"2"`
	Stop             []string `json:"stop,omitzero" maxItems:"4" doc:"Texts at which the answer ends."`
	MaxTokens        *int     `json:"max_completion_tokens,omitempty" minimum:"1" doc:"Longest answer, in tokens."`
	Seed             *int64   `json:"seed,omitempty"`
	ReasoningEffort  string   `json:"reasoning_effort,omitempty" doc:"How much the model is to think; which words it knows is the model's affair."`
	ContextMessages  int      `json:"context_messages,omitempty" minimum:"0" doc:"At most so many of the latest messages are sent along, the new one included."`
	ContextTokens    int      `json:"context_tokens,omitempty" minimum:"0" doc:"At most about so many tokens of them, the system message included: one for each three bytes of text, and four for each message."`
}

// Limits on parameters.
const (
	maxStops        = 4
	maxStop         = 256 // bytes
	maxModel        = 256 // bytes
	maxEffort       = 32  // bytes
	MaxContext      = 10_000
	MaxContextToken = 4_000_000
)

// Over returns what p says, and what base says where p is silent.
func (p Parameters) Over(base Parameters) Parameters {
	p.Model, p.ReasoningEffort = cmp.Or(p.Model, base.Model), cmp.Or(p.ReasoningEffort, base.ReasoningEffort)
	p.Temperature, p.TopP = cmp.Or(p.Temperature, base.Temperature), cmp.Or(p.TopP, base.TopP)
	p.PresencePenalty = cmp.Or(p.PresencePenalty, base.PresencePenalty)
	p.FrequencyPenalty = cmp.Or(p.FrequencyPenalty, base.FrequencyPenalty)
	p.MaxTokens, p.Seed = cmp.Or(p.MaxTokens, base.MaxTokens), cmp.Or(p.Seed, base.Seed)
	p.ContextMessages, p.ContextTokens = cmp.Or(p.ContextMessages, base.ContextMessages), cmp.Or(p.ContextTokens, base.ContextTokens)
	if p.Stop == nil { // an empty list says: none
		p.Stop = base.Stop
	}
	return p
}

// Validate reports all faults of p at once, each an *Error that names the field, below the given path.
func (p Parameters) Validate(path string) error {
	if path != "" {
		path += "."
	}
	var err error
	within := func(name string, v *float64, low, high float64) {
		if v != nil && !(*v >= low && *v <= high) { // NaN is not
			err = errors.Join(err, Invalid(path+name, "%s must be from %v to %v.", name, low, high))
		}
	}
	within("temperature", p.Temperature, 0, 2)
	within("top_p", p.TopP, 0, 1)
	within("presence_penalty", p.PresencePenalty, -2, 2)
	within("frequency_penalty", p.FrequencyPenalty, -2, 2)
	if len(p.Stop) > maxStops {
		err = errors.Join(err, Invalid(path+"stop", "At most %d stops.", maxStops))
	}
	if slices.ContainsFunc(p.Stop, func(s string) bool { return s == "" || len(s) > maxStop }) {
		err = errors.Join(err, Invalid(path+"stop", "A stop has 1 to %d bytes.", maxStop))
	}
	if p.MaxTokens != nil && *p.MaxTokens < 1 {
		err = errors.Join(err, Invalid(path+"max_completion_tokens", "max_completion_tokens must be at least 1."))
	}
	if p.ContextMessages < 0 || p.ContextMessages > MaxContext {
		err = errors.Join(err, Invalid(path+"context_messages", "context_messages must be from 1 to %d.", MaxContext))
	}
	if p.ContextTokens < 0 || p.ContextTokens > MaxContextToken {
		err = errors.Join(err, Invalid(path+"context_tokens", "context_tokens must be from 1 to %d.", MaxContextToken))
	}
	if len(p.Model) > maxModel || strings.ContainsFunc(p.Model, func(r rune) bool { return r < ' ' }) {
		err = errors.Join(err, Invalid(path+"model", "model must have at most %d bytes, none of which is a control character.", maxModel))
	}
	if len(p.ReasoningEffort) > maxEffort {
		err = errors.Join(err, Invalid(path+"reasoning_effort", "reasoning_effort must have at most %d bytes.", maxEffort))
	}
	return err
}
