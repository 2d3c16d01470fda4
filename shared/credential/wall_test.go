package credential_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/embedded"
	"sluice/shared/eventlog"
	"sluice/shared/eventlog/eventlogtest"
	"sluice/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ours = completion.Ref{Tenant: "acme", Job: "job_1"}

// client is a connection that says what it was refused.
type client struct {
	*nats.Conn
	refused chan error // room for 1024, more than any test is refused
}

func dial(t *testing.T, url string, who nats.Option) (*client, error) {
	t.Helper()
	c := &client{refused: make(chan error, 1024)}
	var err error
	c.Conn, err = nats.Connect(url, who, nats.NoReconnect(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if err != nil {
			c.refused <- err
		}
	}))
	if err != nil {
		return nil, err
	}
	t.Cleanup(c.Close)
	return c, nil
}

// settled returns what the server said to all that c has sent: nil if it took it.
func (c *client) settled(t *testing.T) error {
	t.Helper()
	require.NoError(t, c.Flush()) // refusals come before the answer to the ping
	select {
	case err := <-c.refused:
		return err
	default:
	}
	if err := c.LastError(); err != nil { // the handler runs on its own
		select {
		case <-c.refused:
		case <-time.After(30 * time.Second):
		}
		return err
	}
	return nil
}

// may tries one act and reports whether it is permitted.
func (c *client) may(t *testing.T, act, subject string) bool {
	t.Helper()
	switch act {
	case "subscribe":
		sub, err := c.SubscribeSync(subject)
		require.NoError(t, err)
		defer func() { _ = sub.Unsubscribe() }() // a refused one is gone already
	case "queue":
		sub, err := c.QueueSubscribeSync(subject, "replay")
		require.NoError(t, err)
		defer func() { _ = sub.Unsubscribe() }()
	default:
		require.NoError(t, c.Publish(subject, []byte(`{}`)))
	}
	return c.verdict(t)
}

// verdict waits for the server's answer to the last act. A mark that the client may not publish to follows it: the
// server answers in order, so a refusal of the act comes before that of the mark.
func (c *client) verdict(t *testing.T) bool {
	t.Helper()
	require.NoError(t, c.Publish("mark.refused", nil))
	for permitted := true; ; {
		select {
		case err := <-c.refused:
			require.ErrorIs(t, err, nats.ErrPermissionViolation)
			if strings.Contains(err.Error(), `"mark.refused"`) {
				return permitted
			}
			permitted = false
		case <-time.After(30 * time.Second):
			require.Fail(t, "no answer")
		}
	}
}

