package page_test

import "syscall"

// dieWithParent ends the child when the tests die, however they do.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
