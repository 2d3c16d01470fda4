package upstream

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/shared/completion"

	"github.com/tidwall/gjson"
)

const (
	maxMessage    = 2 << 10 // bytes of an upstream's error text that are kept
	maxRetryAfter = 10 * time.Minute
)

// fault is an error as an upstream tells it: with an HTTP status, or within a stream.
type fault struct {
	status                     int // 0: not said
	code, kind, param, message string
	header                     http.Header
}

// parseFault reads the error bodies that are in use: {"error":{…}}, {"error":"text"}, {"object":"error",…},
// {"detail":…} and bodies that are no JSON. A code that is a number is an HTTP status.
func parseFault(body []byte) fault {
	if !validJSON(body) {
		return fault{message: string(body)}
	}
	root := gjson.ParseBytes(body)
	from := root
	if e := root.Get("error"); e.IsObject() {
		from = e
	}
	f := fault{code: from.Get("code").String(), kind: from.Get("type").String(), param: from.Get("param").String()}
	for _, v := range []gjson.Result{from.Get("message"), root.Get("error"), root.Get("detail")} {
		if f.message == "" {
			f.message = v.String()
		}
	}
	for _, name := range []string{"code", "status", "status_code"} {
		if n := from.Get(name).Int(); f.status == 0 && n >= 400 && n <= 599 {
			f.status = int(n)
		}
	}
	return f
}

// names are the codes and types that say what an error is where there is no status.
var (
	quotaNames = []string{"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
	limitNames = []string{"rate_limit_exceeded", "rate_limit_error", "requests", "tokens"}
	finalNames = []string{
		"invalid_request_error", "content_filter", "content_policy_violation", "context_length_exceeded", "invalid_prompt",
		"authentication_error", "permission_error", "not_found_error", "model_not_found", "invalid_api_key",
		"data_residency_mismatch", "bio_policy", "invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url",
		"image_too_large", "image_too_small", "image_parse_error", "image_content_policy_violation", "invalid_image_mode",
		"image_file_too_large", "unsupported_image_media_type", "empty_image_file", "image_file_not_found",
	}
)

func (f *fault) named(names []string) bool {
	return slices.Contains(names, f.code) || slices.Contains(names, f.kind)
}

// classify is the one place that decides what an upstream's error means.
func (u *Upstream) classify(f fault) *completion.Error {
	var code completion.Code
	switch s := f.status; {
	case f.named(quotaNames), s == http.StatusPaymentRequired:
		code = completion.CodeQuota
	case s == http.StatusTooManyRequests, s == 0 && f.named(limitNames):
		code = completion.CodeRateLimited
	case s == http.StatusRequestTimeout, s == http.StatusConflict, s >= 500:
		code = completion.CodeUpstream
	case s >= 300, f.named(finalNames):
		code = completion.CodeUpstreamRejected
	default:
		code = completion.CodeUpstream
	}
	e := completion.NewError(code, "")
	said := u.secret.clean(f.message, maxMessage)
	switch {
	case code != completion.CodeUpstreamRejected:
	case f.status == http.StatusUnauthorized:
		e.Message = "The upstream refused the service's credentials."
	case said != "" && said[0] != '<': // an HTML page is no message
		e.Message, e.Param = said, u.secret.clean(f.param, 256)
	}
	if code == completion.CodeUpstreamRejected && f.status != http.StatusUnauthorized {
		e.UpstreamCode = u.secret.clean(f.code, 64)
	}
	switch f.header.Get("X-Should-Retry") {
	case "true":
		e.Retryable = true
	case "false":
		e.Retryable = false
	}
	e.UpstreamStatus = f.status
	e.RetryAfter = completion.Wait(retryAfter(f.header, time.Now()))
	return e.Because(fmt.Errorf("upstream %s: status %d, code %q, type %q, request %q", // not its message, which may quote the request
		u.cfg.Name, f.status, f.code, f.kind, f.header.Get("X-Request-Id")))
}

// retryAfter reads retry-after-ms, else Retry-After: seconds, or a date. What makes no sense counts as not said.
func retryAfter(h http.Header, now time.Time) time.Duration {
	seconds, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64)
	if seconds /= 1000; err != nil {
		seconds, err = strconv.ParseFloat(h.Get("Retry-After"), 64)
	}
	if err != nil {
		at, err := http.ParseTime(h.Get("Retry-After"))
		if err != nil {
			return 0
		}
		seconds = at.Sub(now).Seconds()
	}
	if math.IsNaN(seconds) || seconds <= 0 {
		return 0
	}
	return time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
}

// scrubber takes out of a text what clients may not see.
type scrubber struct {
	known  *strings.Replacer
	unlike []string // those of the known that nothing else is called by chance: a host such as vllm is not among them
}

var secretShape = regexp.MustCompile(`\b(?:sk|org|proj)[-_][\w*-]{8,}`)

const removed = "[removed]"

func newScrubber(cfg Config) *scrubber {
	var pairs, unlike []string
	add := func(s string) {
		if len(s) > 3 {
			pairs = append(pairs, s, removed)
		}
		if len(s) > 3 && (s == cfg.APIKey || strings.ContainsAny(s, ".:")) {
			unlike = append(unlike, s)
		}
	}
	add(cfg.APIKey)
	add(cfg.BaseURL)
	if u, err := url.Parse(cfg.BaseURL); err == nil {
		add(u.Host)
		add(u.Hostname())
	}
	return &scrubber{known: strings.NewReplacer(pairs...), unlike: unlike}
}

// private reports whether text has the upstream's key or address in it.
func (s *scrubber) private(text string) bool {
	return slices.ContainsFunc(s.unlike, func(known string) bool { return strings.Contains(text, known) })
}

// clean returns text without secrets, in valid UTF-8, of at most limit bytes.
func (s *scrubber) clean(text string, limit int) string {
	text = strings.ToValidUTF8(text, "") // first: it may put together a secret that a broken byte had taken apart
	text = secretShape.ReplaceAllString(s.known.Replace(text), removed)
	return strings.TrimSpace(strings.ToValidUTF8(text[:min(len(text), limit)], ""))
}
