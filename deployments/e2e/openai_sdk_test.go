package e2e_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/responses"
)

// goSDK makes the calls of the table with the official SDK for Go.
type goSDK struct{}

// goCall is one call of the table on its way.
type goCall struct {
	order
	client openai.Client
	saw    *sight
}

// goCalls are the calls that the table may name. They are called as the methods of the SDK for Node.js.
var goCalls = map[string]func(context.Context, *goCall) error{
	"chat.completions.create":        chatCreate,
	"chat.completions.stream":        chatAccumulate,
	"chat.completions.retrieve":      byID(func(c *goCall) one[openai.ChatCompletion] { return c.client.Chat.Completions.Get }),
	"chat.completions.delete":        byID(func(c *goCall) one[openai.ChatCompletionDeleted] { return c.client.Chat.Completions.Delete }),
	"chat.completions.update":        chatUpdate,
	"chat.completions.list":          chatList,
	"chat.completions.messages.list": chatMessages,
	"completions.create":             textCreate,
	"embeddings.create":              embeddingCreate,
	"models.retrieve":                byID(func(c *goCall) one[openai.Model] { return c.client.Models.Get }),
	"models.list":                    modelList,
	"responses.create":               responseCreate,
	"responses.retrieve":             responseRetrieve,
	"responses.cancel":               byID(func(c *goCall) one[responses.Response] { return c.client.Responses.Cancel }),
	"responses.delete":               responseDelete,
	"responses.inputItems.list":      responseItems,
	"files.create":                   fileCreate,
	"files.retrieve":                 byID(func(c *goCall) one[openai.FileObject] { return c.client.Files.Get }),
	"files.list":                     fileList,
	"files.delete":                   byID(func(c *goCall) one[openai.FileDeleted] { return c.client.Files.Delete }),
	"files.content":                  fileContent,
	"batches.create":                 batchCreate,
	"batches.retrieve":               byID(func(c *goCall) one[openai.Batch] { return c.client.Batches.Get }),
	"batches.list":                   batchList,
	"batches.cancel":                 byID(func(c *goCall) one[openai.Batch] { return c.client.Batches.Cancel }),
	"post":                           post,
}

func (goSDK) do(ctx context.Context, o order) sight {
	s := sight{ID: o.ID, Events: []json.RawMessage{}}
	call, ok := goCalls[o.Call]
	if !ok {
		s.Error = &failure{Message: "the driver has no call " + o.Call}
		return s
	}
	var resp *http.Response
	opts := []option.RequestOption{
		option.WithBaseURL(o.URL), option.WithAPIKey(o.Key), option.WithMaxRetries(o.Retries), option.WithHTTPClient(web), option.WithResponseInto(&resp),
	}
	for name, value := range o.Headers {
		opts = append(opts, option.WithHeader(name, value))
	}
	if o.Timeout > 0 {
		opts = append(opts, option.WithRequestTimeout(time.Duration(o.Timeout)*time.Millisecond))
	}
	err := call(ctx, &goCall{order: o, client: openai.NewClient(opts...), saw: &s})
	if resp != nil {
		s.answered(resp)
	}
	if err != nil {
		s.Error = failed(err)
	}
	return s
}

// answered notes the response's status and headers.
func (s *sight) answered(resp *http.Response) {
	s.Status, s.Headers = resp.StatusCode, map[string]string{}
	for name := range resp.Header {
		s.Headers[strings.ToLower(name)] = resp.Header.Get(name)
	}
}

// failed is what the SDK tells of an error. Its class is for Node.js only: Go has one type for all statuses.
func failed(err error) *failure {
	api, ok := errors.AsType[*openai.Error](err)
	if !ok {
		return &failure{Message: err.Error()}
	}
	f := &failure{Message: api.Message, Status: api.StatusCode, Code: api.Code, Param: api.Param, Type: api.Type, Body: json.RawMessage(cmp.Or(api.RawJSON(), "null"))}
	if api.Response != nil {
		f.RequestID = api.Response.Header.Get("X-Request-Id")
	}
	return f
}

// arg is an argument of the call; it is null if there is none.
func (c *goCall) arg(i int) json.RawMessage {
	if i < len(c.Args) {
		return c.Args[i]
	}
	return json.RawMessage("null")
}

