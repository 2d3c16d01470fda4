package queue

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// timeouts are the defaults of every connection. A silent Redis is noticed within seconds, which keeps a stop short; the
// retries that matter are made by this package's callers.
var timeouts = map[string]string{
	"dial_timeout":  "2s",
	"read_timeout":  "3s",
	"write_timeout": "3s",
	"max_retries":   "2",
}

// Open returns a client with at most pool connections per node; it connects when first used. pool 0 means go-redis' own
// default, 10 for each CPU. The client serves any number of goroutines; the caller closes it. The address is one of
//
//	redis://user:password@host:port/db              one server; unix://path for a socket
//	redis-sentinel://host:port,host:port/db?master_name=name
//	redis-cluster://host:port,host:port
//
// or the same with rediss for TLS. Query parameters are those of go-redis (read_timeout=5s, …) and win over pool.
func Open(address string, pool int) (redis.UniversalClient, error) {
	kind, u, err := parse(address)
	if err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	q := u.Query()
	if pool > 0 && !q.Has("pool_size") {
		q.Set("pool_size", strconv.Itoa(pool))
	}
	for k, v := range timeouts {
		if !q.Has(k) {
			q.Set(k, v)
		}
	}
	u.RawQuery = q.Encode()
	rc, err := open(kind, u.String())
	if err != nil {
		return nil, fmt.Errorf("open redis %s: %w", u.Redacted(), err)
	}
	return rc, nil
}

func open(kind, u string) (redis.UniversalClient, error) {
	off := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	switch kind {
	case "cluster":
		o, err := redis.ParseClusterURL(u)
		if err != nil {
			return nil, err
		}
		o.ContextTimeoutEnabled, o.DialerRetries, o.MaintNotificationsConfig = true, 1, off
		return redis.NewClusterClient(o), nil
	case "sentinel":
		o, err := redis.ParseFailoverURL(u)
		if err != nil {
			return nil, err
		}
		o.ContextTimeoutEnabled, o.DialerRetries = true, 1
		return redis.NewFailoverClient(o), nil
	default:
		o, err := redis.ParseURL(u)
		if err != nil {
			return nil, err
		}
		o.ContextTimeoutEnabled, o.DialerRetries, o.MaintNotificationsConfig = true, 1, off
		return redis.NewClient(o), nil
	}
}

// parse splits "redis-cluster://a:1,b:2/?x" into the kind and "redis://a:1/?x&addr=b:2", which is what go-redis reads.
// The errors of net/url quote the address with its password, so none is passed on.
func parse(address string) (kind string, u *url.URL, err error) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return "", nil, fmt.Errorf("the address has no scheme")
	}
	scheme, kind, _ = strings.Cut(scheme, "-")
	switch {
	case scheme == "unix" && kind == "":
	case scheme != "redis" && scheme != "rediss", kind != "" && kind != "cluster" && kind != "sentinel":
		return "", nil, fmt.Errorf("unknown scheme in the address")
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	hosts := strings.Split(rest[:end], ",")
	if len(hosts) > 1 && kind == "" {
		return "", nil, fmt.Errorf("several hosts need the scheme redis-cluster or redis-sentinel")
	}
	if u, err = url.Parse(scheme + "://" + hosts[0] + rest[end:]); err != nil {
		return "", nil, fmt.Errorf("the address is malformed")
	}
	q := u.Query()
	for _, h := range hosts[1:] {
		q.Add("addr", h)
	}
	u.RawQuery = q.Encode()
	if kind == "sentinel" && !q.Has("master_name") {
		return "", nil, fmt.Errorf("a sentinel address needs master_name")
	}
	return kind, u, nil
}
