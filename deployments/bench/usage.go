package main

import (
	"errors"
	"time"
)

const megabyte = 1_000_000

// usage is what a process uses and has used.
type usage struct {
	memory int64         // bytes, resident, now
	peak   int64         // the most that was resident so far
	cpu    time.Duration // so far, with that of its children
}

// processes are those of a cluster, in the order in which they are told.
var processes = []string{"api", "worker", "PostgreSQL", "Redis", "NATS", "the simulated model"}

// uses reads what the cluster's processes use, by their names.
func (c *cluster) uses() (map[string]usage, error) {
	all, failed := map[string]usage{}, error(nil)
	for name, pid := range map[string]int{
		"api": c.apiProcess.pid, "worker": c.workerProcess.pid, "PostgreSQL": c.database.PID(), "Redis": c.redisProcess.pid,
		"NATS": c.natsProcess.pid, "the simulated model": c.sim.pid,
	} {
		used, err := usageOf(pid)
		all[name], failed = used, errors.Join(failed, err)
	}
	return all, failed
}
