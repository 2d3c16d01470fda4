package credential

import (
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"sluice/shared/completion"
)

// Signing is the API's secret: seeds of the scoped signing keys of account VIEWERS. Who has it can mint viewers'
// credentials and nothing else.
type Signing struct {
	Account string `json:"account"` // public key of VIEWERS
	Stream  string `json:"stream"`  // seed; its credentials open one stream: a job's
	Tenant  string `json:"tenant"`  // seed; its credentials open all streams of one tenant
}

// Minter mints viewers' credentials. It is safe for concurrent use, costs about 0.15 ms a credential, and asks nobody.
type Minter struct {
	account        string
	stream, tenant nkeys.KeyPair
}

// NewMinter returns a Minter that signs with s.
func NewMinter(s Signing) (*Minter, error) {
	if !nkeys.IsValidPublicAccountKey(s.Account) {
		return nil, fmt.Errorf("NATS signing keys: %q is not an account's public key", s.Account)
	}
	m := &Minter{account: s.Account}
	for seed, pair := range map[string]*nkeys.KeyPair{s.Stream: &m.stream, s.Tenant: &m.tenant} {
		p, err := nkeys.FromSeed([]byte(seed))
		if err != nil {
			return nil, fmt.Errorf("NATS signing keys: %w", err)
		}
		*pair = p
	}
	return m, nil
}

// Credential is what a viewer connects with.
type Credential struct {
	Token     string    // a bearer user JWT
	ExpiresAt time.Time // the server hangs up then; in whole seconds
}

// Stream mints a credential that opens the stream of one job, to read and to ask for replays, until expires.
func (m *Minter) Stream(ref completion.Ref, expires time.Time) (Credential, error) {
	if !completion.ValidToken(ref.Job) {
		return Credential{}, fmt.Errorf("mint credential: job %q: %w", ref.Job, completion.ErrNotFound)
	}
	return m.mint(m.stream, expires, ref.Tenant, "stream:"+ref.Job)
}

// Tenant mints a credential that opens all streams of one tenant until expires.
func (m *Minter) Tenant(tenant string, expires time.Time) (Credential, error) {
	return m.mint(m.tenant, expires, tenant)
}

// mint relies on ValidToken: NATS lower-cases tags, and expands '*' in them.
func (m *Minter) mint(signer nkeys.KeyPair, expires time.Time, tenant string, tags ...string) (Credential, error) {
	if !completion.ValidToken(tenant) {
		return Credential{}, fmt.Errorf("mint credential: tenant %q: %w", tenant, completion.ErrNotFound)
	}
	pair, err := nkeys.CreateUser()
	if err != nil {
		return Credential{}, fmt.Errorf("mint credential: %w", err)
	}
	key, err := pair.PublicKey()
	if err != nil {
		return Credential{}, fmt.Errorf("mint credential: %w", err)
	}
	c := jwt.NewUserClaims(key)
	c.SetScoped(true)
	c.IssuerAccount, c.Expires = m.account, expires.Unix()
	c.Tags.Add(append(tags, "tenant:"+tenant)...)
	token, err := c.Encode(signer)
	if err != nil {
		return Credential{}, fmt.Errorf("mint credential: %w", err)
	}
	return Credential{Token: token, ExpiresAt: time.Unix(expires.Unix(), 0).UTC()}, nil
}