func (c *goCall) text(i int) string {
	var s string
	_ = json.Unmarshal(c.arg(i), &s) // a table that has no text there gets the API's error
	return s
}

// streams says whether the body asks for a stream.
func (c *goCall) streams() bool {
	var body struct{ Stream bool }
	_ = json.Unmarshal(c.arg(0), &body) // a wrong type is the API's to refuse
	return body.Stream
}

// query is all that the table asks of lists.
type query struct {
	After, Order, Model, Purpose string
	Limit                        *int64
	Metadata                     map[string]string
	Stream                       bool
	StartingAfter                *int64 `json:"starting_after"`
	IncludeObfuscation           *bool  `json:"include_obfuscation"`
}

func (c *goCall) query(i int) (query, []option.RequestOption, error) {
	var q query
	err := json.Unmarshal(c.arg(i), &q)
	var opts []option.RequestOption
	for name, value := range map[string]string{"after": q.After, "order": q.Order, "model": q.Model, "purpose": q.Purpose} {
		if value != "" {
			opts = append(opts, option.WithQuery(name, value))
		}
	}
	if q.Limit != nil {
		opts = append(opts, option.WithQuery("limit", fmt.Sprint(*q.Limit)))
	}
	return q, opts, err
}

// raw is an answer of the SDK that still knows its JSON.
type raw interface{ RawJSON() string }

func (s *sight) keep(body raw, err error) error {
	if err == nil {
		s.Body = json.RawMessage(body.RawJSON())
	}
	return err
}

// one is a method of the SDK that takes an id.
type one[T any] func(context.Context, string, ...option.RequestOption) (*T, error)

func byID[T any](method func(*goCall) one[T]) func(context.Context, *goCall) error {
	return func(ctx context.Context, c *goCall) error {
		body, err := method(c)(ctx, c.text(0))
		return c.saw.keep(any(body).(raw), err)
	}
}

// pager goes through the items of a list, page by page.
type pager[T any] interface {
	Next() bool
	Current() T
	Err() error
}

func list[T any](c *goCall, p pager[T]) error {
	for p.Next() && len(c.saw.Events) < 50 {
		c.saw.Events = append(c.saw.Events, json.RawMessage(any(p.Current()).(raw).RawJSON()))
	}
	return p.Err()
}

// listen collects the events of a stream, and leaves after as many as ordered.
func listen[T any](c *goCall, stream *ssestream.Stream[T], leave context.CancelFunc, each func(T)) error {
	defer stream.Close()
	for stream.Next() {
		event := stream.Current()
		c.saw.Events = append(c.saw.Events, json.RawMessage(any(event).(raw).RawJSON()))
		each(event)
		if len(c.saw.Events) == c.Abort {
			leave()
			return nil
		}
	}
	return stream.Err()
}

func chatCreate(ctx context.Context, c *goCall) error {
	body := param.Override[openai.ChatCompletionNewParams](c.arg(0))
	if !c.streams() {
		answer, err := c.client.Chat.Completions.New(ctx, body)
		return c.saw.keep(answer, err)
	}
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	return listen(c, c.client.Chat.Completions.NewStreaming(ctx, body), leave, func(openai.ChatCompletionChunk) {})
}

// chatAccumulate is what the SDK's helper makes of a stream.
func chatAccumulate(ctx context.Context, c *goCall) error {
	var whole openai.ChatCompletionAccumulator
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	fits := true
	err := listen(c, c.client.Chat.Completions.NewStreaming(ctx, param.Override[openai.ChatCompletionNewParams](c.arg(0))), leave, func(chunk openai.ChatCompletionChunk) {
		fits = whole.AddChunk(chunk) && fits
		if len(chunk.Choices) > 0 {
			c.saw.Text += chunk.Choices[0].Delta.Content
		}
	})
	if err != nil {
		return err
	}
	if !fits {
		return errors.New("the chunks are not of one answer")
	}
	c.saw.Body, err = json.Marshal(whole.ChatCompletion)
	return err
}

func chatUpdate(ctx context.Context, c *goCall) error {
	body, err := c.client.Chat.Completions.Update(ctx, c.text(0), param.Override[openai.ChatCompletionUpdateParams](c.arg(1)))
	return c.saw.keep(body, err)
}

