// Package viewer lets viewers in: it says where NATS is, and makes the credentials that open streams there, to read (I8).
package viewer

import (
	"time"

	"sluice/api/internal/optional"
	"sluice/shared/completion"
	"sluice/shared/credential"
)

// Stream says where to connect for events, and with what. Subscribe to the subject there; ask replay.<tenant>.<job> for what
// was missed.
type Stream struct {
	NATSURL      string     `json:"nats_url,omitempty" example:"nats://127.0.0.1:4222"`
	WebSocketURL string     `json:"websocket_url,omitempty" example:"ws://127.0.0.1:8081"`
	Credential   string     `json:"credential,omitempty" doc:"Bearer JWT to connect with, which opens this stream, to read. Only in answers to a submit, a retry, and to POST …/credential."`
	ExpiresAt    *time.Time `json:"expires_at,omitempty" doc:"When the credential ends and the server hangs up."`
}

// Credential opens streams on NATS, to read.
type Credential struct {
	Object  string `json:"object" enum:"credential"`
	Subject string `json:"subject" doc:"What it opens."`
	Stream
}

// Mint makes credentials.
type Mint interface {
	Stream(ref completion.Ref, expires time.Time) (credential.Credential, error)
	Tenant(tenant string, expires time.Time) (credential.Credential, error)
}

// Door is safe for concurrent use. The zero Door is closed: there are no credentials, and nobody is told where NATS is.
type Door struct {
	mint  Mint
	where Stream
	age   time.Duration
}

// New returns a Door to the streams at where, whose credentials are valid for age.
func New(mint Mint, where Stream, age time.Duration) Door {
	return Door{mint: mint, where: where, age: age}
}

// Where is the Stream without what opens it.
func (d *Door) Where() Stream { return d.where }

// Open adds to s what opens the stream of ref.
func (d *Door) Open(s *Stream, ref completion.Ref) error {
	if d.mint == nil {
		return nil
	}
	c, err := d.mint.Stream(ref, time.Now().Add(d.age))
	s.show(c)
	return err
}

// Credential opens the stream of ref, and its replay.
func (d *Door) Credential(ref completion.Ref) (Credential, error) {
	c := Credential{Object: "credential", Subject: ref.Subject(), Stream: d.where}
	return c, d.Open(&c.Stream, ref)
}

// Tenant opens all streams of a tenant. not_found: the Door is closed.
func (d *Door) Tenant(tenant string) (Credential, error) {
	out := Credential{Object: "credential", Subject: "completions." + tenant + ".>", Stream: d.where}
	if d.mint == nil {
		return out, errClosed
	}
	c, err := d.mint.Tenant(tenant, time.Now().Add(d.age))
	out.show(c)
	return out, err
}

var errClosed = completion.NewError(completion.CodeNotFound, "This installation does not serve streams over NATS; follow jobs over HTTP.")

func (s *Stream) show(c credential.Credential) {
	s.Credential, s.ExpiresAt = c.Token, optional.Time(c.ExpiresAt)
}
