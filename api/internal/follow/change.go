package follow

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/sse"
	"sluice/shared/completion"
)

// lookEvery is how often a conversation is looked at for changes that nobody has told of.
const lookEvery = 5 * time.Second

// changedEvent is the name of the only event there is.
const changedEvent = "changed"

// ChangesDescription says what such a stream is.
const ChangesDescription = "as server-sent events: each says which version the conversation has come to, the present one first, so that " +
	"whoever has seen another one reads it again. Versions that come quickly one after the other may be told as one. The SSE id is the version. " +
	"Comments keep an idle stream alive; it ends when the conversation is deleted, and with a reconnect event when the server stops."

// Changes answers with the versions of the conversation, whose present one version reads.
func (f *Follower) Changes(ctx context.Context, ref completion.Ref, version func(ctx context.Context) (int64, error)) (*huma.StreamResponse, error) {
	if _, err := version(ctx); err != nil {
		return nil, err
	}
	return f.open(ctx, ref.Job, func(ctx context.Context, stream *sse.Stream) (int64, error) {
		return f.changes(ctx, stream, ref, version)
	})
}

// changes writes versions until the conversation is gone.
func (f *Follower) changes(ctx context.Context, stream *sse.Stream, ref completion.Ref, version func(ctx context.Context) (int64, error)) (last int64, err error) {
	latest := make(chan int64, 1) // who falls behind is told the last one only
	stop, err := f.p.Bell.OnChanged(ref, func(v int64) {
		select {
		case <-latest:
		default:
		}
		latest <- v
	})
	if err != nil {
		return 0, err
	}
	defer stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	v, err := version(ctx)
	for {
		switch {
		case errors.Is(err, completion.ErrNotFound):
			return last, nil
		case err != nil && last == 0:
			return last, err
		case err == nil && v > last:
			last = v
			if err := stream.Send(strconv.FormatInt(v, 10), changedEvent, fmt.Appendf(nil, `{"type":"changed","version":%d}`, v)); err != nil {
				return last, err
			}
		}
		select {
		case <-ctx.Done():
			return last, context.Cause(ctx)
		case v = <-latest:
			err = nil
		case <-look.C:
			v, err = version(ctx)
		}
	}
}