func chatList(ctx context.Context, c *goCall) error {
	q, opts, err := c.query(0)
	if err != nil {
		return err
	}
	params := openai.ChatCompletionListParams{Metadata: q.Metadata}
	page, err := c.client.Chat.Completions.List(ctx, params, opts...)
	if err := c.saw.keep(page, err); err != nil {
		return err
	}
	return list(c, c.client.Chat.Completions.ListAutoPaging(ctx, params, opts...))
}

func chatMessages(ctx context.Context, c *goCall) error {
	_, opts, err := c.query(1)
	if err != nil {
		return err
	}
	page, err := c.client.Chat.Completions.Messages.List(ctx, c.text(0), openai.ChatCompletionMessageListParams{}, opts...)
	if err := c.saw.keep(page, err); err != nil {
		return err
	}
	return list(c, c.client.Chat.Completions.Messages.ListAutoPaging(ctx, c.text(0), openai.ChatCompletionMessageListParams{}, opts...))
}

func textCreate(ctx context.Context, c *goCall) error {
	body := param.Override[openai.CompletionNewParams](c.arg(0))
	if !c.streams() {
		answer, err := c.client.Completions.New(ctx, body)
		return c.saw.keep(answer, err)
	}
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	return listen(c, c.client.Completions.NewStreaming(ctx, body), leave, func(openai.Completion) {})
}

func embeddingCreate(ctx context.Context, c *goCall) error {
	answer, err := c.client.Embeddings.New(ctx, param.Override[openai.EmbeddingNewParams](c.arg(0)))
	return c.saw.keep(answer, err)
}

func modelList(ctx context.Context, c *goCall) error {
	page, err := c.client.Models.List(ctx)
	if err := c.saw.keep(page, err); err != nil {
		return err
	}
	return list(c, c.client.Models.ListAutoPaging(ctx))
}

func responseCreate(ctx context.Context, c *goCall) error {
	body := param.Override[responses.ResponseNewParams](c.arg(0))
	if !c.streams() {
		answer, err := c.client.Responses.New(ctx, body)
		return c.saw.keep(answer, err)
	}
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	return listen(c, c.client.Responses.NewStreaming(ctx, body), leave, func(responses.ResponseStreamEventUnion) {})
}

func responseRetrieve(ctx context.Context, c *goCall) error {
	q, _, err := c.query(1)
	if err != nil {
		return err
	}
	var params responses.ResponseGetParams
	if q.StartingAfter != nil {
		params.StartingAfter = param.NewOpt(*q.StartingAfter)
	}
	if q.IncludeObfuscation != nil {
		params.IncludeObfuscation = param.NewOpt(*q.IncludeObfuscation)
	}
	if !q.Stream {
		answer, err := c.client.Responses.Get(ctx, c.text(0), params)
		return c.saw.keep(answer, err)
	}
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	return listen(c, c.client.Responses.GetStreaming(ctx, c.text(0), params), leave, func(responses.ResponseStreamEventUnion) {})
}

func responseDelete(ctx context.Context, c *goCall) error {
	return c.client.Responses.Delete(ctx, c.text(0))
}

func responseItems(ctx context.Context, c *goCall) error {
	_, opts, err := c.query(1)
	if err != nil {
		return err
	}
	page, err := c.client.Responses.InputItems.List(ctx, c.text(0), responses.InputItemListParams{}, opts...)
	if err := c.saw.keep(page, err); err != nil {
		return err
	}
	return list(c, c.client.Responses.InputItems.ListAutoPaging(ctx, c.text(0), responses.InputItemListParams{}, opts...))
}

// post sends the body of {"body": …} to a path that the SDK may have no method for.
func post(ctx context.Context, c *goCall) error {
	var options struct{ Body json.RawMessage }
	if err := json.Unmarshal(c.arg(1), &options); err != nil {
		return err
	}
	var answer *http.Response
	err := c.client.Post(ctx, strings.TrimPrefix(c.text(0), "/"), options.Body, &answer)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	c.saw.Body, err = io.ReadAll(answer.Body)
	return err
}