// subjects are all that the installation uses, and what attackers try.
var subjects = []string{
	">", "*", "*.>", "*.*.*", "completions.>", "completions.*.*", "completions.acme.>", "completions.acme.*", "completions.acme.job_1",
	"completions.acme.job_2", "completions.other.job_1", "completions.other.>", "completions",
	"rp.>", "rp.*.*.>", "rp.acme.>", "rp.acme.job_1.>", "rp.acme.job_1.x.*", "rp.acme.job_1.x.1", "rp.acme.job_2.>", "rp.acme.job_2.x.1",
	"rp.other.>", "rp.other.job_1.>", "rp.other.job_1.x.1",
	"replay.>", "replay.*.*", "replay.acme.*", "replay.acme.job_1", "replay.acme.job_2", "replay.other.job_1", "replay.other.*",
	"in.>", "in.*.*.*", "in.1.acme.job_1", "in.1.acme.job_2", "in.1.other.job_1",
	"wake.*", "wake.batch", "wake.interactive", "cancel.*.*", "cancel.acme.job_1", "cancel.other.job_1",
	"batch.>", "batch.*.*", "batch.acme.batch_1", "batch.other.batch_1", "turn.>", "turn.*.*", "turn.acme.conv_1", "turn.other.conv_1",
	"_INBOX.>", "_INBOX.api.>", "_INBOX.api.x", "_INBOX.worker.>", "_INBOX.worker.x", "_INBOX.setup.x", "_INBOX.x",
	"$JS.>", "$JS.API.>", "$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.C1", "$JS.API.STREAM.CREATE.C1",
	"$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.UPDATE.C1", "$JS.API.STREAM.DELETE.C1", "$JS.API.STREAM.PURGE.C1", "$JS.API.STREAM.MSG.GET.C1",
	"$JS.API.STREAM.MSG.DELETE.C1", "$JS.API.STREAM.SNAPSHOT.C1", "$JS.API.STREAM.RESTORE.C1",
	"$JS.API.CONSUMER.CREATE.C1", "$JS.API.CONSUMER.CREATE.C1.x", "$JS.API.CONSUMER.CREATE.C1.x.in.1.acme.job_1", "$JS.API.CONSUMER.CREATE.C1.x.in.1.other.job_1",
	"$JS.API.CONSUMER.DURABLE.CREATE.C1.x", "$JS.API.CONSUMER.MSG.NEXT.C1.x", "$JS.API.CONSUMER.INFO.C1.x", "$JS.API.CONSUMER.DELETE.C1.x", "$JS.API.CONSUMER.LIST.C1",
	"$JS.API.DIRECT.GET.C1", "$JS.API.DIRECT.GET.C1.in.1.acme.job_1", "$JS.API.DIRECT.GET.C1.in.1.other.job_1", "$JS.ACK.C1.x.1.1.1.1.1", "$JS.FC.C1.x", "$JS.EVENT.>",
	"$SYS.>", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.PING", "$SYS.ACCOUNT.>", "$KV.x", "$O.x", "$MQTT.sub.x", "$SRV.PING", "_R_.>", "_R_.x", "_GR_.x", "$G.x",
}

// may lists all that a role or a credential opens, and therefore everything that it does not.
var may = map[string]map[string][]string{
	"stream credential": {
		"publish":   {"replay.acme.job_1"},
		"subscribe": {"completions.acme.job_1", "rp.acme.job_1.>", "rp.acme.job_1.x.*", "rp.acme.job_1.x.1"},
		"queue":     {"completions.acme.job_1", "rp.acme.job_1.>", "rp.acme.job_1.x.*", "rp.acme.job_1.x.1"},
	},
	"tenant credential": {
		"publish": {"replay.acme.*", "replay.acme.job_1", "replay.acme.job_2"},
		"subscribe": {
			"completions.acme.>", "completions.acme.*", "completions.acme.job_1", "completions.acme.job_2",
			"rp.acme.>", "rp.acme.job_1.>", "rp.acme.job_1.x.*", "rp.acme.job_1.x.1", "rp.acme.job_2.>", "rp.acme.job_2.x.1",
		},
		"queue": {
			"completions.acme.>", "completions.acme.*", "completions.acme.job_1", "completions.acme.job_2",
			"rp.acme.>", "rp.acme.job_1.>", "rp.acme.job_1.x.*", "rp.acme.job_1.x.1", "rp.acme.job_2.>", "rp.acme.job_2.x.1",
		},
	},
	"api": {
		"publish": {
			"rp.>", "rp.*.*.>", "rp.acme.>", "rp.acme.job_1.>", "rp.acme.job_1.x.*", "rp.acme.job_1.x.1", "rp.acme.job_2.>", "rp.acme.job_2.x.1",
			"rp.other.>", "rp.other.job_1.>", "rp.other.job_1.x.1", "in.>", "in.*.*.*", "in.1.acme.job_1", "in.1.acme.job_2", "in.1.other.job_1",
			"wake.*", "wake.batch", "wake.interactive", "cancel.*.*", "cancel.acme.job_1", "cancel.other.job_1",
			"completions.*.*", "completions.acme.>", "completions.acme.*", "completions.acme.job_1", "completions.acme.job_2",
			"completions.other.job_1", "completions.other.>",
			"batch.*.*", "batch.acme.batch_1", "batch.other.batch_1", "turn.*.*", "turn.acme.conv_1", "turn.other.conv_1",
			"$JS.API.INFO", "$JS.API.STREAM.INFO.C1", "$JS.API.STREAM.CREATE.C1", "$JS.API.STREAM.CREATE.X",
			"$JS.API.DIRECT.GET.C1", "$JS.API.DIRECT.GET.C1.in.1.acme.job_1", "$JS.API.DIRECT.GET.C1.in.1.other.job_1",
		},
		"subscribe": {
			"completions.>", "completions.*.*", "completions.acme.>", "completions.acme.*", "completions.acme.job_1", "completions.acme.job_2",
			"completions.other.job_1", "completions.other.>",
			"replay.*.*", "replay.acme.*", "replay.acme.job_1", "replay.acme.job_2", "replay.other.job_1", "replay.other.*", "_INBOX.api.>", "_INBOX.api.x",
			"batch.*.*", "batch.acme.batch_1", "batch.other.batch_1", "turn.*.*", "turn.acme.conv_1", "turn.other.conv_1",
		},
	},
	"worker": {
		"publish": {
			"in.>", "in.*.*.*", "in.1.acme.job_1", "in.1.acme.job_2", "in.1.other.job_1", "wake.*", "wake.batch", "wake.interactive", "$JS.API.INFO",
			"batch.*.*", "batch.acme.batch_1", "batch.other.batch_1", "turn.*.*", "turn.acme.conv_1", "turn.other.conv_1",
			"$JS.API.DIRECT.GET.C1", "$JS.API.DIRECT.GET.C1.in.1.acme.job_1", "$JS.API.DIRECT.GET.C1.in.1.other.job_1",
		},
		"subscribe": {
			"wake.*", "wake.batch", "wake.interactive", "cancel.*.*", "cancel.acme.job_1", "cancel.other.job_1", "_INBOX.worker.>", "_INBOX.worker.x",
		},
	},
	"setup": {
		"publish":   {"$JS.API.INFO", "$JS.API.STREAM.INFO.C1", "$JS.API.STREAM.CREATE.C1", "$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.UPDATE.C1"},
		"subscribe": {"_INBOX.setup.x"},
	},
}

