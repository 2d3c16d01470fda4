package main

import (
	"errors"
	"time"
)

const megabyte = 1_000_000

// usage is what a process uses and has used.
type usage struct {
	memory int64         // bytes, resident, now
	mapped int64         // bytes of that which are pages of files, most of them the program's own
	peak   int64         // the most that was resident so far
	cpu    time.Duration // so far, with that of its children
}

// processes are those of a cluster, in the order in which they are told. The load is this program: it asks, and it looks on.
var processes = []string{"api", "worker", "PostgreSQL", "Redis", "NATS", "model", "load"}

// uses reads what the cluster's processes use, by their names; several workers together.
func (c *cluster) uses() (map[string]usage, error) {
	all, failed := map[string]usage{}, error(nil)
	read := func(name string, p *child) {
		if p == nil {
			return
		}
		used, err := usageOf(p.PID())
		sum := all[name]
		all[name] = usage{memory: sum.memory + used.memory, peak: sum.peak + used.peak, cpu: sum.cpu + used.cpu}
		failed = errors.Join(failed, err)
	}
	read("api", c.apiProcess)
	read("Redis", c.redisProcess)
	read("NATS", c.natsProcess)
	read("model", c.sim)
	for _, w := range c.workers {
		read("worker", w)
	}
	used, err := usageOf(c.database.PID())
	all["PostgreSQL"] = used
	own, also := ownUsage()
	all["load"] = own
	return all, errors.Join(failed, err, also)
}

// spent runs f, and returns how much CPU time each process used meanwhile.
func (c *cluster) spent(f func() error) (map[string]time.Duration, error) {
	before, err := c.uses()
	if err != nil {
		return nil, err
	}
	if err := f(); err != nil {
		return nil, err
	}
	after, err := c.uses()
	took := map[string]time.Duration{}
	for name, u := range after {
		took[name] = u.cpu - before[name].cpu
	}
	return took, err
}
