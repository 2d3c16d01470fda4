package testkit

import (
	"os/exec"
	"syscall"
)

// dieWithParent ends the child when the test program dies, however it dies.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
