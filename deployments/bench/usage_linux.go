package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is what Linux counts CPU time in, whatever its kernel's own is.
const tick = time.Second / 100

// usageOf reads what a process uses and has used.
func usageOf(pid int) (usage, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}, fmt.Errorf("read memory: %w", err)
	}
	u := usage{}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		size, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64) // 0 for lines without a size
		switch name {
		case "VmRSS":
			u.memory = size << 10
		case "RssFile":
			u.mapped = size << 10
		case "VmHWM":
			u.peak = size << 10
		}
	}
	u.cpu, err = cpuOf(pid)
	return u, err
}

// ownUsage is what this process alone uses, without its children.
func ownUsage() (usage, error) {
	u, err := usageOf(os.Getpid())
	var r syscall.Rusage
	if err == nil {
		err = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	}
	u.cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	return u, err
}

// files is how many files and connections a process may have open.
func files() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Max, 1<<30))
}

// cpuOf is the CPU time of a process and its children, those that have ended included.
func cpuOf(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // the name before may hold anything
	const utime, cstime = 11, 14
	if len(fields) <= cstime {
		return 0, fmt.Errorf("read CPU time: %q", stat)
	}
	var sum time.Duration
	for _, f := range fields[utime : cstime+1] {
		ticks, _ := strconv.Atoi(string(f)) // digits only
		sum += time.Duration(ticks) * tick
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, fmt.Errorf("find children: %w", err)
	}
	for child := range bytes.FieldsSeq(children) {
		id, _ := strconv.Atoi(string(child)) // digits only
		used, err := cpuOf(id)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) { // it may end just now
			return 0, err
		}
		sum += used
	}
	return sum, nil
}
