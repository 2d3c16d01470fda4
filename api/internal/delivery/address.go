package delivery

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"code.dny.dev/ssrf"

	"sluice/shared/completion"
)

// maxURL is the longest address of a webhook, in bytes.
const maxURL = 2048

// public knows the addresses of the internet from all others: private, loopback, link-local (cloud metadata among them),
// shared, multicast, reserved, and IPv4 in the disguise of IPv6.
var public = ssrf.New(ssrf.WithAnyPort())

// CheckURL reports, for the caller who gave it, why an address cannot be a webhook's. Where a name leads is not asked
// here but whenever it is dialled: it may lead elsewhere by then.
func CheckURL(raw string, private bool) error {
	u, err := url.Parse(raw)
	switch {
	case len(raw) > maxURL:
		return invalidURL("The URL has more than %d bytes.", maxURL)
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return invalidURL("The URL must be like https://example.org/path.")
	case u.Scheme != "https" && (u.Scheme != "http" || !private):
		return invalidURL("The URL must begin with https://.")
	case u.User != nil:
		return invalidURL("The URL must not have a user or password in it; the signature shows who sends.")
	case u.Fragment != "":
		return invalidURL("The URL must not have a fragment.")
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || port == 0) {
		return invalidURL("The URL's port must be 1 to 65535.")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !private && public.SafeAddr(ip) != nil {
		return invalidURL("The URL's address is not a public one.")
	}
	return nil
}

func invalidURL(format string, args ...any) error { return completion.Invalid("url", format, args...) }

// answerHeader is the largest header of an answer that is read, in bytes.
const answerHeader = 16 << 10

// newClient returns a client that follows no redirect, uses no proxy, and unless private reaches public addresses only:
// each address is looked at when it is about to be connected to, so that no name and no answer of a DNS server helps.
func newClient(private bool) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	if !private {
		dialer.Control = public.Safe
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second, DisableCompression: true,
			MaxIdleConns: 64, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: answerHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// refused reports whether err says that an address is not a public one.
func refused(err error) bool {
	return errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork) || errors.Is(err, ssrf.ErrInvalidHostPort)
}
