//go:build !linux

package e2e_test

import "syscall"

// attributes put a child into a process group of its own. Only on Linux does it also end when the tests are killed.
func attributes(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
