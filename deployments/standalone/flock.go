package standalone

import (
	"os"
	"syscall"
)

// flock takes f for this process, without waiting. It is released when f is closed or the process ends.
func flock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
