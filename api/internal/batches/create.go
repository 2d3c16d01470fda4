package batches

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tidwall/gjson"

	"sluice/api/internal/access"
	"sluice/api/internal/intake"
	"sluice/api/internal/raw"
	"sluice/api/internal/request"
	"sluice/shared/completion"
)

// maxCreation is the largest body of a creation, in bytes: 16 pairs of metadata, escaped, and some more.
const maxCreation = 128 << 10

type createInput struct {
	Key     string `header:"Idempotency-Key" doc:"Asking again with the same key and body answers with the existing batch; with another body it is a 409."`
	Type    string `header:"Content-Type" hidden:"true"`
	RawBody []byte `contentType:"application/json"`
}

// creation documents what read reads.
type creation struct {
	Input       string              `json:"input_file_id" doc:"An uploaded file with the purpose batch, with one request on each line: custom_id, method, url and body."`
	Endpoint    completion.Endpoint `json:"endpoint" enum:"/v1/chat/completions,/v1/completions,/v1/embeddings,/v1/responses" doc:"Of all lines."`
	Window      string              `json:"completion_window" example:"24h" doc:"The batch ends after this time at the latest, and lines without an answer expire: 1m to 7d, as 30m, 24h, 1h30m or 7d."`
	Metadata    map[string]string   `json:"metadata,omitempty" doc:"At most 16 pairs, keys of at most 64 and values of at most 512 characters."`
	Expiry      *expiry             `json:"output_expires_after,omitempty" doc:"How long the output and error files are kept."`
	Deduplicate bool                `json:"deduplicate,omitempty" doc:"Lines with the same body share one call of the upstream."`
}

type expiry struct {
	Anchor  string `json:"anchor" enum:"created_at" doc:"Of the file."`
	Seconds int64  `json:"seconds" minimum:"3600" maximum:"2592000"`
}

func (f *Face) registerCreate(api huma.API) {
	op := huma.Operation{
		OperationID: "create-batch", Method: http.MethodPost, Path: path, Tags: tags, Errors: []int{400, 401, 403, 409, 413, 415, 429, 503},
		Security: access.Needs(completion.ScopeSubmit), DefaultStatus: http.StatusOK, SkipValidateBody: true, MaxBodyBytes: maxCreation, BodyReadTimeout: time.Minute,
		Summary: "Create a batch", Description: "Of a file of requests, which are run as jobs of the batch lane. The file is checked first; if anything is wrong with it the " +
			"batch fails, and errors says what, line by line. The answers come in a file, in the order of the requests.",
	}
	huma.Register(api, op, f.create)
	doc := api.OpenAPI().Paths[path].Post
	raw.Answers(doc, false)
	media := doc.RequestBody.Content["application/json"]
	media.Schema = huma.SchemaFromType(api.OpenAPI().Components.Schemas, reflect.TypeFor[creation]())
	media.Example = json.RawMessage(`{"input_file_id":"file-01933b1c5f6c7d8e9f00112233445566","endpoint":"/v1/chat/completions","completion_window":"24h"}`)
}

