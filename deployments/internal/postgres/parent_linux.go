package postgres

import "syscall"

// dieWithParent ends the child when this program dies, however it dies.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
