package completion

import (
	"cmp"
	"encoding/json"
	"time"
)

// Conversation is an ordered memory of what a user and a model have said to each other: a tree of messages, of which one
// path, from a first message to Head, is the one that goes on. All other branches stay readable.
type Conversation struct {
	ID         string // "conv_" and a UUIDv7
	Tenant     string
	Owner      string // the tenant's own name for its end user; may be empty
	Name       string // for people; empty: none yet
	System     string // the system message; it does not change once something was said
	Parameters Parameters
	Metadata   map[string]string
	Head       string // the last message of the path that goes on; empty: nothing was said
	Seq        int    // of the message that came last
	Version    int64  // how often the conversation has changed; whoever has seen it knows whether to look again
	Naming     string // the job that finds a name; empty: none

	IdempotencyKey string
	BodyHash       string

	CreatedAt time.Time
	UpdatedAt time.Time
	ActiveAt  time.Time // when something was last said
	DeletedAt time.Time // zero: it is there
}

// Limits on a conversation.
const (
	ConversationPrefix = "conv_"
	MessagePrefix      = "msg_"
	MaxOwner           = 128  // bytes
	MaxName            = 200  // characters
	MaxComment         = 2000 // characters, of a rating
)

// NewConversationID returns "conv_" and a UUIDv7.
func NewConversationID() string { return newID(ConversationPrefix) }

// NewMessageID returns "msg_" and a UUIDv7, for a message that no job makes.
func NewMessageID() string { return newID(MessagePrefix) }

// Ref names the conversation, on whose subject viewers hear that it has changed.
func (c *Conversation) Ref() Ref { return Ref{Tenant: c.Tenant, Job: c.ID} }

// Role is who says a message.
type Role string

// The roles.
const (
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
)

// Message is one thing that was said, or is being said. What it is never changes once State is final, but for the rating.
type Message struct {
	ID           string // of an answer: its job's id
	Conversation string
	Tenant       string
	Parent       string // the message that this one follows; empty: it is a first one
	Seq          int    // in the order in which the conversation's messages came, from 1
	Role         Role
	State        State           // of an answer as of its job; all else is Completed
	Content      json.RawMessage // a JSON string, or of a user's message an array of parts; of an answer that has not completed what it has so far; nil: nothing
	Model        string
	Usage        json.RawMessage
	FinishReason string
	Error        *Error // why there is no (whole) answer
	Rating       int    // of an answer: -1, 1, or 0 for none
	Comment      string // that came with the rating
	CreatedAt    time.Time
	FinishedAt   time.Time
}

// Live reports whether an answer is still to come.
func (m *Message) Live() bool { return !m.State.Final() }

// Policy says what becomes of a turn that is under way when another one comes.
type Policy string

// The policies.
const (
	PolicyQueue     Policy = "queue"     // the new one waits for its end
	PolicyReject    Policy = "reject"    // the new one is refused
	PolicyInterrupt Policy = "interrupt" // it is cancelled; what it has said stays
	PolicyRollback  Policy = "rollback"  // it is cancelled, and its question and answer leave the path
)

// Policies are all policies.
var Policies = []Policy{PolicyQueue, PolicyReject, PolicyInterrupt, PolicyRollback}

// Preset is what a tenant's conversations have that say nothing else.
type Preset struct {
	System     string     `json:"system,omitempty"`
	Parameters Parameters `json:"parameters,omitzero"`
}

// Over returns what p says, and what base says where p is silent: an empty system message is silent.
func (p Preset) Over(base Preset) Preset {
	return Preset{System: cmp.Or(p.System, base.System), Parameters: p.Parameters.Over(base.Parameters)}
}
