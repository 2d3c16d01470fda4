package clients_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/chromium"
	"sluice/shared/client"
	"sluice/shared/completion"
)

// plan is what a client is told to do.
type plan struct {
	Base     string            `json:"base"`
	Key      string            `json:"key,omitempty"`
	Act      string            `json:"act"`
	ID       string            `json:"id"`
	After    int64             `json:"after"`
	LeaveAt  int64             `json:"leave_at,omitempty"`
	CancelAt int64             `json:"cancel_at,omitempty"`
	DozeAt   int64             `json:"doze_at,omitempty"`
	Requests []json.RawMessage `json:"requests,omitempty"`
	Once     string            `json:"idempotency_key,omitempty"`
	Skew     int64             `json:"skew,omitempty"` // milliseconds by which the client's clock is ahead
}

// line is one thing that a client saw.
type line struct {
	Event json.RawMessage `json:"event"`
	Part  *struct {
		Text  string `json:"text"`
		Reset bool   `json:"reset"`
	} `json:"part"`
	Job    *client.Job `json:"job"`
	Error  *failure    `json:"error"`
	Ended  bool        `json:"ended"`
	Broken string      `json:"broken"` // an error that no client should throw
}

// failure is an error as clients show it.
type failure struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Param  string `json:"param"`
}

// actor is a client under test.
type actor interface {
	// base is where this client reaches the API.
	base(in *installation) string
	// stream is what this client's events come through.
	stream(in *installation) *proxy
	can(act string) bool
	act(t *testing.T, in *installation, p plan) iter.Seq[line]
}

var actors = map[string]actor{"node": nodeClient{}, "browser": browserClient{}, "go over HTTP": goClient{}, "go over NATS": goClient{native: true}}

// nodeClient is the TypeScript client in Node.js.
type nodeClient struct{}

func (nodeClient) base(in *installation) string   { return "http://" + in.http.address() }
func (nodeClient) stream(in *installation) *proxy { return in.ws }
func (nodeClient) can(string) bool                { return true }

// act runs a process, which has to end by itself.
func (nodeClient) act(t *testing.T, _ *installation, p plan) iter.Seq[line] {
	return func(yield func(line) bool) {
		text, err := json.Marshal(p)
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), "node", filepath.Join(built, "node.mjs"), string(text))
		cmd.Stderr = t.Output()
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 8<<20)
		for lines.Scan() {
			var l line
			require.NoError(t, json.Unmarshal(lines.Bytes(), &l), lines.Text())
			if !yield(l) {
				break
			}
		}
		_, _ = io.Copy(io.Discard, out) // until the process ends
		require.NoError(t, cmd.Wait())
	}
}

// browserClient is the TypeScript client in Chromium.
type browserClient struct{}

func (browserClient) base(in *installation) string   { return in.pages }
func (browserClient) stream(in *installation) *proxy { return in.ws }
func (browserClient) can(string) bool                { return true }

func (browserClient) act(t *testing.T, in *installation, p plan) iter.Seq[line] {
	return func(yield func(line) bool) {
		tab, closeTab := chromedp.NewContext(browser)
		defer closeTab()
		ctx, cancel := context.WithTimeout(tab, 2*time.Minute)
		defer cancel()
		text, err := json.Marshal(p)
		require.NoError(t, err)
		require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(in.pages+"/page.html")))
		require.NoError(t, chromium.Until(ctx, "window.act !== undefined"))
		_, err = chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void]("window.act("+string(text)+")"))
		require.NoError(t, err)
		for ended := false; !ended; {
			require.NoError(t, chromium.Until(ctx, "window.lines.length > 0"))
			taken, err := chromedp.Run(ctx, chromedp.Evaluate[string]("JSON.stringify(window.lines.splice(0))"))
			require.NoError(t, err)
			var lines []line
			require.NoError(t, json.Unmarshal([]byte(taken), &lines))
			for _, l := range lines {
				ended = l.last()
				if !yield(l) {
					return
				}
			}
		}
		require.NoError(t, in.ws.await(none)) // the page is still there, its connection is not
	}
}

func (l line) last() bool { return l.Ended || l.Error != nil || l.Broken != "" }

// goClient is sluice/shared/client, which follows over HTTP or over NATS.
type goClient struct{ native bool }

func (goClient) base(in *installation) string { return "http://" + in.http.address() }

func (g goClient) stream(in *installation) *proxy {
	if g.native {
		return in.nats
	}
	return in.http
}

func (goClient) can(act string) bool {
	return act != "text" && act != "follow_with" && act != "follow_batch_with" && act != "result"
}

func (g goClient) act(t *testing.T, _ *installation, p plan) iter.Seq[line] {
	return func(yield func(line) bool) {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		c, err := client.New(p.Base, &http.Client{Transport: transport})
		require.NoError(t, err)
		c = c.WithKey(p.Key)
		for l, err := range goActs[p.Act](t.Context(), goActor{c, g.follow(c, p.Act)}, p) {
			if err == nil && !yield(l) {
				return
			}
			if err != nil {
				yield(refused(err))
				return
			}
		}
		yield(line{Ended: true})
	}
}

// follow is c's way to do act, if that is to follow.
func (g goClient) follow(c *client.Client, act string) func(context.Context, string, int64) iter.Seq2[completion.Event, error] {
	switch batch := act == "follow_batch"; {
	case batch && g.native:
		return c.ViewBatch
	case batch:
		return c.FollowBatch
	case g.native:
		return c.View
	default:
		return c.Follow
	}
}

func refused(err error) line {
	var no *client.Error
	if errors.As(err, &no) {
		return line{Error: &failure{Status: no.Status, Code: no.Code, Param: no.Param}}
	}
	return line{Broken: err.Error()}
}

// goActor is the client with its way to follow.
type goActor struct {
	*client.Client
	follow func(ctx context.Context, id string, after int64) iter.Seq2[completion.Event, error]
}

var goActs = map[string]func(context.Context, goActor, plan) iter.Seq2[line, error]{
	"follow":       goFollow,
	"follow_batch": goFollow,
	"submit": func(ctx context.Context, c goActor, p plan) iter.Seq2[line, error] {
		return func(yield func(line, error) bool) {
			for _, r := range p.Requests {
				job, err := c.Submit(ctx, client.Submission{Request: r, Key: p.Once})
				if !yield(line{Job: &job}, err) {
					return
				}
			}
		}
	},
	"get": func(ctx context.Context, c goActor, p plan) iter.Seq2[line, error] {
		return func(yield func(line, error) bool) {
			job, err := c.Get(ctx, p.ID)
			yield(line{Job: &job}, err)
		}
	},
	"retry": func(ctx context.Context, c goActor, p plan) iter.Seq2[line, error] {
		return func(yield func(line, error) bool) {
			job, _, err := c.Retry(ctx, p.ID)
			yield(line{Job: &job}, err)
		}
	},
}

func goFollow(ctx context.Context, c goActor, p plan) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		for e, err := range c.follow(ctx, p.ID, p.After) {
			if err != nil {
				yield(line{}, err)
				return
			}
			text, err := e.Encode()
			if !yield(line{Event: text}, err) {
				return
			}
			if e.Seq == p.CancelAt {
				if _, err := c.Cancel(ctx, p.ID); err != nil {
					yield(line{}, err)
					return
				}
			}
			if e.Seq == p.LeaveAt {
				return
			}
			if e.Seq == p.DozeAt {
				for _, err := range c.follow(ctx, p.ID, e.Seq) {
					if err != nil {
						yield(line{}, err)
						return
					}
				}
			}
		}
	}
}
