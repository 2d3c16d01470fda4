package delivery

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"sluice/shared/completion"
)

// answerBytes is how much of an answer is read, so that its connection can be used again; nothing of it is kept.
const answerBytes = 4 << 10

// answer is what came of one attempt.
type answer struct {
	status int           // 0: there was none
	wait   time.Duration // what the receiver asked for
	err    error         // why there is no status
}

// send makes one attempt.
func (d *Dispatcher) send(ctx context.Context, hook *completion.Webhook, sent *completion.Delivery) answer {
	if err := CheckURL(hook.URL, d.cfg.AllowPrivate()); err != nil { // what is allowed may have changed since
		return answer{err: err}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.cfg.Timeout, errSlow)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, bytes.NewReader(sent.Body))
	if err != nil {
		return answer{err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Sluice")
	if err := sign(req.Header, hook, sent, time.Now()); err != nil {
		return answer{err: err}
	}
	resp, err := d.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		var act *url.Error
		if errors.As(err, &act) {
			err = act.Err // its text has the address, of which parts may be secret
		}
		return answer{err: err}
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, answerBytes) // the status has said it all
	return answer{status: resp.StatusCode, wait: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
}

// sign sets the headers of the Standard Webhooks specification: one signature for each secret that signs now.
func sign(h http.Header, hook *completion.Webhook, sent *completion.Delivery, now time.Time) error {
	var signatures []string
	for _, secret := range hook.Secrets(now) {
		signer, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return fmt.Errorf("sign for webhook %s: %w", hook.ID, err)
		}
		signature, err := signer.Sign(sent.Notice, now, sent.Body)
		if err != nil {
			return fmt.Errorf("sign for webhook %s: %w", hook.ID, err)
		}
		signatures = append(signatures, signature)
	}
	h.Set(standardwebhooks.HeaderWebhookID, sent.Notice)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return nil
}

var (
	errSlow     = errors.New("no answer in time")
	errStopping = errors.New("the sending process stops")
)

// gone reports whether the receiver wants no more.
func (a answer) gone() bool { return a.status == http.StatusGone }

// apply returns the delivery as it is after the attempt.
func (a answer) apply(sent completion.Delivery, now time.Time) completion.Delivery {
	sent.LastStatus, sent.LastError, sent.NextAt = a.status, a.fault(), time.Time{}
	next := now.Add(max(backoff(sent.Tries), a.wait))
	switch {
	case a.err == nil && a.status >= 200 && a.status < 300:
		sent.State, sent.EndedAt = completion.DeliveryDelivered, now
	case errors.Is(a.err, errStopping):
		sent.NextAt = now
	case a.gone() || next.After(sent.ExpiresAt):
		sent.State, sent.EndedAt = completion.DeliveryFailed, now
	default:
		sent.NextAt = next
	}
	return sent
}

// fault says, for the tenant, why the attempt failed; empty: it did not. It names nothing of the network that Sluice is in.
func (a answer) fault() string {
	var known *completion.Error
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case a.err == nil && a.status >= 200 && a.status < 300:
		return ""
	case a.err == nil && a.status >= 300 && a.status < 400:
		return fmt.Sprintf("The receiver answered %d; redirects are not followed.", a.status)
	case a.gone():
		return "The receiver answered 410: the webhook was disabled."
	case a.err == nil:
		return fmt.Sprintf("The receiver answered %d.", a.status)
	case errors.As(a.err, &known):
		return known.Message
	case errors.Is(a.err, errSlow):
		return "The receiver did not answer in time."
	case errors.Is(a.err, errStopping):
		return "The attempt was cut short; another follows at once."
	case refused(a.err):
		return "The receiver's address is not a public one."
	case errors.As(a.err, &name):
		return "The receiver's name could not be looked up."
	case errors.As(a.err, &certificate):
		return "The receiver's certificate was not accepted: " + certificate.Err.Error() + "."
	case errors.Is(a.err, syscall.ECONNREFUSED):
		return "The receiver refused the connection."
	default:
		return "The connection to the receiver failed."
	}
}
