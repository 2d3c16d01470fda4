package openai

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/tidwall/gjson"

	"sluice/api/internal/access"
	"sluice/api/internal/list"
	"sluice/api/internal/raw"
	"sluice/api/internal/request"
	"sluice/api/internal/result"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// registerStored adds the routes of the chat completions that were made with store: true.
func (f *Face) registerStored(api huma.API) {
	const path = string(completion.EndpointChat)
	read := []int{400, 401, 403, 404, 503}
	for _, op := range []huma.Operation{
		{
			OperationID: "list-chat-completions", Method: http.MethodGet, Path: path, Summary: "List stored chat completions",
			Description: "Those made with store: true that have completed, oldest first unless order says desc. Pass metadata[key]=value for those that have it.",
		},
		{OperationID: "get-chat-completion", Method: http.MethodGet, Path: path + "/{id}", Summary: "Read a stored chat completion"},
		{OperationID: "list-chat-completion-messages", Method: http.MethodGet, Path: path + "/{id}/messages", Summary: "List the messages of a stored chat completion"},
		{OperationID: "update-chat-completion", Method: http.MethodPost, Path: path + "/{id}", Summary: "Change the metadata of a stored chat completion"},
		{
			OperationID: "delete-chat-completion", Method: http.MethodDelete, Path: path + "/{id}", Summary: "Delete a stored chat completion",
			Description: "The job behind it goes with it. Its events stay in the event log for as long as that keeps them.",
		},
	} {
		op.Tags, op.Errors, op.Security = tags, read, access.Needs(completion.ScopeRead)
		switch op.OperationID {
		case "list-chat-completions":
			huma.Register(api, op, f.list)
		case "get-chat-completion":
			huma.Register(api, op, f.get)
		case "list-chat-completion-messages":
			huma.Register(api, op, f.messages)
		case "update-chat-completion":
			op.Security, op.SkipValidateBody, op.MaxBodyBytes = access.Needs(completion.ScopeSubmit), true, maxUpdate
			huma.Register(api, op, f.update)
			raw.Takes(api.OpenAPI().Paths[op.Path].Post, `{"metadata":{"topic":"demo"}}`)
		case "delete-chat-completion":
			op.Security = access.Needs(completion.ScopeSubmit)
			huma.Register(api, op, f.delete)
		}
	}
}

// maxUpdate is the largest body of an update, in bytes: 16 pairs of metadata, escaped.
const maxUpdate = 128 << 10

type idInput struct {
	ID string `path:"id" doc:"The id of the chat completion: chatcmpl-…"`
}

func notFound(id string) error {
	e := completion.NewError(completion.CodeNotFound, "Completion "+strconv.QuoteToASCII(id)+" not found.")
	e.Param = "id"
	return e
}

// find returns the stored completion's job. One that has not completed is not there yet.
func (f *Face) find(ctx context.Context, id string) (completion.Job, error) {
	name, ok := completion.Unalias(result.Prefix(completion.EndpointChat), id)
	if !ok {
		return completion.Job{}, notFound(id)
	}
	job, err := f.Store.Get(ctx, completion.Ref{Tenant: access.Of(ctx).Tenant, Job: name})
	if err != nil && completion.AsError(err).Code != completion.CodeNotFound {
		return completion.Job{}, err
	}
	if err != nil || !job.Stored || job.Endpoint != completion.EndpointChat || job.State != completion.Completed {
		return completion.Job{}, notFound(id)
	}
	return job, nil
}

