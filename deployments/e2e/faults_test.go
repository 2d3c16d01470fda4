package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/postgres"
	"sluice/deployments/internal/process"
	"sluice/shared/client"
	"sluice/shared/testkit"
)

var (
	faultJobs   = flag.Int("faults.jobs", 100, "jobs that the fault suite drives, at least")
	faultRounds = flag.Int("faults.rounds", 1, "how often the fault suite strikes with each kind of fault")
	faultLoad   = flag.Int("faults.load", 12, "unfinished jobs that the fault suite keeps up")
	faultSeed   = flag.Uint64("faults.seed", 0, "seed of the fault suite; 0: a random one, which it prints")
)

// TestFaults drives jobs through a whole installation while its parts are killed, stopped, paused and wiped, and counts
// what should not happen. make faults runs it at length. It runs before the others, which it would keep from their work.
func TestFaults(t *testing.T) {
	c := &cluster{redis: testkit.StartRedis(t), nats: startNATS(t)}
	in := startRuin(t, c, "SLUICE_REDIS_URL="+c.redis.URL())
	in.endure(t, *faultRounds, blows)
}

// endure drives jobs through the installation while it is struck with each of the blows so many times, and checks what
// came of them: the account must be clean.
func (in *ruin) endure(t *testing.T, rounds int, blows []blow) *summary {
	t.Helper()
	work := &load{in: in, began: time.Now(), most: *faultLoad}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	struck := make(chan struct{})
	var running sync.WaitGroup
	for range *faultLoad {
		running.Go(func() { work.run(ctx, struck) })
	}
	in.strikeAll(t, work, rounds, blows)
	close(struck)
	defer time.AfterFunc(patience, cancel).Stop() // what has not ended by then is lost
	running.Wait()
	work.lookBack(ctx)

	sum := in.verify(t, work)
	sum.print(os.Stdout, in, work, blows)
	for _, line := range sum.offenders {
		t.Error(line)
	}
	return sum
}

// deadAfter is the installation's SLUICE_WORKER_TTL.
const deadAfter = 5 * time.Second

// ruin is an installation to be broken: every part is a process of its own.
type ruin struct {
	*cluster
	database *postgres.Server
	upstream *child
	simAddr  string
	simURL   string
	addrs    [2]string // of the apis
	apis     [2]*apiProcess
	workers  [3]*child
	tcp, ws  *nats.Conn // of all native viewers
	random   *rand.Rand // of the strikes
	strikes  []strike
	asked    map[string]int64 // requests of each key, by upstreams that were killed
}

// startRuin starts an installation over the servers of c and a PostgreSQL of its own. The settings come last.
func startRuin(t *testing.T, c *cluster, env ...string) *ruin {
	t.Helper()
	if *faultSeed == 0 {
		*faultSeed = rand.Uint64()
	}
	fmt.Printf("faults: seed %d\n", *faultSeed)
	path := os.Getenv("SLUICE_TEST_POSTGRES")
	require.NotEmpty(t, path, "run the tests through make test")
	database, err := postgres.New(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, database.Close()) })
	in := &ruin{cluster: c, database: database, simAddr: process.FreeAddr(), addrs: [2]string{process.FreeAddr(), process.FreeAddr()}, random: rand.New(rand.NewPCG(*faultSeed, 0)), asked: map[string]int64{}}
	in.simURL = "http://" + in.simAddr
	c.programs, err = watched()
	require.NoError(t, err)
	c.database = database.URL()
	c.env = append([]string{
		"SLUICE_DATABASE_URL=" + database.URL(), "SLUICE_NATS_URL=" + c.nats.url,
		"SLUICE_PUBLIC_WEBSOCKET_URL=" + in.nats.websocket, "OPENAI_BASE_URL=" + in.simURL + "/v1",
		"SLUICE_EVENT_BYTES=4194304", // small enough that a long run fills it, and keeps what runs
		"SLUICE_WORKER_TTL=" + deadAfter.String(), "SLUICE_UPSTREAM_IDLE=2s", "SLUICE_RETRY_BASE=100ms", "SLUICE_RETRY_MAX=1s",
		"SLUICE_INTERACTIVE_ATTEMPTS=50", "SLUICE_BATCH_ATTEMPTS=50", "SLUICE_DRAIN_LIMIT=1s", "SLUICE_STOP_LIMIT=2s", "SLUICE_CREDENTIAL_TTL=24h", "SLUICE_PRIVATE_ADDR=127.0.0.1:0",
	}, env...)
	in.startUpstream(t)
	in.migrate(t, "up")
	for i, addr := range in.addrs {
		in.apis[i] = in.startAPI(t, addr)
		in.apis[i].ready(t)
	}
	for i := range in.workers {
		in.workers[i] = in.startWorker(t)
	}
	all := in.apis[0].everything(t)
	in.tcp, in.ws = connect(t, in.nats.url, all), connect(t, in.nats.websocket, all)
	return in
}

func (in *ruin) startUpstream(t *testing.T) {
	t.Helper()
	in.upstream = program{name: in.program("sluice"), args: []string{"sim", "--addr", in.simAddr}}.start(t)
	in.upstream.await(t, "simulated model at")
}

// api is one of the apis, whichever answers.
func (in *ruin) api() *client.Client {
	c, err := client.New("http://"+in.addrs[rand.N(len(in.addrs))], web)
	if err != nil {
		panic(err) // the address is our own
	}
	return c.WithKey(in.key)
}

// count adds up what the upstream, which is about to be killed or at the end, was asked.
func (in *ruin) count(t *testing.T) {
	t.Helper()
	var stats struct {
		Keys map[string]int64 `json:"keys"`
	}
	resp, err := web.Get(in.simURL + "/sim/stats")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	decode(t, resp.Body, &stats)
	for key, n := range stats.Keys {
		in.asked[key] += n
	}
}
