package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	setupLimit = 30 * time.Second // how long Setup waits for JetStream to become ready
	tryLimit   = 2 * time.Second  // of it, for one stream before the next try
)

// Setup creates the streams C0 to C7, or updates them to the options. It waits up to 30 s for JetStream to be ready.
// Any number of processes may call it at the same time. It needs the right to alter streams (credential.Setup); what else
// the package does needs less.
func (l *Log) Setup(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, setupLimit, fmt.Errorf("JetStream is not ready after %s", setupLimit))
	defer cancel()
	return l.each(ctx, func(ctx context.Context, s jetstream.Stream, want jetstream.StreamConfig) error {
		want.FirstSeq = s.CachedInfo().Config.FirstSeq
		_, err := l.js.UpdateStream(ctx, want)
		return err
	})
}

// Ensure creates the streams that are missing, within 30 s, and leaves the others as they are; that one differs from the
// options is logged. It needs the right to create streams.
func (l *Log) Ensure(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, setupLimit, fmt.Errorf("JetStream is not ready after %s", setupLimit))
	defer cancel()
	return l.each(ctx, func(_ context.Context, s jetstream.Stream, want jetstream.StreamConfig) error {
		if is := s.CachedInfo().Config; is.MaxAge != want.MaxAge || is.MaxBytes != want.MaxBytes || is.Replicas != want.Replicas {
			l.opts.Log.Warn("stream differs from the settings; sluice nats setup changes it", "stream", want.Name,
				"event_age", is.MaxAge, "event_bytes", is.MaxBytes, "event_replicas", is.Replicas)
		}
		return nil
	})
}

func (l *Log) each(ctx context.Context, found func(context.Context, jetstream.Stream, jetstream.StreamConfig) error) error {
	for k := range Shards {
		want := l.config(k)
		for n := 0; ; n++ {
			limited, cancel := context.WithTimeout(ctx, tryLimit) // what is forbidden is never answered
			err := l.ensure(limited, want, found)
			cancel()
			if err == nil {
				break
			}
			if forbidden := l.nc.LastError(); errors.Is(forbidden, nats.ErrPermissionViolation) {
				return fmt.Errorf("set up stream %s: %w", want.Name, errors.Join(forbidden, err))
			}
			if refused(err) {
				return fmt.Errorf("set up stream %s: %w", want.Name, err)
			}
			if stop := pause(ctx, n); stop != nil {
				return fmt.Errorf("set up stream %s: %w", want.Name, errors.Join(stop, err))
			}
		}
	}
	return nil
}

func (l *Log) ensure(ctx context.Context, want jetstream.StreamConfig, found func(context.Context, jetstream.Stream, jetstream.StreamConfig) error) error {
	s, err := l.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = l.js.CreateStream(ctx, want)
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
		s, err = l.js.Stream(ctx, want.Name) // another process was faster
	}
	if err != nil {
		return err
	}
	return found(ctx, s, want)
}

// codeNoPeers is what a cluster answers that is still forming.
const codeNoPeers = 10005

// refused reports whether the server understood the request and will not change its mind.
func refused(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode == codeNoPeers {
		return false
	}
	return api.Code >= 400 && api.Code <= 500 && !slices.Contains([]int{404, 408, 429}, api.Code)
}

func (l *Log) config(k int) jetstream.StreamConfig {
	source := fmt.Sprintf("in.%d.*.*", k)
	return jetstream.StreamConfig{
		Name:         fmt.Sprintf("C%d", k),
		Description:  "events of completion jobs",
		Subjects:     []string{source},
		Storage:      jetstream.FileStorage,
		Replicas:     l.opts.Replicas,
		Retention:    jetstream.LimitsPolicy,
		Discard:      jetstream.DiscardOld,
		MaxAge:       l.opts.MaxAge,
		MaxBytes:     l.opts.MaxBytes,
		MaxMsgSize:   MaxMessageBytes,
		MaxConsumers: 4,
		Duplicates:   time.Second, // unused: the chain of expectations does it
		AllowDirect:  true,
		DenyDelete:   true,
		// A stream that replaces a lost one must not use its positions again: a writer fenced off before the loss would
		// find its expectation met by chance, and a reader would look for the past in the wrong place.
		FirstSeq:  uint64(time.Now().UnixMicro()),
		RePublish: &jetstream.RePublish{Source: source, Destination: "completions.{{wildcard(1)}}.{{wildcard(2)}}"},
	}
}
