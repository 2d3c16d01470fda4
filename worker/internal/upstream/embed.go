package upstream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	openai "github.com/sashabaranov/go-openai"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// embed asks for embeddings. The answer is the upstream's own, not the library's reading of it, which knows floats only.
func (c *call) embed() (json.RawMessage, error) {
	c.whole = true
	if _, err := openai.NewClientWithConfig(c.config()).CreateEmbeddings(c.ctx, openai.EmbeddingRequest{}); err != nil {
		return nil, c.failure(err)
	}
	return c.answer, nil
}

// acceptWhole reads and judges an answer that comes in one piece, and gives the library one that says nothing.
func (c *call) acceptWhole(resp *http.Response) (*http.Response, error) {
	defer resp.Body.Close()
	reader, err := decoded(resp)
	if err != nil {
		return nil, completion.NewError(completion.CodeUpstreamGarbage, "").Because(err)
	}
	limit := c.up.cfg.MaxAnswerBytes
	body, err := io.ReadAll(io.LimitReader(&busyReader{reader, c}, limit+1))
	c.idle.Stop()
	root := gjson.ParseBytes(body)
	switch {
	case err != nil:
		return nil, completion.NewError(completion.CodeCut, "").Because(err)
	case int64(len(body)) > limit:
		return nil, tooLarge()
	case !validJSON(body) || !root.IsObject():
		return nil, completion.NewError(completion.CodeUpstreamGarbage, "The upstream sent what is not a list of embeddings.").Because(errNotChunk)
	case truthyMember(root, "error") || root.Get("object").Str == "error":
		f := parseFault(body)
		f.header = resp.Header
		return nil, c.up.classify(f)
	case !root.Get("data").IsArray():
		return nil, completion.NewError(completion.CodeUpstreamGarbage, "The upstream sent what is not a list of embeddings.").Because(fmt.Errorf("no data"))
	}
	c.answer = appendUTF8(make([]byte, 0, len(body)), oneLine(bytes.TrimSpace(body)))
	resp.Body = io.NopCloser(bytes.NewReader([]byte("{}")))
	return resp, nil
}

// busyReader starts the idle limit anew with every read.
type busyReader struct {
	io.Reader
	call *call
}

func (r *busyReader) Read(p []byte) (int, error) {
	r.call.arm()
	return r.Reader.Read(p)
}
