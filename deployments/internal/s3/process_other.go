//go:build !linux

package s3

import "syscall"

// attributes keep Ctrl-C from the server: it is for the command first. That the server ends with a testenv that is killed
// needs the kernel's help, which only Linux gives.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