// TestWall_I8_Subjects is the matrix: each cell that is not listed in may must stay closed.
func TestWall_I8_Subjects(t *testing.T) {
	t.Parallel()
	n := testkit.NATS(t)
	minter, expires := testkit.Minter(t, n.Authority()), time.Now().Add(time.Hour)
	stream, err := minter.Stream(ours, expires)
	require.NoError(t, err)
	tenant, err := minter.Tenant(ours.Tenant, expires)
	require.NoError(t, err)
	actors := map[string]nats.Option{
		"stream credential": testkit.Bearer(stream.Token), "tenant credential": testkit.Bearer(tenant.Token),
		"api": testkit.As(t, n, credential.API), "worker": testkit.As(t, n, credential.Worker), "setup": testkit.As(t, n, credential.Setup),
	}
	require.Len(t, may, len(actors))
	for name, who := range actors {
		for transport, url := range map[string]string{"TCP": n.ClientURL(), "WebSocket": n.WebSocketURL()} {
			t.Run(name+"/"+transport, func(t *testing.T) {
				t.Parallel()
				c, err := dial(t, url, who)
				require.NoError(t, err)
				for _, act := range []string{"publish", "subscribe", "queue"} {
					if _, listed := may[name][act]; !listed {
						continue // a program's queue subscriptions follow its subscriptions
					}
					for _, subject := range subjects {
						require.Equal(t, slices.Contains(may[name][act], subject), c.may(t, act, subject), "%s %s %s", name, act, subject)
					}
				}
			})
		}
	}
}

