package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"sluice/deployments/standalone"
	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
)

// person sits at a terminal and talks.
type person struct {
	t          *testing.T
	keyboard   io.WriteCloser
	screen     *bufio.Reader // of both outputs, as they come
	interrupts chan struct{}
	api        *client.Client
	ended      chan error
}

// sit starts an all-in-one and a chat.
func sit(t *testing.T, c client.ConversationCreation) *person {
	t.Helper()
	var cfg standalone.Config
	parser, err := kong.New(&cfg)
	require.NoError(t, err)
	_, err = parser.Parse([]string{"--http-addr=127.0.0.1:0", "--nats-addr=127.0.0.1:0", "--websocket-addr=127.0.0.1:0", "--data-dir=" + t.TempDir(), "--drain-limit=100ms", "--retry-base=10ms"})
	require.NoError(t, err)
	server, err := standalone.New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	api, err := client.New(server.HTTPURL(), nil)
	require.NoError(t, err)
	p := &person{t: t, api: api.WithKey(server.Key()), interrupts: make(chan struct{}), ended: make(chan error, 1)}
	p.chat(chat{begin: c})
	return p
}

// chat starts a chat, as somebody who types.
func (p *person) chat(c chat) {
	p.t.Helper()
	in, keyboard, err := os.Pipe()
	require.NoError(p.t, err)
	screen, out := io.Pipe()
	c.api, c.typed, c.t = p.api, true, &terminal{in: in, out: out, err: out, interrupts: p.interrupts}
	p.keyboard, p.screen = keyboard, bufio.NewReader(screen)
	p.t.Cleanup(func() { keyboard.Close(); in.Close(); screen.Close() })
	go func() {
		err := error(nil)
		if c.id != "" {
			err = c.resume(p.t.Context(), c.id)
		}
		if err == nil {
			err = c.run(p.t.Context())
		}
		out.Close()
		p.ended <- err
	}()
}

func (p *person) types(line string) {
	p.t.Helper()
	_, err := io.WriteString(p.keyboard, line+"\n")
	require.NoError(p.t, err)
}

// sees reads up to a text, and returns what came before it.
func (p *person) sees(text string) string {
	p.t.Helper()
	var seen strings.Builder
	for !strings.HasSuffix(seen.String(), text) {
		c, _, err := p.screen.ReadRune()
		require.NoError(p.t, err, "%q has no %q", seen.String(), text)
		seen.WriteRune(c)
	}
	return strings.TrimSuffix(seen.String(), text)
}

func TestChat_GoesOnAfterAFault(t *testing.T) {
	t.Parallel()
	p := sit(t, client.ConversationCreation{})
	p.sees("> ")
	p.types("/edit too early")
	require.Contains(t, p.sees("> "), "nothing was said yet")
	p.types("/help")
	require.Contains(t, p.sees("> "), "/regenerate")
	p.types("hello")
	require.Contains(t, p.sees("> "), modelsim.Answer("hello")+"\n")
	p.types("/branches")
	require.Contains(t, p.sees("> "), "one way only")
	p.types("/edit")
	require.Contains(t, p.sees("> "), "in which words?")
	p.types("/quit")
	require.NoError(t, <-p.ended)
}

// TestChat_I9_CtrlC: the first one stops the answer and leaves the person where they are, the next one leaves.
func TestChat_I9_CtrlC(t *testing.T) {
	t.Parallel()
	p := sit(t, client.ConversationCreation{Parameters: completion.Parameters{Model: "sim?tps=50&tokens=100000"}})
	p.sees("> ")
	p.types("hello")
	id := p.sees("\n")
	p.sees("This is a simulated")
	p.interrupts <- struct{}{}
	p.sees("stopped\n> ")
	said, _, err := p.api.Messages(t.Context(), id, client.MessageQuery{})
	require.NoError(t, err)
	require.Equal(t, completion.Cancelled, said[1].State)
	p.interrupts <- struct{}{}
	p.sees("\n")
	require.Equal(t, &exitError{status: interrupted}, <-p.ended)
}

// TestChat_ComesBackToAnAnswer: who leaves in mid-answer sees it whole later.
func TestChat_ComesBackToAnAnswer(t *testing.T) {
	t.Parallel()
	p := sit(t, client.ConversationCreation{})
	p.sees("> ")
	p.types("/quit")
	require.NoError(t, <-p.ended)
	n, err := p.api.CreateConversation(t.Context(), client.ConversationCreation{})
	require.NoError(t, err)
	_, err = p.api.Turn(t.Context(), n.ID, client.Say{Content: "hello", Parameters: completion.Parameters{Model: "sim?tps=50"}})
	require.NoError(t, err)
	for range 2 {
		p.chat(chat{id: n.ID})
		require.Equal(t, "> hello\n"+modelsim.Answer("hello")+"\n", p.sees("/help"))
		p.sees("> ")
		require.NoError(t, p.keyboard.Close())
		require.NoError(t, <-p.ended)
	}
}
