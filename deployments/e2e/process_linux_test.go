package e2e_test

import "syscall"

// attributes put a child into a process group of its own, and end it with death when the tests die, however they die.
func attributes(death syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death}
}
