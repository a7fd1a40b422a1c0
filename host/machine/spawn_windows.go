package machine

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// detached makes a child without a console, which the terminal's Ctrl-C does not reach.
func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		HideWindow:    true,
		CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.DETACHED_PROCESS,
	}
}
