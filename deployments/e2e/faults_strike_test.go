package e2e_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// strike is one fault that was injected.
type strike struct {
	kind  string
	at    time.Time // when it struck
	back  time.Time // from when on the installation could recover
	costs bool      // a worker may have lost its jobs to it
}

// outage is how long a stopped server stays away.
const outage = 2 * time.Second

// lull is between two faults, so that each meets jobs that run.
const lull = time.Second

// blow is a kind of fault. It returns when the part is back; the sooner of both is when it could be.
type blow struct {
	kind  string
	costs bool
	blow  func(*ruin, *testing.T) (back time.Time)
}

var blows = []blow{
	{"worker killed", true, (*ruin).killWorker},
	{"worker paused past its time", true, (*ruin).pauseWorker},
	{"worker killed, database away", true, (*ruin).killWorkerInOutage},
	{"workers and apis restarted in turn", true, (*ruin).roll},
	{"api killed", false, (*ruin).killAPI},
	{"PostgreSQL stopped", false, (*ruin).stopDatabase},
	{"PostgreSQL killed", false, (*ruin).killDatabase},
	{"Redis killed", false, (*ruin).killRedis},
	{"Redis wiped", false, (*ruin).wipeRedis},
	{"NATS stopped", false, (*ruin).stopNATS},
	{"NATS killed", false, (*ruin).killNATS},
	{"upstream killed", false, (*ruin).killUpstream},
}

// strikeAll strikes with every kind of fault, in a random order in each round.
func (in *ruin) strikeAll(t *testing.T, work *load, rounds int, blows []blow) {
	t.Helper()
	for range rounds {
		for _, i := range in.random.Perm(len(blows)) {
			pause(t.Context(), lull)
			b := blows[i]
			fmt.Printf("faults: %s: %s\n", work.progress(), b.kind)
			s := strike{kind: b.kind, at: time.Now(), costs: b.costs}
			s.back = b.blow(in, t)
			in.strikes = append(in.strikes, s)
		}
	}
	pause(t.Context(), lull)
	fmt.Printf("faults: %s: the last fault is over\n", work.progress())
}

func (in *ruin) killWorker(t *testing.T) time.Time {
	t.Helper()
	i, at := in.random.IntN(len(in.workers)), time.Now()
	in.workers[i].kill()
	in.workers[i] = in.startWorker(t)
	return at
}

// pauseWorker makes a zombie: others have its jobs when it wakes.
func (in *ruin) pauseWorker(t *testing.T) time.Time {
	t.Helper()
	w, at := in.workers[in.random.IntN(len(in.workers))], time.Now()
	w.signal(t, syscall.SIGSTOP)
	pause(t.Context(), deadAfter+4*time.Second)
	w.signal(t, syscall.SIGCONT)
	return at
}

func (in *ruin) killWorkerInOutage(t *testing.T) time.Time {
	t.Helper()
	i := in.random.IntN(len(in.workers))
	in.database.End(syscall.SIGINT)
	pause(t.Context(), outage)
	in.workers[i].kill()
	require.NoError(t, in.database.Start(t.Context()))
	back := time.Now()
	in.workers[i] = in.startWorker(t)
	return back
}

func (in *ruin) roll(t *testing.T) time.Time {
	t.Helper()
	at := time.Now()
	for i, old := range in.workers {
		in.workers[i] = in.startWorker(t)
		old.stop(t, syscall.SIGTERM)
	}
	for i, old := range in.apis {
		old.stop(t, syscall.SIGTERM)
		in.apis[i] = in.startAPI(t, in.addrs[i])
	}
	return at
}

func (in *ruin) killAPI(t *testing.T) time.Time {
	t.Helper()
	i, at := in.random.IntN(len(in.apis)), time.Now()
	in.apis[i].kill()
	in.apis[i] = in.startAPI(t, in.addrs[i])
	return at
}

func (in *ruin) stopDatabase(t *testing.T) time.Time {
	t.Helper()
	in.database.End(syscall.SIGINT)
	pause(t.Context(), outage)
	require.NoError(t, in.database.Start(t.Context()))
	return time.Now()
}

func (in *ruin) killDatabase(t *testing.T) time.Time {
	t.Helper()
	in.database.End(syscall.SIGKILL)
	require.NoError(t, in.database.Start(t.Context()))
	return time.Now()
}

func (in *ruin) killRedis(t *testing.T) time.Time {
	t.Helper()
	in.redis.Kill(t)
	pause(t.Context(), outage)
	in.redis.Start(t)
	return time.Now()
}

func (in *ruin) wipeRedis(t *testing.T) time.Time {
	t.Helper()
	require.NoError(t, in.redis.Client(t).FlushAll(t.Context()).Err())
	return time.Now()
}

func (in *ruin) stopNATS(t *testing.T) time.Time {
	t.Helper()
	in.nats.signal(t, syscall.SIGTERM)
	in.nats.code(t)
	pause(t.Context(), outage+flushed)
	in.nats.begin(t)
	return time.Now()
}

// flushed is longer than a worker waits for the log before it stores a result.
const flushed = 1500 * time.Millisecond

func (in *ruin) killNATS(t *testing.T) time.Time {
	t.Helper()
	in.nats.kill()
	in.nats.begin(t)
	return time.Now()
}

func (in *ruin) killUpstream(t *testing.T) time.Time {
	t.Helper()
	in.count(t)
	in.upstream.kill()
	pause(t.Context(), outage)
	in.startUpstream(t)
	return time.Now()
}
