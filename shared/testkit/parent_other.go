//go:build !linux

package testkit

import "os/exec"

// dieWithParent needs the kernel's help, which only Linux gives: elsewhere a child outlives a test program that is killed.
func dieWithParent(*exec.Cmd) {}
