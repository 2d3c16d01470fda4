package api

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/rs/cors"

	"sluice/api/internal/problem"
	"sluice/shared/completion"
)

// web puts around the routes what holds for requests that web pages make: none of other origins, unless they are listed.
func (c Config) web(routes http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(refuse("This web origin may not use the API; SLUICE_CORS_ORIGINS lists those that may."))
	for _, origin := range c.CORSOrigins {
		_ = cross.AddTrustedOrigin(origin) // Validate has seen it
	}
	routes = cross.Handler(routes)
	if len(c.CORSOrigins) > 0 {
		routes = cors.New(cors.Options{
			AllowedOrigins: c.CORSOrigins, AllowedMethods: []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
			AllowedHeaders: []string{"*"}, // the OpenAI SDKs send a dozen of their own; cookies are not looked at
			ExposedHeaders: []string{"X-Request-Id", "Location", "Idempotent-Replayed", "Retry-After", "Retry-After-Ms", "X-Should-Retry", "X-Sluice-Job-Id", "X-Sluice-Subject"},
			MaxAge:         int(time.Hour.Seconds()),
		}).Handler(routes)
	}
	if !c.NeedsKeys() {
		routes = onlyLocal(routes)
	}
	return routes
}

// onlyLocal refuses requests under another name than this machine's: a page of a name that was pointed here would
// otherwise be of the API's own origin (DNS rebinding), and nothing else is asked for.
func onlyLocal(routes http.Handler) http.Handler {
	foreign := refuse("Without authentication the API answers under the name of a loopback address only.")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(host, "80")
		}
		if !loopback(host) {
			foreign.ServeHTTP(w, r)
			return
		}
		routes.ServeHTTP(w, r)
	})
}

func refuse(why string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, completion.NewError(completion.CodeOrigin, why))
	})
}

// secure lets l speak TLS. A certificate that is renewed in place is used within a minute.
func secure(l net.Listener, cert, key string) (net.Listener, error) {
	c := &certificate{cert: cert, key: key}
	if _, err := c.get(nil); err != nil {
		return nil, fmt.Errorf("SLUICE_TLS_CERT and SLUICE_TLS_KEY: %w", err)
	}
	return tls.NewListener(l, &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), nil
}

// certificate is read from files, anew when they have changed.
type certificate struct {
	cert, key string

	mu      sync.Mutex
	current *tls.Certificate
	written time.Time // of the file that current was read from
	looked  time.Time
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil && time.Since(c.looked) < time.Minute {
		return c.current, nil
	}
	c.looked = time.Now()
	info, err := os.Stat(c.cert)
	if err == nil && c.current != nil && info.ModTime().Equal(c.written) {
		return c.current, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(c.cert, c.key)
	}
	switch {
	case err == nil:
		c.current, c.written = &pair, info.ModTime()
	case c.current != nil: // half written, or gone: the old one may still do
		return c.current, nil
	}
	return c.current, err
}
