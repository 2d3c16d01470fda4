//go:build !linux

package process

import "syscall"

// apart puts a child into a process group of its own, so that a terminal's Ctrl-C reaches it through its parent only.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
