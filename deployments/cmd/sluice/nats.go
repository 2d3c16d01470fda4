package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"text/template"

	"github.com/nats-io/nats.go"

	"sluice/shared/backend"
	"sluice/shared/credential"
	"sluice/shared/eventlog"
	"sluice/shared/telemetry"
)

type natsCmd struct {
	Init  natsInitCmd  `cmd:"" help:"Make NATS accounts, keys and a server's configuration."`
	Setup natsSetupCmd `cmd:"" help:"Create the streams, or change them to the settings."`
}

type natsInitCmd struct {
	Dir         string   `arg:"" help:"Folder to make; it must not exist, or be empty."`
	Listen      string   `default:"127.0.0.1:4222" help:"Address for the programs and for viewers over TCP."`
	WebSocket   string   `name:"websocket" default:"127.0.0.1:8081" help:"Address for viewers over WebSocket; empty: none."`
	Origins     []string `help:"Web origins whose pages may connect over WebSocket; any by default, since a credential is needed."`
	StoreDir    string   `default:"jetstream" help:"JetStream's folder, from the server's own when it starts."`
	MaxStore    string   `default:"16GB" help:"Most that JetStream may keep."`
	TLSCert     string   `name:"tls-cert" placeholder:"FILE" help:"Certificate for all listeners. Without one, put a TLS proxy before them or keep them on this machine."`
	TLSKey      string   `name:"tls-key" placeholder:"FILE" help:"Its key."`
	TLSCA       string   `name:"tls-ca" placeholder:"FILE" help:"Certificates that the other servers' of a cluster are signed by."`
	ServerName  string   `default:"sluice-1" help:"Name of this server, unique in a cluster."`
	ClusterName string   `default:"sluice" help:"Name of the cluster."`
	Cluster     string   `placeholder:"HOST:PORT" help:"Address for the other servers of a cluster."`
	Routes      []string `placeholder:"HOST:PORT" help:"The other servers' such addresses."`
	Keep        bool     `help:"Leave a folder as it is in which there is a nats.conf already, for starts that repeat themselves."`
	Connections int64    `default:"20000" help:"Viewers' connections at the same time. The programs' do not count."`
}

// Help is kong's.
func (c *natsInitCmd) Help() string {
	return "Writes operator, accounts, users and signing keys, and nats.conf to start nats-server with. For a cluster, run it once and give each server " +
		"its own copy of nats.conf, with its own server_name, addresses and routes. seeds.json signs new accounts and users; nothing needs it to run, so keep it elsewhere."
}

// Validate is kong's.
func (c *natsInitCmd) Validate() error {
	var err error
	addresses := append([]string{c.Listen}, c.Routes...)
	for _, optional := range []string{c.WebSocket, c.Cluster} {
		if optional != "" {
			addresses = append(addresses, optional)
		}
	}
	for _, a := range addresses {
		if _, _, bad := net.SplitHostPort(a); bad != nil {
			err = errors.Join(err, fmt.Errorf("address %q: want HOST:PORT", a))
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		err = errors.Join(err, errors.New("TLS: want both a certificate and its key, or neither"))
	}
	if c.Connections < 1 {
		err = errors.Join(err, fmt.Errorf("connections %d: want 1 or more", c.Connections))
	}
	return err
}

//go:embed nats.conf.tmpl
var natsConf string

var natsTemplate = template.Must(template.New("nats.conf").Parse(natsConf))

// Run is kong's.
func (c *natsInitCmd) Run(t *terminal) error {
	if _, err := os.Stat(c.conf()); c.Keep && err == nil {
		fmt.Fprintln(t.out, c.conf(), "is there already")
		return nil
	}
	a, err := credential.New(credential.Limits{Connections: c.Connections})
	if err != nil {
		return err
	}
	var conf bytes.Buffer
	if err := natsTemplate.Execute(&conf, map[string]any{"C": c, "A": a}); err != nil {
		return fmt.Errorf("write nats.conf: %w", err)
	}
	err = a.Save(c.Dir)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is not empty: name another folder, or take what is there", c.Dir)
	}
	if err != nil {
		return err
	}
	if err := credential.WriteSecret(c.conf(), conf.Bytes()); err != nil {
		return fmt.Errorf("write nats.conf: %w", err)
	}
	fmt.Fprintf(t.out, `NATS accounts and keys are in %[1]s. Keep %[1]s/seeds.json in a safe place, away from the servers.

  nats-server -c %[1]s/nats.conf

  SLUICE_NATS_CREDS=%[1]s/setup.creds sluice nats setup     once, and when SLUICE_EVENT_* change
  SLUICE_NATS_CREDS=%[1]s/api.creds SLUICE_NATS_SIGNING_KEYS=%[1]s/signing.json api
  SLUICE_NATS_CREDS=%[1]s/worker.creds worker

all of them with SLUICE_NATS_URL.
`, c.Dir)
	return nil
}

func (c *natsInitCmd) conf() string { return filepath.Join(c.Dir, "nats.conf") }

type natsSetupCmd struct {
	telemetry.Config `embed:""`
	backend.NATS     `embed:""`
	backend.Settings `embed:""`
}

// Run is kong's.
func (c *natsSetupCmd) Run(ctx context.Context, t *terminal) (err error) {
	log, err := c.Logger(t.err)
	if err != nil {
		return err
	}
	options, err := c.Options()
	if err != nil {
		return err
	}
	nc, err := nats.Connect(c.URL, append(options, nats.Name("sluice setup"))...)
	if err != nil {
		return fmt.Errorf("NATS at %s cannot be reached: %w", c.URL, err)
	}
	defer nc.Close()
	events, err := eventlog.New(nc, eventlog.Options{MaxAge: c.EventAge, MaxBytes: c.EventBytes, Replicas: c.EventReplicas, Log: log})
	if err != nil {
		return err
	}
	if err := events.Setup(ctx); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "%d streams keep events for %s, %d bytes and %d replicas each\n", eventlog.Shards, c.EventAge, c.EventBytes, c.EventReplicas)
	return nil
}
