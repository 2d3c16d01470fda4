//go:build !linux

package page_test

import "syscall"

// dieWithParent needs the kernel's help, which only Linux gives: elsewhere a server outlives tests that are killed.
func dieWithParent(*syscall.SysProcAttr) {}