// Who comes with something else than a valid credential is not let in at all.
func TestWall_I8_BadCredentials(t *testing.T) {
	t.Parallel()
	n := testkit.NATS(t)
	a := n.Authority()
	good, err := testkit.Minter(t, a).Stream(ours, time.Now().Add(time.Hour))
	require.NoError(t, err)
	expired, err := testkit.Minter(t, a).Stream(ours, time.Now().Add(-time.Second))
	require.NoError(t, err)
	foreign, err := testkit.Minter(t, testkit.Authority(t)).Stream(ours, time.Now().Add(time.Hour))
	require.NoError(t, err)
	parts := strings.Split(good.Token, ".")
	bad := map[string]nats.Option{
		"none":                        nats.Name("nobody"),
		"password":                    nats.UserInfo("api", "guess"),
		"expired":                     testkit.Bearer(expired.Token),
		"of another installation":     testkit.Bearer(foreign.Token),
		"cut":                         testkit.Bearer(parts[0] + "." + parts[1]),
		"without a signature":         testkit.Bearer(parts[0] + "." + parts[1] + "."),
		"altered":                     testkit.Bearer(parts[0] + "." + flip(parts[1]) + "." + parts[2]),
		"garbage":                     testkit.Bearer("x"),
		"self-made":                   testkit.Bearer(forged(t, a.Viewers.Key, nil, nkey(t))),
		"wider than its scope":        testkit.Bearer(forged(t, a.Viewers.Key, []string{">"}, seed(t, a.Signing.Stream))),
		"for the account SLUICE":      testkit.Bearer(forged(t, a.Sluice.Key, nil, seed(t, a.Signing.Stream))),
		"for the account SYS":         testkit.Bearer(forged(t, a.System.Key, nil, seed(t, a.Signing.Stream))),
		"a program's without its key": testkit.Bearer(token(t, a.Users[credential.Worker])),
		"the all-in-one's":            testkit.As(t, n, credential.Whole),
	}
	for name, who := range bad {
		for transport, url := range map[string]string{"TCP": n.ClientURL(), "WebSocket": n.WebSocketURL()} {
			_, err := dial(t, url, who)
			require.Error(t, err, "%s over %s", name, transport)
		}
	}
	_, err = dial(t, n.ClientURL(), testkit.Bearer(good.Token))
	require.NoError(t, err)
}

func flip(s string) string {
	b := []byte(s)
	b[len(b)/2] ^= 1
	return string(b)
}

func nkey(t *testing.T) nkeys.KeyPair {
	pair, err := nkeys.CreateAccount()
	require.NoError(t, err)
	return pair
}

func seed(t *testing.T, s string) nkeys.KeyPair {
	pair, err := nkeys.FromSeed([]byte(s))
	require.NoError(t, err)
	return pair
}

func token(t *testing.T, creds []byte) string {
	s, err := jwt.ParseDecoratedJWT(creds)
	require.NoError(t, err)
	return s
}

// forged is what somebody makes with a signing key.
func forged(t *testing.T, account string, allow []string, signer nkeys.KeyPair) string {
	pair, err := nkeys.CreateUser()
	require.NoError(t, err)
	key, err := pair.PublicKey()
	require.NoError(t, err)
	c := jwt.NewUserClaims(key)
	c.IssuerAccount, c.BearerToken = account, true
	c.Tags.Add("tenant:acme", "stream:job_1")
	c.Pub.Allow.Add(allow...)
	c.Sub.Allow.Add(allow...)
	if allow == nil {
		c.SetScoped(true)
	}
	s, err := c.Encode(signer)
	require.NoError(t, err)
	return s
}

// The server hangs up at the credential's expiry.
func TestWall_I8_ExpiredMeansDisconnected(t *testing.T) {
	t.Parallel()
	n := testkit.NATS(t)
	for transport, url := range map[string]string{"TCP": n.ClientURL(), "WebSocket": n.WebSocketURL()} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			c, err := testkit.Minter(t, n.Authority()).Stream(ours, time.Now().Add(3*time.Second))
			require.NoError(t, err)
			v, err := dial(t, url, testkit.Bearer(c.Token))
			require.NoError(t, err)
			closed := v.StatusChanged(nats.CLOSED)
			sub, err := v.SubscribeSync(ours.Subject())
			require.NoError(t, err)
			<-closed
			require.False(t, time.Now().Before(c.ExpiresAt))
			_, err = sub.NextMsg(time.Second)
			require.Error(t, err)
			for err = nil; err == nil; { // within the second of its expiry it may open once more, to be closed at once
				if v, err = dial(t, url, testkit.Bearer(c.Token)); err == nil {
					v.Close()
				}
			}
		})
	}
}

