//go:build !linux

package postgres

import "syscall"

// dieWithParent needs the kernel's help, which only Linux gives: elsewhere a server outlives a testenv that is killed.
func dieWithParent(*syscall.SysProcAttr) {}
