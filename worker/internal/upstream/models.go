package upstream

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

const (
	modelsLimit = 30 * time.Second // for the whole answer
	maxModels   = 10_000
	maxModelID  = 256     // bytes
	maxList     = 4 << 20 // bytes of an answer
)

// Models asks which models the upstream serves. The answer is an array of OpenAI's model objects, in the order of their
// ids, each with id, object, created, owned_by, and whatever else the upstream says of it that shows neither its address
// nor its key. It is nil for an upstream that does not say: it has no such route, wants another key for it, or answers
// with what is no list, or with one of more than 10,000 models or 4 MiB. Errors are those of Stream: asked again, it may say.
func (u *Upstream) Models(ctx context.Context) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, modelsLimit)
	defer cancel()
	c := newCall(ctx, u, nil, 0)
	defer c.end()
	req, err := http.NewRequestWithContext(c.ctx, http.MethodGet, u.openai.BaseURL+"/models", bytes.NewReader(nil))
	if err != nil {
		return nil, fmt.Errorf("build request for models: %w", err)
	}
	if u.cfg.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+u.cfg.APIKey)
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "sluice")
	resp, err := c.send(req)
	if err != nil {
		return nil, c.failure(err)
	}
	defer resp.Body.Close()
	switch s := resp.StatusCode; {
	case s >= 200 && s <= 299:
		return c.models(resp)
	case s >= http.StatusInternalServerError && s != http.StatusNotImplemented,
		s == http.StatusTooManyRequests, s == http.StatusRequestTimeout, s == http.StatusConflict:
		return nil, c.refused(resp)
	default:
		return nil, nil
	}
}

func (c *call) models(resp *http.Response) (json.RawMessage, error) {
	reader, err := decoded(resp)
	if err != nil {
		return nil, nil //nolint:nilerr // an encoding that nobody asked for is no list
	}
	body, err := io.ReadAll(io.LimitReader(reader, maxList+1))
	if err != nil {
		return nil, c.failure(completion.NewError(completion.CodeCut, "").Because(err))
	}
	if len(body) > maxList || !validJSON(body) {
		return nil, nil
	}
	list := gjson.ParseBytes(appendUTF8(make([]byte, 0, len(body)), body))
	if list.IsObject() {
		list = list.Get("data")
	}
	if !list.IsArray() || list.Get("#").Int() > maxModels {
		return nil, nil
	}
	return c.up.modelList(list), nil
}

// modelList renders the models of a list that have an id.
func (u *Upstream) modelList(list gjson.Result) json.RawMessage {
	var models []gjson.Result
	list.ForEach(func(_, m gjson.Result) bool {
		if id := m.Get("id"); m.IsObject() && id.Type == gjson.String && len(id.Str) <= maxModelID && plain(id.Str) && !u.secret.private(id.Str) {
			models = append(models, m)
		}
		return true
	})
	slices.SortStableFunc(models, func(a, b gjson.Result) int { return cmp.Compare(a.Get("id").Str, b.Get("id").Str) })
	models = slices.CompactFunc(models, func(a, b gjson.Result) bool { return a.Get("id").Str == b.Get("id").Str })
	b := []byte{'['}
	for i, m := range models {
		if i > 0 {
			b = append(b, ',')
		}
		b = u.appendModel(b, m)
	}
	return append(b, ']')
}

// plain reports whether a name can be shown.
func plain(name string) bool { return name != "" && !strings.ContainsFunc(name, unicode.IsControl) }

// appendModel renders a model with the members that it always has.
func (u *Upstream) appendModel(b []byte, m gjson.Result) []byte {
	owner := m.Get("owned_by").Str
	if !plain(owner) || u.secret.private(owner) || secretShape.MatchString(owner) {
		owner = u.cfg.Name
	}
	by, _ := json.Marshal(owner)
	b = append(append(b, `{"id":`...), m.Get("id").Raw...)
	b = strconv.AppendInt(append(b, `,"object":"model","created":`...), m.Get("created").Int(), 10)
	b = append(append(b, `,"owned_by":`...), by...)
	m.ForEach(func(k, v gjson.Result) bool {
		told := k.Str == "id" || k.Str == "object" || k.Str == "created" || k.Str == "owned_by"
		if said := v.String(); !told && !u.secret.private(said) && !secretShape.MatchString(said) {
			b = appendPair(append(b, ','), k, v)
		}
		return true
	})
	return append(b, '}')
}
