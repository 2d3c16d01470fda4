package store

import (
	"context"
	"sync"

	"sluice/shared/completion"
)

// gates let one caller of this process at a time to each conversation. The lock on its row would do that too, but whoever
// waits for that holds a connection, and a crowd at one conversation would hold all of them.
type gates struct {
	mu   sync.Mutex
	open map[completion.Ref]*gate
}

type gate struct {
	pass    chan struct{} // holds one element while somebody is inside
	callers int           // inside or waiting
}

// enter waits until nobody else is inside, first come first served, or until ctx ends. Whoever got in must leave.
func (g *gates) enter(ctx context.Context, conversation completion.Ref) (leave func(), err error) {
	g.mu.Lock()
	at := g.open[conversation]
	if at == nil {
		if g.open == nil {
			g.open = map[completion.Ref]*gate{}
		}
		at = &gate{pass: make(chan struct{}, 1)}
		g.open[conversation] = at
	}
	at.callers++
	g.mu.Unlock()
	select {
	case at.pass <- struct{}{}:
		return func() { <-at.pass; g.gone(conversation, at) }, nil
	case <-ctx.Done():
		g.gone(conversation, at)
		return nil, ctx.Err()
	}
}

func (g *gates) gone(conversation completion.Ref, at *gate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at.callers--; at.callers == 0 {
		delete(g.open, conversation)
	}
}
