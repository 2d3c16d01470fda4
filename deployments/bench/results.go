package main

import (
	"fmt"
	"os"
	"strings"
)

// writeResults keeps the report as a page of its own.
func (r *Report) writeResults(file string) error {
	m := r.Machine
	machine := [][]string{
		{"measured on", ""},
		{"date", r.At.Format("2006-01-02 15:04 MST")},
		{"system", strings.TrimPrefix(m.System+", "+m.OS+"/"+m.Arch, ", ")},
		{"CPU", fmt.Sprintf("%s, %d in all", m.Model, m.CPUs)},
		{"memory", fmt.Sprintf("%.1f GB", m.Memory)},
		{"Go", strings.TrimPrefix(m.Go, "go")},
		{"servers", strings.Join(m.Servers, ", ")},
		{"load", r.Settings.String()},
	}
	text := "# Results\n\nWritten by `make bench`; [how to read it](../docs/bench.md#how-to-read-it). All processes and the load share the\n" +
		"machine's processors. CPU times are those of one delta, job or request, in each process.\n\n" + table(machine) + "\n" + r.tables()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}