func (f *Face) get(ctx context.Context, in *idInput) (*raw.Output, error) {
	job, err := f.find(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return raw.JSON(stored(&job)), nil
}

// stored renders a stored completion, which says more than one that was just made.
func stored(job *completion.Job) []byte {
	more := []result.Member{{"metadata", labels(job.Metadata)}, {"request_id", raw.Quote(job.RequestID)}}
	asked := gjson.ParseBytes(job.Request)
	for _, name := range []string{"tool_choice", "tools", "response_format", "seed", "temperature", "top_p", "presence_penalty", "frequency_penalty"} {
		more = append(more, result.Member{name, orNull(asked.Get(name))})
	}
	return result.Object(job, append(more, result.Member{"input_user", orNull(asked.Get("user"))}))
}

func orNull(v gjson.Result) string {
	if v.Exists() {
		return v.Raw
	}
	return "null"
}

func labels(m map[string]string) string {
	if len(m) == 0 {
		return "{}"
	}
	b, _ := json.Marshal(m) // strings always can
	return string(b)
}

type updateInput struct {
	ID      string `path:"id" doc:"The id of the chat completion: chatcmpl-…"`
	Type    string `header:"Content-Type" hidden:"true"`
	RawBody []byte `contentType:"application/json"`
}

func (f *Face) update(ctx context.Context, in *updateInput) (*raw.Output, error) {
	if err := request.JSON(in.Type); err != nil {
		return nil, f.answer(ctx, err)
	}
	root, err := request.Object(in.RawBody)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	if !root.Get("metadata").Exists() {
		return nil, f.answer(ctx, completion.Invalid("metadata", "The parameter \"metadata\" is required; it is all that can be changed."))
	}
	pairs, err := request.Metadata(root.Get("metadata"), "metadata")
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	job, err := f.find(ctx, in.ID)
	if err == nil {
		job, err = f.Store.SetMetadata(ctx, job.Ref(), pairs)
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return raw.JSON(stored(&job)), nil
}

func (f *Face) delete(ctx context.Context, in *idInput) (*raw.Output, error) {
	job, err := f.find(ctx, in.ID)
	if err == nil {
		err = f.Store.Unstore(ctx, job.Ref())
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return raw.JSON([]byte(`{"object":"chat.completion.deleted","id":` + raw.Quote(in.ID) + `,"deleted":true}`)), nil
}

type storedInput struct {
	Model string `query:"model" maxLength:"256" doc:"Only those of this model."`
	Limit int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"Completions per page."`
	After string `query:"after" maxLength:"64" doc:"The last id of the page before."`
	Order string `query:"order" enum:"asc,desc" default:"asc" doc:"By creation."`
	query url.Values
}

// Resolve reads the parameters whose names hold a key: metadata[key]=value.
func (in *storedInput) Resolve(ctx huma.Context) []error {
	r, _ := humago.Unwrap(ctx)
	in.query = r.URL.Query()
	return nil
}

func (in *storedInput) metadata() map[string]string {
	pairs := map[string]string{}
	for name, values := range in.query {
		if key, ok := strings.CutPrefix(name, "metadata["); ok && strings.HasSuffix(key, "]") {
			pairs[strings.TrimSuffix(key, "]")] = values[0]
		}
	}
	return pairs
}

func (f *Face) list(ctx context.Context, in *storedInput) (*raw.Output, error) {
	after, ok := completion.Unalias(result.Prefix(completion.EndpointChat), in.After)
	switch {
	case in.After == "":
		after = ""
	case !ok:
		return nil, f.answer(ctx, completion.Invalid("after", "The cursor must be the id of a chat completion."))
	}
	pairs := in.metadata()
	if len(pairs) > request.MaxMetadata {
		return nil, f.answer(ctx, completion.Invalid("metadata", "At most %d pairs of metadata are allowed.", request.MaxMetadata))
	}
	jobs, more, err := f.Store.ListStored(ctx, access.Of(ctx).Tenant, store.StoredQuery{
		Endpoint: completion.EndpointChat, Model: in.Model, Metadata: pairs, Limit: in.Limit, After: after, Newest: in.Order == "desc",
	})
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	items := make([]list.Item, 0, len(jobs))
	for i := range jobs {
		items = append(items, list.Item{ID: result.ID(&jobs[i]), JSON: stored(&jobs[i])})
	}
	return raw.JSON(list.Render(items, more)), nil
}

type messagesInput struct {
	ID    string `path:"id" doc:"The id of the chat completion: chatcmpl-…"`
	Limit int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"Messages per page."`
	After string `query:"after" maxLength:"128" doc:"The last id of the page before."`
	Order string `query:"order" enum:"asc,desc" default:"asc" doc:"As they were sent, or the last first."`
}

func (f *Face) messages(ctx context.Context, in *messagesInput) (*raw.Output, error) {
	job, err := f.find(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	items, more, ok := list.Cut(messages(&job), in.After, in.Limit, in.Order == "desc")
	if !ok {
		return nil, f.answer(ctx, completion.Invalid("after", "The cursor must be the id of one of the messages."))
	}
	return raw.JSON(list.Render(items, more)), nil
}

// messages are those of the request, each with an id.
func messages(job *completion.Job) []list.Item {
	var items []list.Item
	gjson.GetBytes(job.Request, "messages").ForEach(func(_, m gjson.Result) bool {
		name := result.ID(job) + "-" + strconv.Itoa(len(items))
		parts := "null"
		if content := m.Get("content"); content.IsArray() {
			parts = content.Raw
		}
		items = append(items, list.Item{ID: name, JSON: result.With(nil, m, []result.Member{{"id", raw.Quote(name)}, {"content", "null"}, {"name", "null"}, {"content_parts", parts}})})
		return true
	})
	return items
}
