// Package site serves the page in which people talk, embedded as it was built from deployments/clients/page: make page
// builds it anew, and a test beside it holds the two against each other.
//
// It needs no key and tells nothing: what the page shows it asks the API for, with a key that its user gives it.
package site

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed dist
var dist embed.FS

const (
	index = "index.html"
	// forever is for files whose names change with what is in them.
	forever = "public, max-age=31536000, immutable"

	asksForKey, asksForNone = `data-keys="on"`, `data-keys="off"`
)

// file is one file as it is sent.
type file struct {
	kind     string // its media type
	tag      string // its ETag
	keep     string // its Cache-Control
	policy   string // its Content-Security-Policy; empty: that of every answer
	plain    []byte
	squeezed func() []byte // gzip's, made when it is first asked for; nil if it is not smaller
}

// Options say what the page must know before it can ask.
type Options struct {
	Open       bool     // requests need no key, so it asks for none
	WebSockets []string // the addresses (ws: or wss:) that it may reach besides its own origin
}

// Routes returns what serves the page, by the pattern that each handler is for: the page itself at /, and its files, none of
// which comes from elsewhere.
func Routes(o Options) (map[string]http.Handler, error) {
	policy, err := policy(o.WebSockets)
	if err != nil {
		return nil, err
	}
	routes := map[string]http.Handler{}
	err = fs.WalkDir(dist, "dist", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		plain, err := dist.ReadFile(name)
		if err != nil {
			return err
		}
		if path.Base(name) != index {
			routes["GET /"+strings.TrimPrefix(name, "dist/")] = newFile(path.Base(name), plain)
			return nil
		}
		if o.Open {
			plain = bytes.Replace(plain, []byte(asksForKey), []byte(asksForNone), 1)
		}
		page := newFile(index, plain)
		page.keep, page.policy = "no-cache", policy
		routes["GET /{$}"] = page
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the embedded page: %w", err)
	}
	return routes, nil
}

// policy forbids the page everything but what it is made of: no other host, no script or style within it, no frame around it.
func policy(webSockets []string) (string, error) {
	connect := []string{"'self'"}
	for _, address := range webSockets {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "ws" && u.Scheme != "wss" || strings.ContainsAny(u.Host, " ;,") {
			return "", fmt.Errorf("WebSocket address %q: want ws://HOST:PORT or wss://HOST:PORT", address)
		}
		connect = append(connect, u.Scheme+"://"+u.Host)
	}
	slices.Sort(connect[1:])
	return "default-src 'self'; connect-src " + strings.Join(slices.Compact(connect), " ") + "; img-src 'self' data:; object-src 'none'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'", nil
}

func newFile(name string, plain []byte) *file {
	sum := sha256.Sum256(plain)
	return &file{
		kind: mime.TypeByExtension(path.Ext(name)), tag: hex.EncodeToString(sum[:8]), keep: forever, plain: plain,
		squeezed: sync.OnceValue(func() []byte { return squeeze(plain) }),
	}
}

// squeeze returns b as gzip, or nil where that is not smaller.
func squeeze(b []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is one
	_, _ = w.Write(b)                                       // into memory
	_ = w.Close()
	if out.Len() >= len(b) {
		return nil
	}
	return out.Bytes()
}

func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, tag, h := f.plain, f.tag, w.Header()
	h.Set("Vary", "Accept-Encoding")
	if takesGzip(r.Header.Get("Accept-Encoding")) {
		if small := f.squeezed(); small != nil {
			h.Set("Content-Encoding", "gzip")
			body, tag = small, tag+"-gzip"
		}
	}
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", f.keep)
	h.Set("ETag", `"`+tag+`"`)
	if f.policy != "" {
		h.Set("Content-Security-Policy", f.policy)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body)) // the ETag tells versions apart, not a time
}

// takesGzip reports whether an Accept-Encoding allows gzip.
func takesGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return strings.Trim(strings.TrimPrefix(strings.TrimSpace(weight), "q="), "0.") != "" || weight == ""
		}
	}
	return false
}
