//go:build !windows

package machine

import "syscall"

// detached makes a child that the terminal's signals do not reach.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
