package modelsim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// respondRequest is the body of POST /v1/responses.
type respondRequest struct {
	Model    string          `json:"model"`
	Input    json.RawMessage `json:"input"`
	Stream   bool            `json:"stream"`
	Limit    *int            `json:"max_output_tokens"`
	Previous string          `json:"previous_response_id"`
	Tools    []struct {
		Type string `json:"type"`
		Name string `json:"name"`
	} `json:"tools"`
}

// chat is what the same is asked with as a chat completion.
func (r *respondRequest) chat() (*request, *failure) {
	req := &request{Model: r.Model, Stream: r.Stream, MaxCompletionTokens: r.Limit}
	var text content
	var items []struct {
		message
		Type   string  `json:"type"`
		Output content `json:"output"`
	}
	switch {
	case r.Previous != "":
		return nil, invalid("previous_response_id", "The simulated model keeps no responses.")
	case json.Unmarshal(r.Input, &items) == nil:
		for _, it := range items {
			if it.Type == "function_call_output" {
				it.message = message{Role: "tool", Content: it.Output}
			}
			if it.Role != "" {
				req.Messages = append(req.Messages, it.message)
			}
		}
	case json.Unmarshal(r.Input, &text) == nil:
		req.Messages = []message{{Role: "user", Content: text}}
	}
	for _, t := range r.Tools {
		if t.Type == "function" {
			var one tool
			one.Function.Name = t.Name
			req.Tools = append(req.Tools, one)
		}
	}
	switch {
	case len(req.Messages) == 0:
		return nil, invalid("input", "Missing required parameter: 'input'.")
	case req.limit() == 0:
		return nil, invalid("max_output_tokens", "Invalid token limit: it must be at least 1.")
	}
	return req, nil
}

func (s *Sim) respond(w http.ResponseWriter, r *http.Request) {
	serial := s.requests.Add(1)
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	var asked respondRequest
	var req *request
	var a *answer
	bad := readBody(w, r, &asked)
	if bad == nil {
		req, bad = asked.chat()
	}
	var script script
	if bad == nil {
		script, bad = s.play(w, asked.Model)
	}
	if bad == nil && script.search && (len(asked.Tools) == 0 || asked.Tools[0].Type != "web_search") {
		bad = invalid("tools", "The request's first tool is not 'web_search'.")
	}
	if bad == nil {
		a, bad = newAnswer(req, script, serial)
	}
	if bad != nil {
		writeFailure(w, bad)
		return
	}
	s.send(w, r, a.sendResponse)
}

