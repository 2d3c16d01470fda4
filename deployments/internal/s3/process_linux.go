package s3

import "syscall"

// attributes end the server when this program dies, however it dies; Ctrl-C is for the command first.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
