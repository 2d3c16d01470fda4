package standalone

import (
	"net"
	"net/url"
)

// reachable is the address of a server that listens at address, for who is on this machine: one that listens everywhere is
// reached here too, while nobody can connect to everywhere. In a container this is what its published ports are called.
func reachable(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsUnspecified() {
		u.Host = net.JoinHostPort("127.0.0.1", u.Port())
	}
	return u.String()
}