// sendResponse sends the answer as a response, as send does as a completion.
func (a *answer) sendResponse(ctx context.Context, w http.ResponseWriter) error {
	pace := newPacer(a.script)
	defer pace.stop()
	r := &responder{streamer: &streamer{answer: a, w: w, flush: http.NewResponseController(w).Flush}}
	switch {
	case !a.req.Stream:
		return a.sendWhole(ctx, w, pace, func() []byte { return []byte(r.all() + "\n") })
	case a.script.reset == 0:
		return reset(w)
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	return r.stream(ctx, pace)
}

// responder says an answer as the items of a response.
type responder struct {
	*streamer
	sequence int
	kind     pieceKind // of the item that is open
	open     bool
	name     string // of the tool that is called
	text     string // of the item that is open
	output   []string
}

func (r *responder) stream(ctx context.Context, pace *pacer) error {
	if r.script.empty {
		return r.write("data: [DONE]\n\n", true)
	}
	for _, kind := range []string{"created", "in_progress"} {
		if err := r.event("response."+kind, `,"response":`+r.response("in_progress")); err != nil {
			return err
		}
	}
	err := r.search()
	for i := 0; err == nil; i++ {
		if i < len(r.pieces) {
			if err := pace.wait(ctx, i); err != nil {
				return err
			}
		}
		if over, err := r.fault(ctx, i); over || err != nil {
			return err
		}
		if i == len(r.pieces) {
			break
		}
		if err = r.say(r.pieces[i]); err == nil && !pace.instant() {
			err = gone(r.flush())
		}
	}
	if err == nil && !r.script.nofinish {
		err = r.finish()
	}
	if err != nil {
		return err
	}
	return gone(r.flush())
}

// all is the whole response.
func (r *responder) all() string {
	_ = r.search() // nothing is sent that could fail
	for _, p := range r.pieces {
		_ = r.say(p)
	}
	_ = r.finish()
	return r.response(r.status())
}

func (r *responder) status() string {
	if r.reason == "length" {
		return "incomplete"
	}
	return "completed"
}

func (r *responder) finish() error {
	if len(r.output) == 0 && !r.open {
		if err := r.begin(spoken); err != nil {
			return err
		}
	}
	if err := r.end(r.status()); err != nil {
		return err
	}
	return r.event("response."+r.status(), `,"response":`+r.response(r.status()))
}

// event sends one, if there is a stream to send it on.
func (r *responder) event(kind, rest string) error {
	if !r.req.Stream {
		return nil
	}
	r.sequence++
	return r.write("event: "+kind+"\ndata: {\"type\":\""+kind+`","sequence_number":`+strconv.Itoa(r.sequence-1)+rest+"}\n\n", false)
}

// about sends an event about the item that is open.
func (r *responder) about(kind, rest string) error {
	return r.event(kind, `,"item_id":"`+r.id()+`","output_index":`+strconv.Itoa(len(r.output))+rest)
}

func (r *responder) response(status string) string {
	details, usage := "null", "null"
	if status == "incomplete" {
		details = `{"reason":"max_output_tokens"}`
	}
	if status != "in_progress" && !r.script.nousage {
		usage = strings.NewReplacer("prompt_tokens", "input_tokens", "completion_tokens", "output_tokens").Replace(r.usage)
	}
	return fmt.Sprintf(`{"id":"resp_sim%d","object":"response","created_at":%d,"status":"%s","error":null,"incomplete_details":%s,"model":"%s","output":[%s],"store":false,"usage":%s}`,
		r.serial, r.created, status, details, escape(r.req.Model), strings.Join(r.output, ","), usage)
}

// itemNames are, by what it says, an item's prefix, the events of its text, and what these call it.
var itemNames = map[pieceKind]struct{ prefix, event, text, index string }{
	spoken:        {"msg", "response.output_text", "text", `,"content_index":0`},
	reasoning:     {"rs", "response.reasoning_summary_text", "text", `,"summary_index":0`},
	toolArguments: {"fc", "response.function_call_arguments", "arguments", ""},
}

func (r *responder) id() string {
	return fmt.Sprintf("%s_sim%d_%d", itemNames[r.kind].prefix, r.serial, len(r.output))
}

// parts is a text part in the list that an item of the open kind has, and the events about it.
func (r *responder) part() (event, part string) {
	if r.kind == reasoning {
		return "response.reasoning_summary_part", `{"type":"summary_text","text":"` + r.text + `"}`
	}
	return "response.content_part", `{"type":"output_text","annotations":[],"logprobs":[],"text":"` + r.text + `"}`
}

// item renders the item that is open.
func (r *responder) item(status string) string {
	_, parts := r.part()
	if status == "in_progress" {
		parts = ""
	}
	switch r.kind {
	case reasoning:
		return `{"id":"` + r.id() + `","type":"reasoning","encrypted_content":"c2ltdWxhdGVk","summary":[` + parts + `]}`
	case toolArguments:
		return `{"id":"` + r.id() + `","type":"function_call","status":"` + status + `","arguments":"` + r.text + `","call_id":"call_sim","name":"` + r.name + `"}`
	default:
		return `{"id":"` + r.id() + `","type":"message","status":"` + status + `","content":[` + parts + `],"role":"assistant"}`
	}
}

func (r *responder) say(p piece) error {
	if p.kind == toolName {
		r.name = p.text
		return r.begin(toolArguments)
	}
	if !r.open || r.kind != p.kind {
		if err := r.begin(p.kind); err != nil {
			return err
		}
	}
	r.text += p.text
	names := itemNames[p.kind]
	return r.about(names.event+".delta", names.index+`,"delta":"`+p.text+`","obfuscation":"x"`)
}

func (r *responder) begin(kind pieceKind) error {
	if err := r.end("completed"); err != nil {
		return err
	}
	r.kind, r.open, r.text = kind, true, ""
	err := r.event("response.output_item.added", `,"output_index":`+strconv.Itoa(len(r.output))+`,"item":`+r.item("in_progress"))
	if err == nil && kind != toolArguments {
		event, part := r.part()
		err = r.about(event+".added", itemNames[kind].index+`,"part":`+part)
	}
	return err
}

func (r *responder) end(status string) error {
	if !r.open {
		return nil
	}
	names := itemNames[r.kind]
	err := r.about(names.event+".done", names.index+`,"`+names.text+`":"`+r.text+`"`)
	if err == nil && r.kind != toolArguments {
		event, part := r.part()
		err = r.about(event+".done", names.index+`,"part":`+part)
	}
	item := r.item(status)
	if err == nil {
		err = r.event("response.output_item.done", `,"output_index":`+strconv.Itoa(len(r.output))+`,"item":`+item)
	}
	r.output, r.open = append(r.output, item), false
	return err
}

// search says that the web was searched, which it was not.
func (r *responder) search() error {
	if !r.script.search {
		return nil
	}
	at := `,"output_index":0`
	id := fmt.Sprintf("ws_sim%d", r.serial)
	item := func(status string) string {
		return `,"item":{"id":"` + id + `","type":"web_search_call","status":"` + status + `","action":{"type":"search","query":"simulated"}}`
	}
	err := r.event("response.output_item.added", at+item("in_progress"))
	for _, phase := range []string{"in_progress", "searching", "completed"} {
		if err == nil {
			err = r.event("response.web_search_call."+phase, at+`,"item_id":"`+id+`"`)
		}
	}
	if err == nil {
		err = r.event("response.output_item.done", at+item("completed"))
	}
	r.output = slices.Concat(r.output, []string{strings.TrimPrefix(item("completed"), `,"item":`)})
	return err
}
