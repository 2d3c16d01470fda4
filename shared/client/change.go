package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/shared/bell"
)

// silence is how long ViewConversation believes that nothing has changed because it hears nothing.
const silence = 30 * time.Second

// FollowConversation yields the versions above after that a conversation comes to, the present one first; some may be left
// out, the last one never is. Read the conversation then. A broken connection is opened again, for as long as ctx
// allows; an answer that says no (an *Error below 500), as after the conversation was deleted, ends it.
func (c *Client) FollowConversation(ctx context.Context, id string, after int64) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		err := persist(ctx, &after, func() (done bool, err error) { return c.changesOnce(ctx, id, &after, yield) })
		if err != nil {
			yield(0, err)
		}
	}
}

// changesOnce reads one connection's worth of change notes; done means that the caller has left.
func (c *Client) changesOnce(ctx context.Context, id string, after *int64, yield func(int64, error) bool) (done bool, err error) {
	resp, err := c.send(ctx, http.MethodGet, conversationPath(id)+"/events", nil, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	for f, err := range frames(resp.Body) {
		if err != nil {
			return false, err
		}
		var note struct {
			Version int64 `json:"version"`
		}
		if f.name != "changed" {
			continue
		}
		if err := json.Unmarshal(f.data, &note); err != nil {
			return false, fmt.Errorf("read change of %s: %w", id, err)
		}
		if note.Version <= *after {
			continue
		}
		*after = note.Version
		if !yield(note.Version, nil) {
			return true, nil
		}
	}
	return false, io.ErrUnexpectedEOF
}

// ViewConversation is FollowConversation over NATS, with a credential of its own, which it renews. As a note may be lost, it
// also reads the conversation whenever it has connected and after half a minute of silence. An installation that does not
// serve NATS to clients answers 404; FollowConversation works there.
func (c *Client) ViewConversation(ctx context.Context, id string, after int64) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		ctx, end := context.WithCancelCause(ctx)
		defer end(nil)
		connected := make(chan struct{}, 1) // full: it is known already
		note := func(*nats.Conn) { poke(connected) }
		nc, ref, err := connect(ctx, id, c.ConversationCredential, end, nats.ConnectHandler(note), nats.ReconnectHandler(note))
		if err != nil {
			yield(0, err)
			return
		}
		defer nc.Close()
		v := viewer{nc: nc, connected: connected, heard: make(chan int64, 1), read: func() (int64, error) {
			n, err := c.Conversation(ctx, id)
			return n.Version, err
		}}
		stop, err := bell.New(nc).OnChanged(ref, v.hear)
		if err != nil {
			yield(0, err)
			return
		}
		defer stop()
		if err := v.run(ctx, after, yield); err != nil {
			yield(0, err)
		}
	}
}

// viewer brings together what is heard of a conversation and what is read of it.
type viewer struct {
	nc        *nats.Conn
	connected chan struct{}
	heard     chan int64 // the highest version that was heard and not yet told
	read      func() (version int64, err error)
}

// hear is called by one goroutine.
func (v *viewer) hear(version int64) {
	select {
	case old := <-v.heard:
		version = max(version, old)
	default:
	}
	v.heard <- version // nobody else writes
}

// run tells of versions until the caller leaves, which is no error.
func (v *viewer) run(ctx context.Context, after int64, yield func(int64, error) bool) error {
	wait := time.NewTimer(0) // what there is at the start
	defer wait.Stop()
	for {
		var version int64
		next := silence
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case version = <-v.heard:
		case <-v.connected:
			wait.Reset(0)
			continue
		case <-wait.C:
			var err error
			version, err = v.look(ctx)
			if final(err) {
				return err
			}
			if err != nil {
				next = time.Second
			}
		}
		if wait.Reset(next); version <= after {
			continue
		}
		after = version
		if !yield(version, nil) {
			return nil
		}
	}
}

// look reads the version once the server knows of the subscription, so that no later note is missed. Without a
// connection there is nothing to wait for: the next one has it look again.
func (v *viewer) look(ctx context.Context) (int64, error) {
	if v.nc.IsConnected() {
		ctx, stop := context.WithTimeout(ctx, connectLimit)
		defer stop()
		_ = v.nc.FlushWithContext(ctx)
	}
	return v.read()
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
