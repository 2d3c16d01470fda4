package conversations

import (
	"encoding/json"
	"strings"
	"time"

	"sluice/api/internal/optional"
	"sluice/api/internal/viewer"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// Conversation is a conversation as clients see it.
type Conversation struct {
	ID         string                `json:"id" example:"conv_01933b1c5f6c7d8e9f00112233445566"`
	Object     string                `json:"object" enum:"conversation"`
	Name       string                `json:"name" doc:"Empty: it has none yet."`
	System     string                `json:"system" doc:"The system message. It does not change once something was said."`
	Parameters completion.Parameters `json:"parameters" doc:"How its turns are answered that do not say otherwise."`
	Owner      string                `json:"owner" doc:"The tenant's own name for its end user."`
	Metadata   map[string]string     `json:"metadata"`
	Head       *string               `json:"head" nullable:"true" doc:"The last message of the path that goes on."`
	Version    int64                 `json:"version" doc:"How often it has changed."`
	Live       []string              `json:"live" doc:"The turns that have not ended, by the ids of their jobs, in the order in which they begin."`
	Match      *Match                `json:"match,omitempty" doc:"Only in a search: where it was found, if not in the name only."`

	Subject   string        `json:"subject" doc:"The NATS subject on which its changes are told."`
	Stream    viewer.Stream `json:"stream"`
	EventsURL string        `json:"events_url" doc:"The same as server-sent events."`

	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	ActiveAt  time.Time `json:"active_at" doc:"When something was last said."`
}

// Match is the latest message in which was found what was searched for.
type Match struct {
	Message string `json:"message"`
	Snippet string `json:"snippet" doc:"What it says around what was found."`
}

func (f *Face) view(c *completion.Conversation, live []string) Conversation {
	v := Conversation{
		ID: c.ID, Object: "conversation", Name: c.Name, System: c.System, Parameters: c.Parameters, Owner: c.Owner, Metadata: c.Metadata,
		Head: optional.Of(c.Head), Version: c.Version, Live: live,
		Subject: c.Ref().Subject(), Stream: f.Door.Where(), EventsURL: path + "/" + c.ID + "/events",
		CreatedAt: c.CreatedAt.UTC(), UpdatedAt: c.UpdatedAt.UTC(), ActiveAt: c.ActiveAt.UTC(),
	}
	if v.Metadata == nil {
		v.Metadata = map[string]string{}
	}
	if v.Live == nil {
		v.Live = []string{}
	}
	return v
}

// around is how much a snippet shows on each side, in characters.
const around = 60

func match(found *store.Found, query string) *Match {
	if found.Match.ID == "" {
		return nil
	}
	return &Match{Message: found.Match.ID, Snippet: snippet(found.Match.Text(), query)}
}

// snippet is the text around the first place that has the query, on one line.
func snippet(text, query string) string {
	lower := func(s string) []rune { return []rune(strings.ToLower(strings.ToUpper(s))) } // as many as it had
	whole, sought := []rune(text), lower(query)
	at := strings.Index(string(lower(text)), string(sought))
	if at < 0 {
		at = 0
	}
	at = len([]rune(string(lower(text))[:at]))
	from, to := max(0, at-around), min(len(whole), at+len(sought)+around)
	cut := strings.Join(strings.Fields(string(whole[from:to])), " ")
	if from > 0 {
		cut = "…" + cut
	}
	if to < len(whole) {
		cut += "…"
	}
	return cut
}

// Message is a message as clients see it.
type Message struct {
	ID           string            `json:"id" doc:"Of an answer: its job's id."`
	Object       string            `json:"object" enum:"message"`
	Conversation string            `json:"conversation"`
	Parent       *string           `json:"parent" nullable:"true" doc:"The message that this one follows; null: it is a first one."`
	Seq          int               `json:"seq" doc:"In the order in which the conversation's messages came, from 1."`
	Role         completion.Role   `json:"role" enum:"user,assistant"`
	State        completion.State  `json:"state" enum:"queued,running,completed,failed,cancelled,expired" doc:"Of an answer that of its job; all else is completed."`
	Content      json.RawMessage   `json:"content" nullable:"true" doc:"A text, or of a user's message an array of parts. Of an answer that has not ended it is null; follow its job."`
	Model        *string           `json:"model" nullable:"true"`
	Usage        json.RawMessage   `json:"usage" nullable:"true"`
	FinishReason *string           `json:"finish_reason" nullable:"true"`
	Error        *completion.Error `json:"error" doc:"Why there is no whole answer."`
	Rating       int               `json:"rating" doc:"-1, 1, or 0 for none."`
	Comment      *string           `json:"comment" nullable:"true" doc:"That came with the rating."`
	Siblings     []string          `json:"siblings" doc:"The messages that follow the same one, this one among them, in the order in which they came: other versions of it."`
	CreatedAt    time.Time         `json:"created_at"`
	FinishedAt   *time.Time        `json:"finished_at" nullable:"true"`
}

func view(m *completion.Message, siblings []completion.Message) Message {
	v := Message{
		ID: m.ID, Object: "message", Conversation: m.Conversation, Parent: optional.Of(m.Parent), Seq: m.Seq, Role: m.Role, State: m.State,
		Content: orNull(m.Content), Model: optional.Of(m.Model), Usage: orNull(m.Usage), FinishReason: optional.Of(m.FinishReason), Error: m.Error,
		Rating: m.Rating, Comment: optional.Of(m.Comment), Siblings: make([]string, 0, len(siblings)),
		CreatedAt: m.CreatedAt.UTC(), FinishedAt: optional.Time(m.FinishedAt),
	}
	for i := range siblings {
		v.Siblings = append(v.Siblings, siblings[i].ID)
	}
	return v
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}
