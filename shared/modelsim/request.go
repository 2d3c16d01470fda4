package modelsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

const maxBody = 64 << 20

type request struct {
	Model         string    `json:"model"`
	Messages      []message `json:"messages"`
	Stream        bool      `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	N                   *int   `json:"n"`
	MaxTokens           *int   `json:"max_tokens"`
	MaxCompletionTokens *int   `json:"max_completion_tokens"`
	Logprobs            asked  `json:"logprobs"`
	Tools               []tool `json:"tools"`

	Prompt prompts `json:"prompt"` // of a text completion, instead of messages
	text   bool    // it is a text completion
}

// asked is a boolean, as in a chat completion, or a number that is not null, as in a text completion.
type asked bool

func (a *asked) UnmarshalJSON(b []byte) error {
	var n *int
	if json.Unmarshal(b, &n) == nil {
		*a = n != nil
		return nil
	}
	return json.Unmarshal(b, (*bool)(a))
}

// prompts are one text or a list of texts, each as itself or as a list of token numbers. What is said to them is said to
// all together.
type prompts []string

func (p *prompts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*p = prompts{one}
		return nil
	}
	var tokens []int
	if json.Unmarshal(b, &tokens) == nil && len(tokens) > 0 {
		*p = prompts{fmt.Sprint(tokens)}
		return nil
	}
	var lists [][]int
	if json.Unmarshal(b, &lists) == nil {
		for _, tokens := range lists {
			*p = append(*p, fmt.Sprint(tokens))
		}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(p))
}

type tool struct {
	Function struct {
		Name string `json:"name"`
	} `json:"function"`
}

type message struct {
	Role    string  `json:"role"`
	Content content `json:"content"`
}

// content is a message's text: a string, null, or the text parts of a list.
type content string

func (c *content) UnmarshalJSON(b []byte) error {
	var s *string
	if json.Unmarshal(b, &s) == nil {
		if s != nil {
			*c = content(*s)
		}
		return nil
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	for _, p := range parts {
		*c += content(p.Text)
	}
	return nil
}

func readRequest(w http.ResponseWriter, r *http.Request) (*request, *failure) {
	req := request{text: r.URL.Path == completionsPath}
	if bad := readBody(w, r, &req); bad != nil {
		return nil, bad
	}
	if req.text {
		req.Messages = nil
		if len(req.Prompt) > 0 {
			req.Messages = []message{{Role: "user", Content: content(strings.Join(req.Prompt, "\n"))}}
		}
	}
	switch {
	case req.text && len(req.Messages) == 0:
		return nil, invalid("prompt", "Missing required parameter: 'prompt'.")
	case len(req.Messages) == 0:
		return nil, invalid("messages", "Missing required parameter: 'messages'.")
	case req.N != nil && (*req.N < 1 || *req.N > 128):
		return nil, invalid("n", "Invalid 'n': it must be from 1 to 128.")
	case req.limit() == 0:
		return nil, invalid("max_completion_tokens", "Invalid token limit: it must be at least 1.")
	}
	return &req, nil
}

// readBody reads a request's JSON into v.
func readBody(w http.ResponseWriter, r *http.Request, v any) *failure {
	// Read to the end: only then does net/http notice that the client leaves.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(body, v)
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &failure{Status: http.StatusRequestEntityTooLarge, Message: "The body is too large."}
	case err != nil:
		return invalid("", "We could not parse the JSON body of your request: "+err.Error())
	default:
		return nil
	}
}

// choices is how many the answer has: n for each prompt.
func (r *request) choices() int {
	n := 1
	if r.N != nil {
		n = *r.N
	}
	if r.text {
		n *= len(r.Prompt)
	}
	return n
}

// limit is the largest number of tokens the answer may have, -1 for no limit.
func (r *request) limit() int {
	for _, m := range []*int{r.MaxCompletionTokens, r.MaxTokens} {
		if m != nil {
			return max(*m, 0)
		}
	}
	return -1
}

func (r *request) texts() []string {
	texts := make([]string, len(r.Messages))
	for i, m := range r.Messages {
		texts[i] = strings.ToValidUTF8(string(m.Content), "\uFFFD")
	}
	return texts
}

func (r *request) offers(name string) bool {
	return slices.ContainsFunc(r.Tools, func(t tool) bool { return t.Function.Name == name })
}
