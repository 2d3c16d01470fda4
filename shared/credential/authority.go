package credential

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Limits of all viewers together.
type Limits struct {
	Connections int64 // at the same time; 0: 20,000
}

const (
	defaultConnections = 20_000
	viewerPayload      = 1024 // bytes of what a viewer sends; a question has fewer
	streamSubs         = 10   // subscriptions of a connection that reads one stream
	tenantSubs         = 2000 // of one that reads a tenant's
)

// Authority is everything that makes an installation's NATS: signed accounts, and the keys of those who use them. It is
// made once, by New, and can be kept in a folder (Save, Load).
type Authority struct {
	OperatorJWT string
	System      Account
	Sluice      Account
	Viewers     Account
	Signing     Signing         // mints viewers' credentials
	Users       map[Role][]byte // contents of creds files

	operator nkeys.KeyPair // only after New: nobody needs it to run
}

// Account is a signed account.
type Account struct {
	Name string
	Key  string // public
	JWT  string

	pair nkeys.KeyPair
}

// New makes the keys of an installation, and signs its accounts and users with them.
func New(l Limits) (*Authority, error) {
	a := blank()
	if l.Connections <= 0 {
		l.Connections = defaultConnections
	}
	for _, step := range []func() error{
		a.keys, a.signOperator, a.signSystem, a.signSluice, func() error { return a.signViewers(l) }, a.signUsers,
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("make NATS accounts: %w", err)
		}
	}
	return a, nil
}

func blank() *Authority {
	return &Authority{Users: map[Role][]byte{}, System: Account{Name: "SYS"}, Sluice: Account{Name: "SLUICE"}, Viewers: Account{Name: "VIEWERS"}}
}

func (a *Authority) keys() (err error) {
	if a.operator, err = nkeys.CreateOperator(); err != nil {
		return err
	}
	for _, account := range a.accounts() {
		if account.pair, err = nkeys.CreateAccount(); err != nil {
			return err
		}
		if account.Key, err = account.pair.PublicKey(); err != nil {
			return err
		}
	}
	a.Signing.Account = a.Viewers.Key
	for _, seed := range []*string{&a.Signing.Stream, &a.Signing.Tenant} {
		pair, err := nkeys.CreateAccount()
		if err != nil {
			return err
		}
		text, err := pair.Seed()
		if err != nil {
			return err
		}
		*seed = string(text)
	}
	return nil
}

func (a *Authority) signOperator() error {
	key, err := a.operator.PublicKey()
	if err != nil {
		return err
	}
	c := jwt.NewOperatorClaims(key)
	c.Name, c.SystemAccount = "sluice", a.System.Key
	a.OperatorJWT, err = c.Encode(a.operator)
	return err
}

func (a *Authority) sign(account *Account, c *jwt.AccountClaims) (err error) {
	c.Name = account.Name
	var faults jwt.ValidationResults
	c.Validate(&faults)
	if err := errors.Join(faults.Errors()...); err != nil {
		return fmt.Errorf("account %s: %w", account.Name, err)
	}
	account.JWT, err = c.Encode(a.operator)
	return err
}

func (a *Authority) signSystem() error {
	return a.sign(&a.System, jwt.NewAccountClaims(a.System.Key))
}

// Subjects that cross the border between the accounts; see package eventlog.
const (
	live     = "completions.>"
	replayed = "rp.>"
	question = "replay.*.*"
)

func (a *Authority) signSluice() error {
	c := jwt.NewAccountClaims(a.Sluice.Key)
	c.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	c.Exports = jwt.Exports{{Name: "events", Subject: live, Type: jwt.Stream}, {Name: "replays", Subject: replayed, Type: jwt.Stream}}
	c.Imports = jwt.Imports{{Name: "questions", Subject: question, Account: a.Viewers.Key, Type: jwt.Stream}}
	return a.sign(&a.Sluice, c)
}

func (a *Authority) signViewers(l Limits) error {
	c := jwt.NewAccountClaims(a.Viewers.Key)
	c.Limits.Conn, c.Limits.LeafNodeConn, c.Limits.Payload = l.Connections, 0, viewerPayload
	c.Exports = jwt.Exports{{Name: "questions", Subject: question, Type: jwt.Stream}}
	c.Imports = jwt.Imports{
		{Name: "events", Subject: live, Account: a.Sluice.Key, Type: jwt.Stream},
		{Name: "replays", Subject: replayed, Account: a.Sluice.Key, Type: jwt.Stream},
	}
	for _, scope := range []struct {
		role, seed, stream, replay string
		subs                       int64
	}{
		{"stream", a.Signing.Stream, "{{tag(stream)}}", "{{tag(stream)}}.>", streamSubs},
		{"tenant", a.Signing.Tenant, "*", ">", tenantSubs},
	} {
		signer, err := nkeys.FromSeed([]byte(scope.seed))
		if err != nil {
			return err
		}
		key, err := signer.PublicKey()
		if err != nil {
			return err
		}
		s := jwt.NewUserScope()
		s.Key, s.Role = key, scope.role
		s.Template = jwt.UserPermissionLimits{
			Permissions: jwt.Permissions{
				Pub: jwt.Permission{Allow: jwt.StringList{"replay.{{tag(tenant)}}." + scope.stream}},
				Sub: jwt.Permission{Allow: jwt.StringList{"completions.{{tag(tenant)}}." + scope.stream, "rp.{{tag(tenant)}}." + scope.replay}},
			},
			Limits:                 jwt.Limits{NatsLimits: jwt.NatsLimits{Subs: scope.subs, Data: jwt.NoLimit, Payload: viewerPayload}},
			BearerToken:            true,
			AllowedConnectionTypes: jwt.StringList{jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket},
		}
		c.SigningKeys.AddScopedSigner(s)
	}
	return a.sign(&a.Viewers, c)
}

func (a *Authority) signUsers() error {
	for role, permissions := range roles {
		account := &a.Sluice
		if role == System {
			account = &a.System
		}
		creds, err := user(account, role, permissions)
		if err != nil {
			return fmt.Errorf("user %s: %w", role, err)
		}
		a.Users[role] = creds
	}
	return nil
}

// user makes a user of account that does not expire, and returns its creds file.
func user(account *Account, role Role, p grant) ([]byte, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	key, err := pair.PublicKey()
	if err != nil {
		return nil, err
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, err
	}
	c := jwt.NewUserClaims(key)
	c.Name, c.IssuedAt = string(role), time.Now().Unix()
	c.Pub.Allow.Add(p.publish...)
	c.Sub.Allow.Add(p.subscribe...)
	c.AllowedConnectionTypes.Add(p.from...)
	token, err := c.Encode(account.pair)
	if err != nil {
		return nil, err
	}
	return jwt.FormatUserConfig(token, seed)
}
