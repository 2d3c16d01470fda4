package credential

import (
	"crypto/ed25519"
	"crypto/rand"
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

// Minter mints viewers' credentials. It is safe for concurrent use, costs about as much as a signature, and asks nobody.
type Minter struct {
	account        string
	stream, tenant signer
}

// NewMinter returns a Minter that signs with s.
func NewMinter(s Signing) (*Minter, error) {
	if !nkeys.IsValidPublicAccountKey(s.Account) {
		return nil, fmt.Errorf("NATS signing keys: %q is not an account's public key", s.Account)
	}
	m := &Minter{account: s.Account}
	for seed, into := range map[string]*signer{s.Stream: &m.stream, s.Tenant: &m.tenant} {
		signer, err := newSigner(seed)
		if err != nil {
			return nil, fmt.Errorf("NATS signing keys: %w", err)
		}
		*into = signer
	}
	return m, nil
}

// signer is a pair of keys that has them at hand; the library's derives them from the seed each time.
type signer struct {
	nkeys.KeyPair

	public  string
	private ed25519.PrivateKey
}

func newSigner(seed string) (s signer, err error) {
	if s.KeyPair, err = nkeys.FromSeed([]byte(seed)); err != nil {
		return s, err
	}
	if s.public, err = s.KeyPair.PublicKey(); err != nil {
		return s, err
	}
	_, raw, err := nkeys.DecodeSeed([]byte(seed))
	if err != nil {
		return s, err
	}
	s.private = ed25519.NewKeyFromSeed(raw)
	return s, nil
}

func (s signer) PublicKey() (string, error) { return s.public, nil }

func (s signer) Sign(input []byte) ([]byte, error) { return ed25519.Sign(s.private, input), nil }

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

// mint relies on ValidToken: NATS lower-cases tags, and expands '*' in them. The credential is for its bearer, who proves
// nothing with a key of their own: it names one that nobody has.
func (m *Minter) mint(signer signer, expires time.Time, tenant string, tags ...string) (Credential, error) {
	if !completion.ValidToken(tenant) {
		return Credential{}, fmt.Errorf("mint credential: tenant %q: %w", tenant, completion.ErrNotFound)
	}
	var nobody [ed25519.PublicKeySize]byte
	_, _ = rand.Read(nobody[:]) // never fails
	key, err := nkeys.Encode(nkeys.PrefixByteUser, nobody[:])
	if err != nil {
		return Credential{}, fmt.Errorf("mint credential: %w", err)
	}
	c := jwt.NewUserClaims(string(key))
	c.SetScoped(true)
	c.IssuerAccount, c.Expires = m.account, expires.Unix()
	c.Tags.Add(append(tags, "tenant:"+tenant)...)
	token, err := c.Encode(signer)
	if err != nil {
		return Credential{}, fmt.Errorf("mint credential: %w", err)
	}
	return Credential{Token: token, ExpiresAt: time.Unix(expires.Unix(), 0).UTC()}, nil
}
