package credential

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
)

// Names of the files of an Authority. Users' are <role>.creds.
const (
	operatorFile = "operator.jwt"
	seedsFile    = "seeds.json"
)

// SigningFile is the file with what the API mints credentials with.
const SigningFile = "signing.json"

func credsFile(r Role) string { return string(r) + ".creds" }

// Save makes the folder dir with the files of a, readable by the owner only. A folder that is there already, and not
// empty, is an error that wraps fs.ErrExist, and stays as it is.
func (a *Authority) Save(dir string) error {
	files := map[string][]byte{operatorFile: []byte(a.OperatorJWT)}
	for _, account := range a.accounts() {
		files[account.Name+".jwt"] = []byte(account.JWT)
	}
	for role, creds := range a.Users {
		files[credsFile(role)] = creds
	}
	var err error
	if files[SigningFile], err = json.MarshalIndent(a.Signing, "", "  "); err != nil {
		return fmt.Errorf("save NATS accounts: %w", err)
	}
	if files[seedsFile], err = a.seeds(); err != nil {
		return fmt.Errorf("save NATS accounts: %w", err)
	}
	return fill(dir, files)
}

// fill makes dir with the files in one step.
func fill(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return fmt.Errorf("save NATS accounts: %w", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), ".new-*") // mode 0700
	if err != nil {
		return fmt.Errorf("save NATS accounts: %w", err)
	}
	defer os.RemoveAll(fresh)
	for name, text := range files {
		if err := WriteSecret(filepath.Join(fresh, name), text); err != nil {
			return fmt.Errorf("save NATS accounts: %w", err)
		}
	}
	if err := os.Rename(fresh, dir); err != nil { // an empty folder may be there
		return fmt.Errorf("save NATS accounts: %w", err)
	}
	return nil
}

// WriteSecret writes a new file that only its owner may read, in one step: it is whole if it is there.
func WriteSecret(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// seeds are the keys that signed; nobody needs them to run. They belong into a safe.
func (a *Authority) seeds() ([]byte, error) {
	seeds := map[string]string{}
	text, err := a.operator.Seed()
	if err != nil {
		return nil, err
	}
	seeds["operator"] = string(text)
	for _, account := range a.accounts() {
		if text, err = account.pair.Seed(); err != nil {
			return nil, err
		}
		seeds[account.Name] = string(text)
	}
	return json.MarshalIndent(seeds, "", "  ")
}

func (a *Authority) accounts() []*Account { return []*Account{&a.System, &a.Sluice, &a.Viewers} }

// Load reads what Save wrote. An empty or missing folder is fs.ErrNotExist.
func Load(dir string) (*Authority, error) {
	a := blank()
	text, err := os.ReadFile(filepath.Join(dir, operatorFile))
	if err != nil {
		return nil, fmt.Errorf("load NATS accounts: %w", err)
	}
	a.OperatorJWT = strings.TrimSpace(string(text))
	for _, account := range a.accounts() {
		text, err := os.ReadFile(filepath.Join(dir, account.Name+".jwt"))
		if err != nil {
			return nil, fmt.Errorf("load NATS accounts: %w", err)
		}
		claims, err := jwt.DecodeAccountClaims(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, fmt.Errorf("load NATS account %s: %w", account.Name, err)
		}
		account.JWT, account.Key = strings.TrimSpace(string(text)), claims.Subject
	}
	for role := range roles {
		if a.Users[role], err = os.ReadFile(filepath.Join(dir, credsFile(role))); err != nil {
			return nil, fmt.Errorf("load NATS users: %w", err)
		}
	}
	a.Signing, err = LoadSigning(filepath.Join(dir, SigningFile))
	return a, err
}

// Open loads what dir has, or makes a new Authority and saves it there.
func Open(dir string) (*Authority, error) {
	a, err := Load(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	if a, err = New(Limits{}); err != nil {
		return nil, err
	}
	return a, a.Save(dir)
}

// LoadSigning reads the file signing.json.
func LoadSigning(path string) (Signing, error) {
	var s Signing
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return Signing{}, fmt.Errorf("read NATS signing keys %s: %w", path, err)
	}
	return s, nil
}

// Options are those of a connection as the user of a creds file: who it is, and where its answers may arrive.
func Options(creds []byte) ([]nats.Option, error) {
	token, err := jwt.ParseDecoratedJWT(creds)
	if err != nil {
		return nil, fmt.Errorf("read NATS credentials: %w", err)
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return nil, fmt.Errorf("read NATS credentials: %w", err)
	}
	options := []nats.Option{nats.UserCredentialBytes(creds)}
	if _, ours := roles[Role(claims.Name)]; ours {
		options = append(options, nats.CustomInboxPrefix(inbox(Role(claims.Name))))
	}
	return options, nil
}

// Bearer are the options of a viewer's connection; token is asked for the credential whenever it connects.
//
// Over WebSocket they claim to be a browser: to browsers the server writes in frames of 4 kB, while nats.go refuses
// frames above eight times what its user may send in one message, which for viewers is 1 kB.
func Bearer(token func() (string, error)) []nats.Option {
	return []nats.Option{
		nats.UserJWT(token, func([]byte) ([]byte, error) { return nil, nil }),
		nats.WebSocketConnectionHeaders(http.Header{"User-Agent": {"Mozilla/5.0 (nats.go)"}}),
		nats.IgnoreAuthErrorAbort(), // an expired credential is no reason to give up: the next may be fresh
	}
}
