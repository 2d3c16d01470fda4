package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// advise is err with what to do about it, where the user can: the API is not there, is something else or refuses the key, or
// the upstream does.
// Anything else is left as it is.
func advise(err error) error {
	if err == nil || strings.Contains(err.Error(), "\n") { // the command has said already how to go on
		return err
	}
	var failed *completion.Error
	var refused *client.Error
	var away *url.Error
	switch {
	case errors.As(err, &failed):
		return adviseFailed(err, failed)
	case errors.As(err, &refused):
		return adviseRefused(err, refused)
	case errors.As(err, &away):
		return adviseAway(err, away)
	default:
		return err
	}
}

// say is what an error means, as a sentence.
func say(err error) string { return advise(err).Error() + "." }

// adviseFailed is for a job that its upstream has failed for what the server's settings say.
func adviseFailed(err error, failed *completion.Error) error {
	var do string
	switch status := failed.UpstreamStatus; {
	case failed.Code == completion.CodeUnreachable:
		do = "start the upstream, or set the server's OPENAI_BASE_URL to where it is"
	case failed.Code == completion.CodeUpstreamRejected && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		do = "set the server's OPENAI_API_KEY to one that the upstream takes"
	case failed.Code == completion.CodeUpstreamRejected && status == http.StatusNotFound && failed.UpstreamCode == "", failed.Code == completion.CodeUpstreamGarbage:
		do = "set the server's OPENAI_BASE_URL to the address of an OpenAI API, which mostly ends in /v1"
	default:
		return err
	}
	return fmt.Errorf("%w %s (sluice doctor checks it)", err, strings.ToUpper(do[:1])+do[1:])
}

// adviseRefused is for what the API answered. What is no OpenAI error has no code, and so is not from Sluice.
func adviseRefused(err error, refused *client.Error) error {
	switch {
	case refused.Code == "" && refused.Status < http.StatusInternalServerError:
		return fmt.Errorf("what answers there is no Sluice API (HTTP %d); set SLUICE_API_URL to one", refused.Status)
	case refused.Status == http.StatusUnauthorized:
		return fmt.Errorf("%w; set SLUICE_API_KEY, or SLUICE_DATA_DIR to the folder of the all-in-one, whose file api-key has one", err)
	case refused.Status == http.StatusForbidden && refused.Code == "insufficient_scope":
		return fmt.Errorf("%w; make a key that may with: sluice keys create --tenant TENANT --scope SCOPE", err)
	default:
		return err
	}
}

func adviseAway(err error, away *url.Error) error {
	base := away.URL
	if u, parseErr := url.Parse(away.URL); parseErr == nil {
		base = u.Scheme + "://" + u.Host
	}
	var name *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing answers at %s (connection refused); start it with sluice up, or set SLUICE_API_URL", base)
	case errors.As(err, &name):
		return fmt.Errorf("the host of %s is not found; check SLUICE_API_URL and the network", base)
	case away.Timeout() || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s does not answer in time; check SLUICE_API_URL and the network", base)
	default:
		return fmt.Errorf("what is at %s does not answer as a Sluice API does; check SLUICE_API_URL", base)
	}
}
