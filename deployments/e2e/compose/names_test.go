//go:build linux

package compose_test

import (
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// names is the container engine's name server: it knows the addresses of each service.
type names struct {
	conn net.PacketConn

	mu   sync.Mutex
	list map[string][]netip.Addr
}

func serveNames(t *testing.T, list map[string][]netip.Addr) *names {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &names{conn: conn, list: list}
	var serving sync.WaitGroup
	serving.Go(n.serve)
	t.Cleanup(func() {
		require.NoError(t, conn.Close()) // ends serve
		serving.Wait()
	})
	return n
}

func (n *names) addr() string { return n.conn.LocalAddr().String() }

// forget removes the address of a container that is gone.
func (n *names) forget(service string, gone netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var left []netip.Addr
	for _, a := range n.list[service] {
		if a != gone {
			left = append(left, a)
		}
	}
	n.list[service] = left
}

func (n *names) serve() {
	buf := make([]byte, 1500)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if reply := n.answer(buf[:size]); reply != nil {
			_, _ = n.conn.WriteTo(reply, from) // who asks asks again
		}
	}
}

// answer returns the reply to a question, nil if it is none.
func (n *names) answer(query []byte) []byte {
	var p dnsmessage.Parser
	head, err := p.Start(query)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: head.ID, Response: true, RecursionDesired: head.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	name := q.Name.String()
	n.mu.Lock()
	found := n.list[name[:len(name)-1]]
	n.mu.Unlock()
	if len(found) == 0 {
		m.RCode = dnsmessage.RCodeNameError
	}
	if q.Type == dnsmessage.TypeA {
		for _, a := range found {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1}, Body: &dnsmessage.AResource{A: a.As4()},
			})
		}
	}
	reply, err := m.Pack()
	if err != nil {
		return nil
	}
	return reply
}
