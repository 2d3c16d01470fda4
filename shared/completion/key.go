package completion

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Scope is one thing that a key permits, within its tenant but for ScopeSystem.
type Scope string

// The scopes. None contains another.
const (
	ScopeSubmit Scope = "submit" // submit, cancel and retry jobs
	ScopeRead   Scope = "read"   // read, list and follow jobs
	ScopeAdmin  Scope = "admin"  // manage the tenant's keys
	ScopeSystem Scope = "system" // see the whole installation, the load and the failures of all tenants, and try failed jobs again
)

// Scopes lists all scopes.
var Scopes = []Scope{ScopeSubmit, ScopeRead, ScopeAdmin, ScopeSystem}

// ScopeNames are those of Scopes, for people.
const ScopeNames = "submit, read, admin or system"

// Valid reports whether s is one of Scopes.
func (s Scope) Valid() bool { return slices.Contains(Scopes, s) }

// Key is an API key as it is kept: all but its secret.
type Key struct {
	ID         string // "key_" and a UUIDv7
	Tenant     string
	Name       string // a label for people; may be empty
	Hash       string // of the secret, see HashSecret
	Hint       string // the secret's last four characters
	Scopes     []Scope
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	RevokedAt  time.Time // zero: it was not
	LastUsedAt time.Time // to some seconds; zero: never
}

// SecretPrefix begins every secret, so that people and scanners recognise one.
const SecretPrefix = "sk-sluice-"

// NewKey returns a key that was created at the given time, and its secret, which is kept nowhere: the prefix and 256
// random bits.
func NewKey(tenant string, scopes []Scope, at time.Time) (k Key, secret string) {
	secret = SecretPrefix + strings.ToLower(rand.Text()+rand.Text())
	return KeyOf(secret, tenant, scopes, at), secret
}

// KeyOf is NewKey for a secret that exists already.
func KeyOf(secret, tenant string, scopes []Scope, at time.Time) Key {
	return Key{
		ID: newID("key_"), Tenant: tenant, Hash: HashSecret(secret), Hint: secret[max(0, len(secret)-4):],
		Scopes: scopes, CreatedAt: at,
	}
}

// HashSecret is under what a secret is kept: SHA-256 in hexadecimal. It needs neither salt nor a slow function, because
// secrets are random and long; and a look-up by hash tells nothing of a secret by the time it takes.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Usable reports whether the key opens anything at that time.
func (k *Key) Usable(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// Allows reports whether the key has the scope.
func (k *Key) Allows(s Scope) bool { return slices.Contains(k.Scopes, s) }
