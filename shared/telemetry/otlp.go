package telemetry

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// otlp sends spans to a collector: OTLP over HTTP, in protobuf. It does what the standard environment asks of an exporter
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter), as OpenTelemetry's own client does, which needs gRPC all the
// same and so would make each program 8 MB larger.
type otlp struct {
	endpoint string
	header   http.Header
	timeout  time.Duration // of one delivery, with all its tries
	zip      bool
	client   *http.Client

	closing context.Context // ends what is under way
	hangUp  context.CancelFunc
}

const (
	exportLimit = 10 * time.Second // the standard's default
	firstRetry  = 250 * time.Millisecond
)

// newOTLP reads the environment. Nil: it asks for no traces.
func newOTLP(getenv func(string) string) (*otlp, error) {
	get := func(name string) string {
		return cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_"+name), getenv("OTEL_EXPORTER_OTLP_"+name))
	}
	if get("ENDPOINT") == "" || !traced(getenv) {
		return nil, nil
	}
	if p := get("PROTOCOL"); p != "" && p != "http/protobuf" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL %s: want http/protobuf, which collectors take on port 4318", p)
	}
	o := &otlp{timeout: exportLimit}
	var errs [5]error
	o.endpoint, errs[0] = endpoint(getenv)
	o.header, errs[1] = headers(get("HEADERS"))
	if text := get("TIMEOUT"); text != "" {
		ms, err := strconv.Atoi(text)
		if err != nil || ms <= 0 {
			errs[2] = fmt.Errorf("OTEL_EXPORTER_OTLP_TIMEOUT %s: want milliseconds", text)
		}
		o.timeout = time.Duration(ms) * time.Millisecond
	}
	switch c := get("COMPRESSION"); c {
	case "", "none":
	case "gzip":
		o.zip = true
	default:
		errs[3] = fmt.Errorf("OTEL_EXPORTER_OTLP_COMPRESSION %s: want gzip or none", c)
	}
	o.client, errs[4] = secureClient(get)
	o.closing, o.hangUp = context.WithCancel(context.Background())
	return o, errors.Join(errs[:]...)
}

// endpoint is the one for traces as it is, or the one for all signals with the path of traces below it.
func endpoint(getenv func(string) string) (string, error) {
	name := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	text := getenv(name)
	if text == "" {
		name = "OTEL_EXPORTER_OTLP_ENDPOINT"
		text = strings.TrimRight(getenv(name), "/") + "/v1/traces"
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%s: want an address like http://127.0.0.1:4318", name) // it may hold a password
	}
	return text, nil
}

// headers reads "name=value,name=value", with values as in URLs. Errors do not show values, which may be keys.
func headers(list string) (http.Header, error) {
	h := http.Header{}
	for pair := range strings.SplitSeq(list, ",") {
		name, value, ok := strings.Cut(pair, "=")
		if name = strings.TrimSpace(name); name == "" && !ok {
			continue
		}
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if err != nil || !ok || name == "" {
			return nil, errors.New("OTEL_EXPORTER_OTLP_HEADERS: want name=value,name=value, with values escaped as in URLs")
		}
		h.Set(name, value)
	}
	return h, nil
}

// secureClient trusts and shows the certificates that the environment names.
func secureClient(get func(string) string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	client := &http.Client{Transport: transport}
	if file := get("CERTIFICATE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %s holds no certificate in PEM", file)
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	if file := get("CLIENT_CERTIFICATE"); file != "" {
		own, err := tls.LoadX509KeyPair(file, get("CLIENT_KEY"))
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY: %w", err)
		}
		transport.TLSClientConfig.Certificates = []tls.Certificate{own}
	}
	return client, nil
}

// Start is the exporter's; it connects when there is something to send.
func (o *otlp) Start(context.Context) error { return nil }

// Stop is the exporter's.
func (o *otlp) Stop(context.Context) error {
	o.client.CloseIdleConnections()
	return nil
}

// UploadTraces delivers spans, and tries again while the collector is away or busy, within the timeout.
func (o *otlp) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := o.encode(spans)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	defer context.AfterFunc(o.closing, cancel)()
	for wait := firstRetry; ; wait *= 2 {
		again, err := o.send(ctx, body)
		if !again {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// encode writes what the protocol calls an ExportTraceServiceRequest, which has the form of TracesData.
func (o *otlp) encode(spans []*tracepb.ResourceSpans) ([]byte, error) {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil || !o.zip {
		return body, err
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err = z.Write(body)
	err = errors.Join(err, z.Close())
	return b.Bytes(), err
}

// send reports whether it is worth another try.
func (o *otlp) send(ctx context.Context, body []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.endpoint, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header = o.header.Clone()
	req.Header.Set("Content-Type", "application/x-protobuf")
	if o.zip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return ctx.Err() == nil, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be kept
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return false, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, fmt.Errorf("the collector answers %s", resp.Status)
	default:
		return false, fmt.Errorf("the collector answers %s", resp.Status)
	}
}