func (f *Face) create(ctx context.Context, in *createInput) (*output, error) {
	tenant, body := access.Of(ctx).Tenant, intake.Body{Bytes: in.RawBody, Type: in.Type, Key: in.Key}
	if err := f.Intake.Allow(ctx, tenant, body); err != nil {
		return nil, f.answer(ctx, err)
	}
	b := newBatch(ctx, tenant)
	if err := read(&b, in.RawBody); err != nil {
		return nil, f.answer(ctx, err)
	}
	b.IdempotencyKey, b.BodyHash = in.Key, body.Hash()
	stored, created, err := f.Store.AddBatch(ctx, b)
	if errors.Is(err, completion.ErrNotFound) {
		err = f.noInput(ctx, &b)
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	if created {
		f.Bell.Batch(stored.Ref())
	}
	return made(&stored, created), nil
}

// newBatch is a batch that begins now.
func newBatch(ctx context.Context, tenant string) completion.Batch {
	now := time.Now()
	return completion.Batch{
		ID: completion.NewBatchID(), Tenant: tenant, State: completion.BatchValidating, RequestID: completion.RequestID(ctx), CreatedAt: now, UpdatedAt: now,
	}
}

// noInput says why a file cannot be a batch's input.
func (f *Face) noInput(ctx context.Context, b *completion.Batch) error {
	file, err := f.Store.File(ctx, b.Tenant, b.Input, time.Now())
	switch {
	case errors.Is(err, completion.ErrNotFound):
		return completion.Invalid("input_file_id", "There is no file with the id %q.", request.Shorten(b.Input))
	case err != nil:
		return err
	default:
		return completion.Invalid("input_file_id", "The file was uploaded with the purpose %q; a batch needs one with the purpose %q.", file.Purpose, completion.PurposeBatch)
	}
}

// read checks a body and puts what it says into the batch.
func read(b *completion.Batch, body []byte) error {
	root, err := request.Object(body)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	root.ForEach(func(k, v gjson.Result) bool {
		if seen[k.Str] {
			err = completion.Invalid(request.Shorten(k.Str), "The field %q is given twice.", request.Shorten(k.Str))
			return false
		}
		seen[k.Str] = true
		err = field(b, k.Str, v)
		return err == nil
	})
	for _, name := range []string{"input_file_id", "endpoint", "completion_window"} {
		if err == nil && !seen[name] {
			err = completion.Invalid(name, "The field %q is required.", name)
		}
	}
	return err
}

func field(b *completion.Batch, name string, v gjson.Result) (err error) {
	switch name {
	case "input_file_id":
		b.Input = v.Str
		if v.Type != gjson.String || !completion.ValidToken(v.Str) {
			err = completion.Invalid(name, "The field %q must be the id of a file.", name)
		}
	case "endpoint":
		b.Endpoint = completion.Endpoint(v.Str)
		if v.Type != gjson.String || !slices.Contains(completion.Endpoints, b.Endpoint) {
			err = completion.Invalid(name, "The endpoint must be one of %s; others are not served here.", completion.EndpointNames())
		}
	case "completion_window":
		err = window(b, v)
	case "metadata":
		b.Metadata, err = request.Metadata(v, name)
	case "output_expires_after":
		b.OutputAge, err = age(v, name)
	case "deduplicate":
		if v.Type != gjson.Null && !v.IsBool() {
			err = completion.Invalid(name, "The field %q must be a boolean.", name)
		}
		b.Deduplicate = v.Bool()
	default:
		err = completion.Invalid(request.Shorten(name), "The field %q is unknown; there are input_file_id, endpoint, completion_window, metadata, output_expires_after and deduplicate.", request.Shorten(name))
	}
	return err
}

// window reads how long the batch may take.
func window(b *completion.Batch, v gjson.Result) error {
	d, err := duration(v.Str)
	if v.Type != gjson.String || err != nil {
		return completion.Invalid("completion_window", "The completion window must be a time such as 30m, 24h, 1h30m or 7d.")
	}
	if d < completion.MinBatchWindow || d > completion.MaxBatchWindow {
		return completion.Invalid("completion_window", "The completion window must be from 1m to 7d.")
	}
	b.Window, b.Deadline = v.Str, b.CreatedAt.Add(d)
	return nil
}

// longestWindow is more than a time needs, in bytes.
const longestWindow = 64

// duration reads a time as Go writes it, or a whole number of days.
func duration(s string) (time.Duration, error) {
	if len(s) > longestWindow {
		return 0, errors.New("too long")
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 8)
		return time.Duration(n) * 24 * time.Hour, err //nolint:gosec // at most 255 days
	}
	return time.ParseDuration(s)
}

// age reads how long the output is kept; zero if nothing is said.
func age(v gjson.Result, at string) (time.Duration, error) {
	least, most := completion.MinFileAge.Seconds(), completion.MaxFileAge.Seconds()
	seconds := v.Get("seconds")
	switch {
	case v.Type == gjson.Null:
		return 0, nil
	case !v.IsObject():
		return 0, completion.Invalid(at, "The field %q must be an object with anchor and seconds.", at)
	case v.Get("anchor").Str != "created_at":
		return 0, completion.Invalid(at+".anchor", "The anchor must be \"created_at\".")
	case seconds.Type != gjson.Number || seconds.Num != float64(seconds.Int()) || seconds.Num < least || seconds.Num > most:
		return 0, completion.Invalid(at+".seconds", "The field \"seconds\" must be a whole number from %.0f to %.0f.", least, most)
	}
	return time.Duration(seconds.Int()) * time.Second, nil
}
