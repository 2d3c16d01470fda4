package process

import "syscall"

// apart puts a child into a process group of its own, so that a terminal's Ctrl-C reaches it through its parent only,
// and ends it when the parent dies, however it dies.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