// A flooder meets limits of its own and leaves the programs alone.
func TestWall_I8_Flood(t *testing.T) {
	t.Parallel()
	a, err := credential.New(credential.Limits{Connections: 4})
	require.NoError(t, err)
	n := testkit.StartNATS(t, embedded.NATSConfig{Addr: "127.0.0.1:0", WebSocketAddr: "127.0.0.1:0", Dir: t.TempDir(), Authority: a})
	var flood []*client
	for range 4 {
		c, err := dial(t, n.ClientURL(), testkit.Viewer(t, n, ours))
		require.NoError(t, err)
		flood = append(flood, c)
	}
	_, err = dial(t, n.WebSocketURL(), testkit.Viewer(t, n, ours))
	require.Error(t, err, "connections")
	for _, role := range []credential.Role{credential.API, credential.Worker, credential.Setup} {
		_, err = dial(t, n.ClientURL(), testkit.As(t, n, role))
		require.NoError(t, err, "%s does not count among the viewers", role)
	}
	for range 10 {
		_, err := flood[0].SubscribeSync(ours.Subject())
		require.NoError(t, err)
	}
	require.NoError(t, flood[0].settled(t))
	_, err = flood[0].SubscribeSync(ours.Subject())
	require.NoError(t, err)
	require.ErrorContains(t, flood[0].settled(t), "maximum subscriptions exceeded")
	require.ErrorIs(t, flood[1].Publish("replay.acme.job_1", make([]byte, 1025)), nats.ErrMaxPayload, "the server says what it takes")
	require.EqualValues(t, 1024, flood[1].MaxPayload())
}

// What viewers do is not seen inside, and nobody sees what is not theirs, whatever reply subjects are named.
func TestWall_I8_NothingCrosses(t *testing.T) {
	t.Parallel()
	n := testkit.NATS(t)
	log, err := eventlog.New(testkit.Conn(t, n), eventlog.Options{})
	require.NoError(t, err)
	require.NoError(t, log.Setup(t.Context()))
	inside, err := testkit.Conn(t, n).SubscribeSync(">")
	require.NoError(t, err)
	theirs := completion.Ref{Tenant: "other", Job: "job_1"}
	victim, err := dial(t, n.ClientURL(), testkit.Viewer(t, n, completion.Ref{Tenant: "other"}))
	require.NoError(t, err)
	var seen []*nats.Subscription
	for _, subject := range []string{"completions.other.>", "rp.other.>"} {
		sub, err := victim.SubscribeSync(subject)
		require.NoError(t, err)
		seen = append(seen, sub)
	}
	require.NoError(t, victim.Flush())
	attacker, err := dial(t, n.WebSocketURL(), testkit.Viewer(t, n, ours))
	require.NoError(t, err)
	for _, subject := range subjects {
		if !strings.ContainsAny(subject, "*>") {
			if subject != "replay.acme.job_1" {
				require.NoError(t, attacker.Publish(subject, []byte("crafted")))
			}
			require.NoError(t, attacker.PublishRequest("replay.acme.job_1", subject, []byte("question")))
		}
	}
	require.NoError(t, attacker.Flush())
	eventlogtest.Whole(t, log, theirs, 1)
	for {
		m, err := inside.NextMsgWithContext(t.Context())
		require.NoError(t, err)
		require.NotEqual(t, "crafted", string(m.Data), m.Subject)
		if string(m.Data) == "question" {
			require.Equal(t, "replay.acme.job_1", m.Subject)
		}
		if m.Subject == "completions.other.job_1" && strings.Contains(string(m.Data), "completed") {
			break
		}
	}
	for {
		m, err := seen[0].NextMsgWithContext(t.Context())
		require.NoError(t, err)
		require.NotContains(t, []string{"crafted", "question"}, string(m.Data))
		if strings.Contains(string(m.Data), "completed") {
			break
		}
	}
	pending, _, err := seen[1].Pending()
	require.NoError(t, err)
	require.Zero(t, pending)
}
