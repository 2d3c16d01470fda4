package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// Machine is what it was measured on.
type Machine struct {
	OS      string   `json:"os"`
	Arch    string   `json:"arch"`
	System  string   `json:"system,omitempty"` // its name and the kernel's version
	Model   string   `json:"model,omitempty"`  // of the CPU
	CPUs    int      `json:"cpus"`
	Memory  float64  `json:"memory_gb,omitempty"`
	Go      string   `json:"go"`
	Servers []string `json:"servers,omitempty"` // with their versions
}

// machine describes this one. What it does not tell is left out.
func machine(ctx context.Context, s *site) Machine {
	m := Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()}
	m.System = strings.TrimSpace(found("/etc/os-release", `(?m)^PRETTY_NAME="?([^"\n]*)`) + ", Linux " + found("/proc/version", `^Linux version (\S+)`))
	if m.OS != "linux" {
		m.System = ""
	}
	m.Model = found("/proc/cpuinfo", `(?m)^model name\s*: (.*)`)
	kilobytes, _ := strconv.ParseFloat(found("/proc/meminfo", `(?m)^MemTotal:\s*(\d+)`), 64) // 0 if it is not told
	m.Memory = kilobytes * 1024 / 1e9
	for _, program := range [][]string{{s.Postgres, "--version"}, {"redis-server", "--version"}, {s.program("nats-server"), "--version"}} {
		if out, err := exec.CommandContext(ctx, program[0], program[1:]...).Output(); err == nil {
			m.Servers = append(m.Servers, firstWords(string(out)))
		}
	}
	return m
}

// found is what the pattern's group matches in a file; empty: nothing.
func found(file, pattern string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	if match := regexp.MustCompile(pattern).FindSubmatch(text); match != nil {
		return string(match[1])
	}
	return ""
}

// firstWords are a program's name and version, without what some add.
func firstWords(line string) string {
	words := strings.Fields(line)
	return strings.Join(words[:min(3, len(words))], " ")
}

// String is the machine in a line.
func (m Machine) String() string {
	parts := []string{fmt.Sprintf("%s/%s", m.OS, m.Arch)}
	if m.Model != "" {
		parts = append(parts, m.Model)
	}
	parts = append(parts, fmt.Sprintf("%d CPUs", m.CPUs))
	if m.Memory > 0 {
		parts = append(parts, fmt.Sprintf("%.1f GB of memory", m.Memory))
	}
	return strings.Join(append(parts, m.Go), ", ")
}
