package reply

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

// Prefix begins the id of every response; see completion.Alias.
const Prefix = "resp_"

// The states of a response.
const (
	queued     = "queued"
	inProgress = "in_progress"
	completed  = "completed"
	incomplete = "incomplete"
	failed     = "failed"
	cancelled  = "cancelled"
)

// object is a Response. Members that the request may set are the request's own bytes, or OpenAI's default.
type object struct {
	ID                   string            `json:"id"`
	Object               string            `json:"object"`
	CreatedAt            int64             `json:"created_at"`
	CompletedAt          *int64            `json:"completed_at"`
	Status               string            `json:"status"`
	Background           json.RawMessage   `json:"background"`
	Error                *failure          `json:"error"`
	IncompleteDetails    *details          `json:"incomplete_details"`
	Instructions         json.RawMessage   `json:"instructions"`
	MaxOutputTokens      json.RawMessage   `json:"max_output_tokens"`
	MaxToolCalls         json.RawMessage   `json:"max_tool_calls"`
	Model                string            `json:"model"`
	Output               []json.RawMessage `json:"output"`
	ParallelToolCalls    json.RawMessage   `json:"parallel_tool_calls"`
	PreviousResponseID   json.RawMessage   `json:"previous_response_id"`
	PromptCacheKey       json.RawMessage   `json:"prompt_cache_key"`
	PromptCacheRetention json.RawMessage   `json:"prompt_cache_retention"`
	Reasoning            json.RawMessage   `json:"reasoning"`
	SafetyIdentifier     json.RawMessage   `json:"safety_identifier"`
	ServiceTier          json.RawMessage   `json:"service_tier"`
	Store                json.RawMessage   `json:"store"`
	Temperature          json.RawMessage   `json:"temperature"`
	Text                 json.RawMessage   `json:"text"`
	ToolChoice           json.RawMessage   `json:"tool_choice"`
	Tools                json.RawMessage   `json:"tools"`
	TopLogprobs          json.RawMessage   `json:"top_logprobs"`
	TopP                 json.RawMessage   `json:"top_p"`
	Truncation           json.RawMessage   `json:"truncation"`
	Usage                *usage            `json:"usage"`
	User                 json.RawMessage   `json:"user"`
	AccessPrograms       json.RawMessage   `json:"access_programs"`
	Metadata             json.RawMessage   `json:"metadata"`
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type details struct {
	Reason string `json:"reason"`
}

type usage struct {
	InputTokens   int64         `json:"input_tokens"`
	InputDetails  inputDetails  `json:"input_tokens_details"`
	OutputTokens  int64         `json:"output_tokens"`
	OutputDetails outputDetails `json:"output_tokens_details"`
	TotalTokens   int64         `json:"total_tokens"`
}

type inputDetails struct {
	CacheWriteTokens int64 `json:"cache_write_tokens"`
	CachedTokens     int64 `json:"cached_tokens"`
}

type outputDetails struct {
	ReasoningTokens int64 `json:"reasoning_tokens"`
}

// Object is the Response that shows job as it stands.
func Object(job completion.Job) json.RawMessage {
	ask := map[string]gjson.Result{} // read once: it may hold a long history
	gjson.ParseBytes(job.Request).ForEach(func(k, v gjson.Result) bool {
		ask[k.Str] = v
		return true
	})
	echo := func(name, fallback string) json.RawMessage { return raw(ask[name], fallback) }
	status, reason := stand(job)
	o := object{
		ID: completion.Alias(Prefix, job.ID), Object: "response", CreatedAt: job.CreatedAt.Unix(), Status: status, Model: job.Model,
		Output: Output(job), Background: echo("background", "false"), AccessPrograms: echo("access_programs", "null"), Error: fault(job, status), Instructions: echo("instructions", "null"),
		MaxOutputTokens: echo("max_output_tokens", "null"), MaxToolCalls: echo("max_tool_calls", "null"),
		ParallelToolCalls: echo("parallel_tool_calls", "true"), PreviousResponseID: echo("previous_response_id", "null"),
		PromptCacheKey: echo("prompt_cache_key", "null"), PromptCacheRetention: echo("prompt_cache_retention", "null"),
		Reasoning: reasoning(ask["reasoning"]), SafetyIdentifier: echo("safety_identifier", "null"), ServiceTier: echo("service_tier", `"auto"`),
		Store: echo("store", "true"), Temperature: echo("temperature", "1"), Text: text(ask["text"]), ToolChoice: echo("tool_choice", `"auto"`),
		Tools: tools(ask["tools"]), TopLogprobs: echo("top_logprobs", "0"), TopP: echo("top_p", "1"), Truncation: echo("truncation", `"disabled"`),
		Usage: spent(job), User: echo("user", "null"), Metadata: echo("metadata", "{}"),
	}
	if status == completed {
		o.CompletedAt = seconds(job.FinishedAt)
	}
	if reason != "" {
		o.IncompleteDetails = &details{reason}
	}
	if tier := gjson.GetBytes(job.Result, "service_tier"); tier.Type == gjson.String {
		o.ServiceTier = json.RawMessage(tier.Raw)
	}
	if answer.IsResponse(job.Result) {
		return overlay(encode(o), job.Result)
	}
	return encode(o)
}

// stand is the response's state, and why it is incomplete if it is.
func stand(job completion.Job) (status, reason string) {
	switch job.State {
	case completion.Queued:
		return queued, ""
	case completion.Running:
		return inProgress, ""
	case completion.Cancelled:
		return cancelled, ""
	case completion.Completed:
	default:
		return failed, ""
	}
	switch job.FinishReason {
	case "length":
		return incomplete, "max_output_tokens"
	case "content_filter":
		return incomplete, "content_filter"
	case incomplete:
		return incomplete, gjson.GetBytes(job.Result, "incomplete_details.reason").Str
	}
	return completed, ""
}

// fault says why a response failed, in the codes that OpenAI's types allow.
func fault(job completion.Job, status string) *failure {
	if status != failed {
		return nil
	}
	e := job.Error
	if e == nil {
		e = completion.NewError(completion.CodeInternal, "")
	}
	code := "server_error"
	switch e.Code {
	case completion.CodeRateLimited, completion.CodeQuota, completion.CodeSubmitRate:
		code = "rate_limit_exceeded"
	case completion.CodeUpstreamRejected, completion.CodeInvalidRequest, completion.CodeInvalidJSON:
		code = "invalid_prompt"
	}
	return &failure{Code: code, Message: e.Message}
}

func spent(job completion.Job) *usage {
	u := gjson.ParseBytes(job.Usage)
	if !u.IsObject() || !job.State.Final() {
		return nil
	}
	in, out := "prompt_tokens", "completion_tokens"
	if u.Get("input_tokens").Exists() { // a native upstream's
		in, out = "input_tokens", "output_tokens"
	}
	return &usage{
		InputTokens:   u.Get(in).Int(),
		InputDetails:  inputDetails{u.Get(in + "_details.cache_write_tokens").Int(), u.Get(in + "_details.cached_tokens").Int()},
		OutputTokens:  u.Get(out).Int(),
		OutputDetails: outputDetails{u.Get(out + "_details.reasoning_tokens").Int()},
		TotalTokens:   u.Get("total_tokens").Int(),
	}
}

func reasoning(ask gjson.Result) json.RawMessage {
	return encode(struct {
		Effort  json.RawMessage `json:"effort"`
		Summary json.RawMessage `json:"summary"`
	}{raw(ask.Get("effort"), "null"), raw(ask.Get("summary"), "null")})
}

func text(ask gjson.Result) json.RawMessage {
	return encode(struct {
		Format    json.RawMessage `json:"format"`
		Verbosity json.RawMessage `json:"verbosity"`
	}{raw(ask.Get("format"), `{"type":"text"}`), raw(ask.Get("verbosity"), `"medium"`)})
}

// tools are the request's, with the members of a function that the types require.
func tools(ask gjson.Result) json.RawMessage {
	list := []json.RawMessage{}
	ask.ForEach(func(_, v gjson.Result) bool {
		if v.Get("type").Str == "mcp" { // what opens the server stays between the caller and the upstream
			v = gjson.Parse(without(v, "authorization", "headers"))
		}
		tool := strings.TrimSuffix(strings.TrimSpace(v.Raw), "}")
		for _, name := range []string{"parameters", "strict"} {
			if v.Get("type").Str == "function" && !v.Get(name).Exists() {
				tool += `,"` + name + `":null`
			}
		}
		list = append(list, json.RawMessage(tool+"}"))
		return true
	})
	return encode(list)
}

func without(object gjson.Result, names ...string) string {
	b := []byte{'{'}
	object.ForEach(func(k, v gjson.Result) bool {
		if !slices.Contains(names, k.Str) {
			b = append(append(append(append(b, k.Raw...), ':'), v.Raw...), ',')
		}
		return true
	})
	return string(append(bytes.TrimSuffix(b, []byte{','}), '}'))
}

func raw(v gjson.Result, fallback string) json.RawMessage {
	if v.Type == gjson.Null {
		return json.RawMessage(fallback)
	}
	return json.RawMessage(v.Raw)
}

func seconds(t time.Time) *int64 {
	n := t.Unix()
	return &n
}

// encode renders v; raw parts keep their bytes, save for white space between them.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // only structs of this package, and JSON that was valid when it was taken in
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
